"""Random schedules of faults and deaths over whole tasks, each from a seed, so that it can be repeated."""

from __future__ import annotations

import random
from typing import Any

from tests.faults.case import Case
from tests.faults.cases import CASES
from tests.faults.faults import Fault, of
from tests.faults.matrix import HANDS_OFF, Clean, clean_run, judge
from tests.faults.stage import Outcome, Stage

MOST_FAULTS = 5
MOST_DEATHS = 2
#: A schedule may meet every try of a task; it is given more than it can meet.
TRIES = 20
#: A gateway that says so once is not believed; twice it has to be.
BELIEVED_TWICE = ("404 page",)


class Schedules:
    """Plays schedules; knows the clean runs that they are compared with."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._clean: dict[tuple[str, bool], Clean] = {}

    def clean(self, case: Case, deferrable: bool) -> Clean:
        """Return the run without faults."""
        key = (case.name, deferrable)
        if key not in self._clean:
            self._clean[key] = clean_run(self._stage, case, deferrable)
        return self._clean[key]

    def play(self, seed: int) -> Outcome:
        """Play one schedule and judge it.

        :raises AssertionError: an invariant was violated; the message begins with the schedule in words.
        """
        chance = random.Random(seed)
        case = chance.choice(list(CASES.values()))
        deferrable = chance.random() < 0.5
        clean = self.clean(case, deferrable)
        self._stage.luck = seed
        case.begin(self._stage)
        told = [f"seed {seed}: {case.name}, {'deferrable' if deferrable else 'in the worker'}"]
        for fault in chance.sample([one for one in of(case.service) if usable(one)], chance.randint(1, MOST_FAULTS)):
            rule = self._rule(case, fault, chance, len(clean.requests))
            told.append(f"{fault.name} x{rule['times']} after {rule['skip']}")
            self._stage.sandbox.fault(**rule)
        for _ in range(chance.randint(0, MOST_DEATHS)):
            request, moment = chance.randint(1, len(clean.requests) + 3), chance.choice(("before", "after"))
            told.append(f"death {moment} request {request}")
            self._stage.kill(request, moment)
        outcome = self._stage.play(case.maker(self._stage, deferrable), tries=TRIES)
        try:
            judge(self._stage, outcome, clean, case.gives_up)
        except AssertionError as error:
            raise AssertionError("; ".join(told)) from error
        return outcome

    def _rule(self, case: Case, fault: Fault, chance: random.Random, requests: int) -> dict[str, Any]:
        return {
            "service": case.service,
            "skip": chance.randrange(requests + 2),
            "times": 1 if fault.name in BELIEVED_TWICE else chance.choice((1, 1, 1, 2, 3)),
            "seed": chance.randrange(2**32),
            "probability": chance.choice((1.0, 1.0, 0.5)),
            **fault.rule(self._stage),
        }


def usable(fault: Fault) -> bool:
    """Tell whether a fault says nothing that is false in the service's own form, and needs no real time."""
    return not fault.connection and fault.name not in HANDS_OFF
