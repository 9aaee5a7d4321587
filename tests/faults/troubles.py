"""What can be wrong for longer than one request, and what becomes of single items or of work that was accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.case import Case
from tests.faults.faults import BOTH, FAULTS, SB, SRC
from tests.faults.sb_cases import TASK_NAME, folders, tasks_named
from tests.faults.src_cases import workspace
from tests.faults.stage import USERS, Stage
from tests.faults.wire import ENDED, MOVING, lagging, strange_words

HALF_AN_HOUR = 1800.0
Names = Callable[[Stage], list[str]]


@dataclass(frozen=True)
class Trouble:
    """Something that lasts.

    :param begin: makes it so, once the case is prepared.
    :param lift: ends it.
    :param must: ``pass`` when the task has to succeed all the same, ``fail`` when it must not, ``either``.
    :param spares: why it cannot happen to a case; empty when it can.
    :param names: what the error has to name, any one of them.
    :param again: whether each try may start once more what has failed.
    """

    name: str
    begin: Callable[[Stage, Case], None]
    lift: Callable[[Stage, Case], None]
    must: str = "either"
    services: tuple[str, ...] = BOTH
    spares: Callable[[Case], str] = lambda case: ""
    names: Callable[[Case], Names | None] = lambda case: None
    again: bool = False
    #: Whether it has to be there before the case is prepared.
    early: bool = False
    #: Cases in which it leaves a world where the task is not possible any more.
    for_ever: tuple[str, ...] = ()


def _clear(stage: Stage, _: Case) -> None:
    stage.sandbox.clear_faults()


def _lasting(name: str) -> Trouble:
    """Return a fault that every request meets until it is lifted."""
    there = {service: fault for fault in FAULTS if fault.name == name for service in fault.services}

    def begin(stage: Stage, case: Case) -> None:
        rule = there[case.service].rule(stage)
        stage.sandbox.fault(**{"service": case.service, "times": None, **rule})

    must = "either" if next(iter(there.values())).passes else "fail"
    return Trouble(f"{name}, for good", begin, _clear, must, tuple(there))


def _while(name: str, services: tuple[str, ...], *, used_up: bool = False, **switches: Any) -> Trouble:
    """Return switches that are set until the trouble is lifted.

    :param used_up: whether somebody else has used up the allowance of the token when the task begins.
    """
    before: dict[str, Any] = {}

    def begin(stage: Stage, case: Case) -> None:
        now = stage.sandbox.app.halves[case.service].switches
        before.update({key: getattr(now, key) for key in switches})
        stage.sandbox.configure(**{case.service: switches})
        if used_up:
            limiter, token = stage.sandbox.app.halves[case.service].limiter, stage.sandbox.tokens[USERS[case.service]]
            while limiter.take(token).allowed:
                pass

    def lift(stage: Stage, case: Case) -> None:
        stage.sandbox.configure(**{case.service: before})

    return Trouble(name, begin, lift, "pass", services)


def _for_half_an_hour(name: str) -> Trouble:
    lasting = _lasting(name)

    def begin(stage: Stage, case: Case) -> None:
        lasting.begin(stage, case)
        stage.later(HALF_AN_HOUR, stage.sandbox.clear_faults)

    return Trouble(f"{name}, for half an hour", begin, _clear, "either", lasting.services)


def _on_the_wire(name: str, must: str, make: Callable[[Stage], Any]) -> Trouble:
    def begin(stage: Stage, _: Case) -> None:
        stage.alter = make(stage)

    def lift(stage: Stage, _: Case) -> None:
        stage.alter = None

    return Trouble(name, begin, lift, must)


# Items that fail.

ONE = "S0002_R1"


def _ids(project: str) -> Names:
    def names(stage: Stage) -> list[str]:
        nodes = stage.sandbox.state.sb.store.nodes.values()
        return [ONE, *(one.id for one in nodes if one.project == project and one.name.startswith(ONE))]

    return names


def _named_tasks(name: str) -> Names:
    return lambda stage: [name, *tasks_named(stage, name)]


def _children(stage: Stage) -> list[str]:
    tasks = stage.sandbox.state.sb.store.tasks.values()
    return [task.id for task in tasks if task.parent is not None and task.status == "FAILED"]


def _jobs(stage: Stage) -> list[str]:
    return [ONE, *(id_ for id_, job in stage.sandbox.state.sb.store.jobs.items() if job.state == "FAILED")]


def _async_jobs(stage: Stage) -> list[str]:
    return [*folders(stage), *stage.sandbox.state.sb.store.async_jobs]


@dataclass(frozen=True)
class Failing:
    """How a part of a case's work fails: by a switch of the platform, or by a plan for a workspace."""

    names: Names
    switch: str = ""
    value: Any = ONE
    box: str = ""


#: Refused in the answer to the bulk call itself.
REFUSED_ITEMS = {
    "copy": Failing(_ids("labuser/cohort"), "fail_copies"),
    "copy all the same": Failing(_ids("labuser/cohort"), "fail_copies"),
    "metadata": Failing(_ids("labuser/cohort"), "fail_files"),
    "delete files": Failing(_ids("labuser/cohort"), "fail_files"),
}
#: Accepted, and failed later.
FAILED_WORK = {
    "import": Failing(_jobs, "fail_imports"),
    "import autorename": Failing(_jobs, "fail_imports", "S0002_R1"),
    "import with metadata": Failing(_jobs, "fail_imports"),
    "export": Failing(_ids("labuser/cohort"), "fail_exports"),
    "job sensor": Failing(_jobs, "fail_imports"),
    "export sensor": Failing(_jobs, "fail_exports", "S000"),
    "task": Failing(_named_tasks(TASK_NAME), "fail_tasks", TASK_NAME),
    "tasks": Failing(_named_tasks("t1"), "fail_tasks", "^t1$"),
    "task sensor": Failing(_named_tasks("before"), "fail_tasks", "before"),
    "batch": Failing(_children, "batch_failed_children", 1),
    "rerun": Failing(_children, "fail_tasks", "before"),
    "delete a folder": Failing(_async_jobs, "fail_copies", "old"),
    "async job sensor": Failing(_async_jobs, "fail_copies", "old"),
    "resume": Failing(lambda stage: ["gpu-box"], box="gpu-box"),
    "resume three": Failing(lambda stage: ["node-1"], box="node-1"),
    "pause": Failing(lambda stage: ["login-box"], box="login-box"),
    "reboot": Failing(lambda stage: ["login-box"], box="login-box"),
    "delete": Failing(lambda stage: ["gpu-box"], box="gpu-box"),
    "firewall": Failing(lambda stage: ["login-box"], box="login-box"),
    "storages": Failing(lambda stage: ["login-box"], box="login-box"),
    "create": Failing(lambda stage: ["new-box"], box="new-box"),
    "workspace sensor": Failing(lambda stage: ["gpu-box", workspace(stage, "gpu-box")], box="gpu-box"),
}
NO_ITEMS = "it sends no items of which the answer could refuse some"
NO_WORK = "it starts nothing, and waits for nothing, that could fail after it was accepted"


def _failing(name: str, of: dict[str, Failing], reason: str, outcome: str = "failed") -> Trouble:
    def begin(stage: Stage, case: Case) -> None:
        failing = of[case.name]
        if failing.switch:
            stage.sandbox.configure(sb={failing.switch: failing.value})
        else:
            stage.sandbox.state.src.world.plan("*", workspace=failing.box, outcome=outcome, times=None)

    def lift(stage: Stage, case: Case) -> None:
        failing = of[case.name]
        if failing.switch:
            usual = 0 if failing.switch == "batch_failed_children" else None
            stage.sandbox.configure(sb={failing.switch: usual})
        else:
            stage.sandbox.state.src.world.plans.clear()

    return Trouble(
        name,
        begin,
        lift,
        "fail",
        spares=lambda case: "" if case.name in of else reason,
        names=lambda case: of[case.name].names,
        again=True,
        early=any(failing.box for failing in of.values()),
        # A reboot that fails half-way leaves the machine paused.
        for_ever=("reboot",),
    )


TROUBLES = [
    *map(
        _lasting,
        (
            "expired token",
            "expired token, platform",
            "revoked token",
            "no right",
            "429 bare",
            "queue full, JSON",
            "maintenance",
            "500 before",
            "504 after",
            "HTML before",
            "HTML as success",
            "cut off",
            "closed before",
            "closed after",
        ),
    ),
    *map(_for_half_an_hour, ("maintenance", "queue full, HTML", "502 before", "closed before", "429 with reset")),
    _while("an allowance used up, by a clock that is ahead", SB, used_up=True, clock_skew=7200.0),
    _while("an allowance used up, by a clock that is behind", SB, used_up=True, clock_skew=-7200.0),
    _while("an allowance used up, by headers that are ahead", SB, used_up=True, reset_skew=7200.0),
    _while("an allowance used up, by a clock that is ahead", SRC, used_up=True, clock_skew=7200.0, real_headers=True),
    _while("an allowance used up, without a word", SRC, used_up=True, clock_skew=-7200.0),
    _while("a queue of one", SRC, queue_waiting=0, queue_working=1),
    _while("a state that is a minute old", SRC, stale_seconds=60.0, stale_history=True),
    _on_the_wire("reads that lag behind", "pass", lagging),
    _on_the_wire("unknown states on the way", "pass", lambda _: strange_words(MOVING)),
    _on_the_wire("unknown states in the end", "either", lambda _: strange_words(ENDED)),
    _failing("some items refused", REFUSED_ITEMS, NO_ITEMS),
    _failing("work that fails later", FAILED_WORK, NO_WORK),
    _failing("work that is cancelled", {n: f for n, f in FAILED_WORK.items() if f.box}, NO_WORK, "cancelled"),
]


def of(service: str) -> list[Trouble]:
    """Return the troubles of a service."""
    return [trouble for trouble in TROUBLES if service in trouble.services]
