"""What happens when something dies, is killed or cleared: no effect twice, none lost, nothing left burning."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.system.conftest import GROUP, POINTS, ROTATED_TOKEN
from tests.system.harness import SOAK, STALLED_AFTER, Airflow, Run, Sandbox, wait_until

# Never beside each other: they share one Airflow, and some go on where others stopped.
pytestmark = pytest.mark.system

REPETITIONS = range(20 if SOAK else 1)
FOREVER = 100_000.0
#: A leg of a task costs seconds of a core, and a busy machine is slow.
PATIENCE = 120.0 + 3.0 * GROUP
MAINTENANCE = 180.0 if SOAK else 8.0


@contextlib.contextmanager
def long_tasks(sandbox: Sandbox) -> Iterator[None]:
    """Let tasks that begin now run until the clock is moved."""
    switches = sandbox.get("/config")["sb"]
    sandbox.set("/config", {"task_running_seconds": FOREVER / 2, "task_jitter": 0.0})
    try:
        yield
        wait_until("all tasks run", lambda: "QUEUED" not in sandbox.get("/state")["sb"]["tasks_by_status"], 20)
    finally:
        sandbox.set("/config", {name: switches[name] for name in ("task_running_seconds", "task_jitter")})


def finish(sandbox: Sandbox) -> None:
    sandbox.set("/clock", {"advance": FOREVER})


class Ledger:
    """What has happened at the services since a moment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._before = sandbox.effects()
        entries = sandbox.journal()
        self._since = int(entries[-1]["n"]) if entries else 0

    def effects(self) -> Counter[str]:
        """Return the number of effects by kind."""
        now = self.sandbox.effects()
        now.subtract(self._before)
        return +now

    def looks(self, user: str = "labuser") -> int:
        """Return how often tasks were looked at with an answer."""
        return sum(
            entry["status"] == 200 and entry["user"] == user and entry["path"].endswith("/bulk/tasks/get")
            for entry in self.sandbox.journal(self._since)
        )


@pytest.fixture
def since(sandbox: Sandbox) -> Ledger:
    return Ledger(sandbox)


def cut_answers(sandbox: Sandbox, *paths: str) -> None:
    """Let the service do what the next POST to each path says, and hang up before it answers."""
    for path in paths:
        sandbox.set("/faults", {"action": "close", "when": "after", "method": "POST", "path": path, "times": 1})


# A worker dies.


@pytest.mark.parametrize("repetition", REPETITIONS)
def test_a_worker_that_is_killed_causes_nothing_twice(airflow: Airflow, sandbox: Sandbox, repetition: int) -> None:
    """Before the effect is sent, between its answer and the note of it, and after that; for five kinds of effect."""
    sandbox.reset_places()
    since = Ledger(sandbox)
    run = airflow.run("deaths", repetition=repetition)
    run.succeeds(PATIENCE)
    assert {task["try_number"] for task in run.tasks()} == {2}, "every worker was killed once"
    effects = since.effects()
    assert effects["tasks_created"] == effects["tasks_started"] == len(POINTS)
    assert effects["children_created"] == 5 * len(POINTS)
    assert effects["files_copied"] == 1000 * len(POINTS)
    assert effects["imports_created"] == effects["files_imported"] == 500 * len(POINTS)
    assert effects["workspaces_created"] == len(POINTS)
    assert effects["resume_accepted"] == len(POINTS) - 1


@pytest.mark.parametrize("repetition", REPETITIONS)
def test_an_answer_that_is_lost_causes_nothing_twice(airflow: Airflow, sandbox: Sandbox, repetition: int) -> None:
    """A host that is gone with its worker, too: nobody is left to report the task's end."""
    sandbox.reset_places()
    since = Ledger(sandbox)
    cut_answers(sandbox, "/v2/tasks(\\?|$)", "/action/files/copy", "/storage/imports/create")
    cut_answers(sandbox, "/actions/resume/", "/workspaces/$")
    runs = [airflow.run(dag_id, repetition=repetition) for dag_id in ("lost", "supervisor")]
    for run in runs:
        run.succeeds(PATIENCE)
    assert all(fault["used"] == 1 for fault in sandbox.get("/faults")["faults"])
    effects = since.effects()
    assert effects["tasks_created"] == effects["tasks_started"] == 2
    assert effects["files_copied"] == 10
    assert effects["imports_created"] == effects["files_imported"] == 500
    assert effects["workspaces_created"] == effects["resume_accepted"] == 1


# A person decides.


@pytest.mark.parametrize("repetition", REPETITIONS)
def test_a_clear_means_do_it_again(airflow: Airflow, sandbox: Sandbox, since: Ledger, repetition: int) -> None:
    """A finished task is done again; one that runs is ended and done again."""
    done = airflow.run("one", repetition=repetition)
    done.succeeds(PATIENCE)
    assert since.effects()["tasks_created"] == 1
    with long_tasks(sandbox):
        done.clear()
        done.until("deferred", PATIENCE)
        assert since.effects()["tasks_created"] == 2
        first = done.tasks()[0]["try_number"]
        done.clear()
        wait_until("the new try waits", lambda: done.tasks()[0]["try_number"] > first, PATIENCE)
        done.until("deferred", PATIENCE)
    wait_until("the running task is aborted", lambda: since.effects()["tasks_aborted_by_user"] == 1, 20)
    assert since.effects()["tasks_created"] == 3
    finish(sandbox)
    done.succeeds(PATIENCE)
    assert since.effects()["tasks_completed"] == 2


@pytest.mark.parametrize("repetition", REPETITIONS)
def test_a_run_that_is_marked_failed_leaves_nothing_running(
    airflow: Airflow, sandbox: Sandbox, since: Ledger, repetition: int
) -> None:
    with long_tasks(sandbox):
        run = airflow.run("group", repetition=repetition)
        run.until("deferred", PATIENCE)
    run.mark("failed")
    wait_until("every task is aborted", lambda: since.effects()["tasks_aborted_by_user"] == GROUP, 20 + GROUP / 4)
    assert since.effects()["tasks_created"] == GROUP


# A triggerer, the token or the service goes away while tasks wait. One run lives through all of it.


@pytest.fixture(scope="module")
def waiting(airflow: Airflow, sandbox: Sandbox) -> Iterator[Run]:
    """Remote work that goes on until the last test, all of it waited for in the first triggerer."""
    airflow.triggerers[1].stop()
    with long_tasks(sandbox):
        run = airflow.run("group")
        run.until("deferred", PATIENCE)
    yield run
    run.mark("failed")


def goes_on(run: Run, since: Ledger, user: str = "labuser") -> None:
    """Check that the wait is looked after, and that nothing has happened to what is waited for."""
    from_now = Ledger(since.sandbox)
    wait_until("looks go on", lambda: from_now.looks(user) >= 2, 60)
    assert run.states() == {"deferred": GROUP}
    effects = since.effects()
    assert not effects, f"nothing was to happen, but: {effects}"


def test_a_stalled_triggerer_cancels_nothing(airflow: Airflow, waiting: Run, since: Ledger) -> None:
    """Its triggers move to another one; on waking it takes them for killed."""
    stalled, other = airflow.triggerers
    (owner,) = airflow.triggers_by_triggerer()
    other.start()
    began = time.monotonic()
    stalled.signal(signal.SIGSTOP)
    try:
        wait_until("its triggers have moved", lambda: owner not in airflow.triggers_by_triggerer(), 60 + STALLED_AFTER)
        if SOAK:
            time.sleep(max(0.0, 45.0 - (time.monotonic() - began)))
    finally:
        stalled.signal(signal.SIGCONT)
    wait_until("it has woken and found out", lambda: len(waiting.log_lines("its trigger has moved")) == GROUP, 60)
    goes_on(waiting, since)


def test_waits_outlive_a_triggerer_that_is_killed(airflow: Airflow, waiting: Run, since: Ledger) -> None:
    for triggerer in airflow.triggerers:
        triggerer.kill()
    airflow.triggerers[0].start()
    goes_on(waiting, since)


def test_a_token_that_is_rotated_is_noticed(airflow: Airflow, sandbox: Sandbox, waiting: Run, since: Ledger) -> None:
    airflow.connection("seven_bridges_default", conn_type="seven_bridges", password=ROTATED_TOKEN)
    unauthorized = {"code": 90001, "message": "the token is missing or not valid"}
    sandbox.set(
        "/faults",
        {"action": "status", "status": 401, "json": unauthorized, "service": "sb", "token": "labuser", "times": None},
    )
    goes_on(waiting, since, user="labuser2")


def test_maintenance_is_waited_for(sandbox: Sandbox, waiting: Run, since: Ledger) -> None:
    sandbox.set("/config", {"maintenance": True})
    try:
        time.sleep(MAINTENANCE)
        assert waiting.states() == {"deferred": GROUP}
    finally:
        sandbox.set("/config", {"maintenance": False})
    goes_on(waiting, since, user="labuser2")


def test_after_all_that_every_task_ends_well_and_once(sandbox: Sandbox, waiting: Run, since: Ledger) -> None:
    finish(sandbox)
    waiting.succeeds(PATIENCE)
    assert since.effects() == {"tasks_completed": GROUP}
    assert {task["try_number"] for task in waiting.tasks()} == {1}
