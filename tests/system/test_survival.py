"""What happens when a worker dies, or a person kills or clears: no effect twice, none lost, nothing left burning."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.system.conftest import FOREVER, GROUP, POINTS, Measured
from tests.system.harness import Airflow
from tests.system.runs import Run
from tests.system.services import Ledger, Sandbox
from tests.system.stories import Stories, begins
from tests.system.waiting import SOAK, wait_until

pytestmark = pytest.mark.system

REPETITIONS = range(20 if SOAK else 1)
#: A leg of a task costs seconds of a core, and a busy machine is slow.
PATIENCE = 240.0 + 3.0 * GROUP


@contextlib.contextmanager
def long_tasks(sandbox: Sandbox) -> Iterator[None]:
    """Let tasks that begin now run until the clock is moved."""
    switches = sandbox.get("/config")["sb"]
    sandbox.set("/config", {"task_running_seconds": FOREVER / 2, "task_jitter": 0.0})
    try:
        yield
        wait_until("all tasks run", lambda: "QUEUED" not in sandbox.get("/state")["sb"]["tasks_by_status"], 60)
    finally:
        sandbox.set("/config", {name: switches[name] for name in ("task_running_seconds", "task_jitter")})


def cut_answers(sandbox: Sandbox, *paths: str) -> None:
    """Let the service do what the next POST to each path says, and hang up before it answers."""
    for path in paths:
        sandbox.set("/faults", {"action": "close", "when": "after", "method": "POST", "path": path, "times": 1})


# A worker dies.


def deaths(airflow: Airflow, places: dict[str, Sandbox]) -> tuple[list[Run], Ledger]:
    places["deaths"].reset_places()
    since = Ledger(places["deaths"])
    return [airflow.run(dag_id) for dag_id in ("deaths", "replaced")], since


@begins(deaths)
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_a_worker_that_is_killed_causes_nothing_twice(stories: Stories, repetition: int) -> None:
    """Before the effect is sent, between its answer and the note of it, and after that; for five kinds of effect.

    Nor does a host that is gone with its worker, so that nobody reports the task's end, nor a worker that stands still
    with the effect in its hands until it has been replaced.
    """
    runs, since = stories(deaths)
    for run in runs:
        run.succeeds(PATIENCE)
    assert min(task["try_number"] for run in runs for task in run.tasks()) >= 2, "no first try came to an end"
    effects = since.effects()
    batches = len(POINTS) + 2
    assert effects["tasks_created"] == effects["tasks_started"] == batches
    assert effects["children_created"] == 5 * batches
    assert effects["files_copied"] == 1000 * len(POINTS)
    assert effects["imports_created"] == effects["files_imported"] == 500 * len(POINTS)
    assert effects["workspaces_created"] == len(POINTS)
    assert effects["resume_accepted"] == len(POINTS) - 1


def lost(airflow: Airflow, places: dict[str, Sandbox]) -> tuple[Run, Ledger]:
    sandbox = places["lost"]
    sandbox.drop_faults()
    sandbox.reset_places()
    since = Ledger(sandbox)
    cut_answers(sandbox, "/v2/tasks(\\?|$)", "/action/files/copy", "/storage/imports/create")
    cut_answers(sandbox, "/actions/resume/", "/workspaces/$")
    return airflow.run("lost"), since


@begins(lost)
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_an_answer_that_is_lost_causes_nothing_twice(
    stories: Stories, places: dict[str, Sandbox], repetition: int
) -> None:
    run, since = stories(lost)
    run.succeeds(PATIENCE)
    assert all(fault["used"] == 1 for fault in places["lost"].get("/faults")["faults"])
    effects = since.effects()
    assert effects["tasks_created"] == effects["tasks_started"] == 1
    assert effects["files_copied"] == 10
    assert effects["imports_created"] == effects["files_imported"] == 500
    assert effects["workspaces_created"] == effects["resume_accepted"] == 1


# A person decides.


def cleared(airflow: Airflow, places: dict[str, Sandbox]) -> tuple[Run, Ledger]:
    since = Ledger(places["cleared"])
    return airflow.run("cleared"), since


@begins(cleared)
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_a_clear_means_do_it_again(
    stories: Stories, places: dict[str, Sandbox], measured: Measured, repetition: int
) -> None:
    """A finished task is done again; one that runs is ended and done again."""
    sandbox = places["cleared"]
    done, since = stories(cleared)
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
    wait_until("the running task is aborted", lambda: since.effects()["tasks_aborted_by_user"] == 1, 60)
    assert since.effects()["tasks_created"] == 3
    ended = time.time()
    sandbox.set("/clock", {"advance": FOREVER})
    done.succeeds(PATIENCE)
    assert since.effects()["tasks_completed"] == 2
    seen, resumed = (moments[0] for moments in done.resumed_after(ended))
    measured(
        f"one task ended, looked at every second: the end was seen after {seen:.1f} s, it went on after {resumed:.1f} s"
    )
    # A poll interval and 5 s; and as much again as a busy machine may need.
    assert resumed < 6 + 60


def marked(airflow: Airflow, places: dict[str, Sandbox]) -> tuple[Run, Ledger]:
    since = Ledger(places["marked"])
    return airflow.run("marked"), since


@begins(marked)
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_a_run_that_is_marked_failed_leaves_nothing_running(
    stories: Stories, airflow: Airflow, repetition: int
) -> None:
    run, since = stories(marked)
    run.until("deferred", PATIENCE)
    held = "select count(*) from trigger join task_instance on trigger_id = trigger.id where triggerer_id is not null"
    mine = f"{held} and run_id = '{run.run_id}'"
    wait_until("triggerers have all waits", lambda: airflow.query(mine) == [(GROUP,)], 240)
    run.mark("failed")
    wait_until("every task is aborted", lambda: since.effects()["tasks_aborted_by_user"] == GROUP, 60 + GROUP / 4)
    assert since.effects()["tasks_created"] == GROUP
