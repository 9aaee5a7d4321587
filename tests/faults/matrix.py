"""One cell of the matrix: a task, a fault, and the request that it strikes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.faults.cases import LIMIT, Case
from tests.faults.faults import Fault
from tests.faults.stage import TYPED, Killed, Outcome, Stage

COSTLY = (
    "tasks_created",
    "tasks_started",
    "tasks_aborted_by_user",
    "files_copied",
    "files_deleted",
    "imports_created",
    "exports_created",
    "projects_created",
)
#: Setting the same thing again changes nothing.
REPEATABLE = ("patch ", "change_wallet ")
#: Lies in the service's own form, about success or about what is there: believed, as they have to be.
HANDS_OFF = (
    "slow",
    "empty before",
    "success with a list",
    "success with resources of a wrong type",
)
MORE_CALLS = 60
MORE_SECONDS = 2400.0 + LIMIT
#: A lie about success is found out when the time to wait is over; until then it is looked every so many seconds.
BETWEEN_LOOKS = 25.0


@dataclass(frozen=True)
class Clean:
    """A run without faults."""

    requests: tuple[str, ...]
    digest: Any
    effects: Counter[str]
    seconds: float

    def positions(self) -> list[int]:
        return list(range(len(self.requests)))

    def effect(self) -> int:
        """Return the first request that makes or changes something, else the last one."""
        for number, request in enumerate(self.requests):
            if not request.startswith("GET") and not request.endswith("/get"):
                return number
        return len(self.requests) - 1


def clean_run(stage: Stage, case: Case, deferrable: bool) -> Clean:
    case.begin(stage)
    mark = len(stage.sandbox.journal())
    outcome = stage.play(case.maker(stage, deferrable), tries=1)
    if outcome.error is not None:
        raise AssertionError(f"{case.name} fails without any fault") from outcome.error
    requests = tuple(f"{one['method']} {one['path']}" for one in stage.sandbox.journal()[mark:])
    return Clean(requests, stage.digest(), costly(outcome.effects), outcome.seconds)


def costly(effects: Counter[str]) -> Counter[str]:
    return Counter(
        {name: n for name, n in effects.items() if name in COSTLY or (" " in name and not name.startswith(REPEATABLE))}
    )


def strike(stage: Stage, case: Case, fault: Fault, deferrable: bool, position: int, **more: Any) -> Outcome:
    """Run a task while one of its requests meets a fault."""
    case.begin(stage, **fault.connection)
    stage.sandbox.fault(**{"service": case.service, "skip": position, **fault.rule(stage), **more})
    return stage.play(case.maker(stage, deferrable))


def judge(stage: Stage, outcome: Outcome, clean: Clean, may_fail: bool = False) -> None:
    """Hold a run with a fault to what every run promises.

    :param may_fail: whether the answer says, in the service's own form, that the task cannot succeed.
    """
    for error in outcome.errors:
        if not isinstance(error, (*TYPED, Killed)):
            raise AssertionError(f"an error that nobody can act on: {error!r}") from error
    done = costly(outcome.effects)
    assert not done - clean.effects, f"twice: {done - clean.effects}"
    most = len(clean.requests) * outcome.tries + MORE_CALLS + outcome.seconds / BETWEEN_LOOKS
    assert outcome.calls <= most, f"{outcome.calls} calls"
    assert outcome.seconds <= clean.seconds * outcome.tries + MORE_SECONDS, f"{outcome.seconds:.0f} s"
    if may_fail:
        return
    if outcome.error is not None:
        raise AssertionError(f"not done after {outcome.tries} tries") from outcome.error
    assert not clean.effects - done, f"lost: {clean.effects - done}"
    found = stage.digest()
    for service, there in clean.digest.items():
        assert found[service] == there, f"the world differs on {service}"
