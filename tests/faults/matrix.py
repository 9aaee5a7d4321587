"""One cell of the matrix: a task, a fault, and the request that it strikes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from tests.faults.case import LIMIT, Case
from tests.faults.faults import Fault
from tests.faults.stage import TYPED, Killed, Outcome, Stage
from tests.faults.troubles import Trouble
from tests.unit.fakes import FakeStore

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
#: Of a task that meets a lasting trouble: two before it passes, two afterwards.
ALL_TRIES = 4
MORE_SECONDS = 2400.0 + LIMIT
#: A lie about success is found out when the time to wait is over; until then it is looked every so many seconds.
BETWEEN_LOOKS = 25.0
#: A request that gets no answer is repeated within a look, but not more often than this.
ATTEMPTS = 6


@dataclass(frozen=True)
class Clean:
    """A run without faults."""

    requests: tuple[str, ...]
    digest: Any
    effects: Counter[str]
    seconds: float
    triggers: frozenset[str]
    looks: tuple[int, ...]

    def places(self) -> dict[str, int]:
        """Return which requests are struck: before anything is done, while it is done, and while it is waited for.

        What changes nothing acts with its last request.
        """
        changing = [n for n, one in enumerate(self.requests) if not one.startswith("GET") and not one.endswith("/get")]
        act = changing[0] if changing else len(self.requests) - 1
        after = next((look for look in self.looks if look > act), len(self.requests) - 1)
        found = {"first": 0, "act": act, "wait": self.looks[0] if act in self.looks else after}
        return {place: n for place, n in found.items() if place == "act" or n != act}


def clean_run(stage: Stage, case: Case, deferrable: bool) -> Clean:
    case.begin(stage)
    mark = len(stage.sandbox.journal())
    outcome = stage.play(case.maker(stage, deferrable), tries=1)
    if outcome.error is not None:
        raise AssertionError(f"{case.name} fails without any fault") from outcome.error
    requests = tuple(f"{one['method']} {one['path']}" for one in stage.sandbox.journal()[mark:])
    triggers, looks = frozenset(outcome.triggers), tuple(outcome.looks)
    return Clean(requests, stage.digest(), costly(outcome.effects), outcome.seconds, triggers, looks)


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


def endure(stage: Stage, case: Case, trouble: Trouble, deferrable: bool) -> tuple[list[Outcome], list[str] | None]:
    """Run a task while something is wrong, and, if that ends badly, once more when it is not any more.

    :return: what became of it, and what the error has to name, any one of them; ``None`` when no item fails.
    """
    case.plant(stage)
    if trouble.early:
        trouble.begin(stage, case)
    case.prepare(stage)
    if not trouble.early:
        trouble.begin(stage, case)
    # Long troubles mean many looks; that they are frequent shows nothing more.
    store, make = FakeStore(), case.maker(stage, deferrable, interval=120.0)
    outcomes = [stage.play(make, tries=2, of=ALL_TRIES, store=store)]
    names = trouble.names(case)
    named = None if names is None else names(stage)
    trouble.lift(stage, case)
    if isinstance(outcomes[0].error, AirflowSensorTimeout):
        # Airflow does not retry it: somebody clears the sensor.
        store = FakeStore()
    if not outcomes[0].ok and not isinstance(outcomes[0].error, AirflowFailException):
        outcomes.append(stage.play(make, tries=2, of=ALL_TRIES, store=store, first=ALL_TRIES - 1))
    return outcomes, named


def judge_trouble(
    stage: Stage, case: Case, trouble: Trouble, outcomes: list[Outcome], named: list[str] | None, clean: Clean
) -> None:
    """Hold what became of a task to what every run promises."""
    first, last = outcomes[0], outcomes[-1]
    for outcome in outcomes:
        for error in outcome.errors:
            if not isinstance(error, TYPED):
                raise AssertionError(f"an error that nobody can act on: {error!r}") from error
        tries = outcome.tries
        most = (len(clean.requests) + MORE_CALLS) * tries + ATTEMPTS * outcome.seconds / BETWEEN_LOOKS
        assert outcome.calls <= most, f"{outcome.calls} calls, more than {most:.0f}"
        assert outcome.seconds <= (clean.seconds + MORE_SECONDS) * tries, f"{outcome.seconds:.0f} s"
    if trouble.must == "pass" and not first.ok:
        raise AssertionError(f"not done after {first.tries} tries") from first.error
    assert trouble.must != "fail" or not first.ok, "it ended well"
    if named is not None:
        assert named, "nothing has failed"
        assert any(name in str(first.error) for name in named), f"none of {named} is named by: {first.error}"
    no_retry = isinstance(first.error, AirflowFailException) or case.name in trouble.for_ever
    if no_retry or (case.gives_up and not last.ok):
        return
    if not last.ok:
        raise AssertionError("not done even after the trouble was over") from last.error
    done = sum((costly(outcome.effects) for outcome in outcomes), Counter())
    times = sum(outcome.tries for outcome in outcomes) - 1 if trouble.again else 0
    for name, more in (done - clean.effects).items():
        assert more <= times, f"twice: {more} times {name} too often"
    assert not clean.effects - done, f"lost: {clean.effects - done}"
    found = stage.digest()
    assert healthy(found, trouble.again) == healthy(clean.digest, trouble.again), "the world differs"


def healthy(digest: Any, again: bool) -> Any:
    """Return a world without what has failed in it, or is gone.

    :param again: whether what failed was started once more: then the number of tasks says nothing, but the files do.
    """
    tasks = {name: again or n for name, n in digest["sb"]["tasks"].items() if name[1] == "COMPLETED"}
    boxes = {box: n for box, n in digest["src"].items() if box[1] not in ("deleted", "failed")}
    return {"sb": {**digest["sb"], "tasks": tasks}, "src": boxes}
