"""A triggerer, the token or the service goes away while tasks wait. One run lives through all of it, in this order."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from tests.system.conftest import FOREVER, GROUP, ROTATED_TOKEN, Measured
from tests.system.harness import Airflow, Component
from tests.system.runs import Run
from tests.system.services import Ledger, Sandbox
from tests.system.stories import Stories, begins
from tests.system.waiting import SOAK, wait_until

pytestmark = pytest.mark.system

PATIENCE = 240.0 + 3.0 * GROUP
MAINTENANCE = 180.0 if SOAK else 6.0
#: How often a triggerer is stopped at most.
STALLS = 4
#: What the DAG asks for.
POLL_INTERVAL = 1.0


def group(airflow: Airflow, places: dict[str, Sandbox]) -> Run:
    return airflow.run("group")


@pytest.fixture(scope="module")
def waiting(stories: Stories, places: dict[str, Sandbox]) -> Run:
    """Remote work that goes on until the last test, all of it waited for in the first triggerer."""
    run: Run = stories(group)
    run.until("deferred", PATIENCE)
    wait_until("all tasks run", lambda: "QUEUED" not in places["group"].get("/state")["sb"]["tasks_by_status"], 60)
    return run


def tries(run: Run) -> dict[str, int]:
    return {task["task_id"]: task["try_number"] for task in run.tasks()}


@pytest.fixture(scope="module")
def begun(waiting: Run) -> dict[str, int]:
    """The try that waits, by task: a machine with too much to do may have lost a worker before."""
    return tries(waiting)


@pytest.fixture
def sandbox(places: dict[str, Sandbox]) -> Sandbox:
    return places["group"]


@pytest.fixture
def since(sandbox: Sandbox) -> Ledger:
    return Ledger(sandbox)


def goes_on(run: Run, since: Ledger, user: str = "labuser") -> None:
    """Check that the wait is looked after, and that nothing has happened to what is waited for."""
    from_now = Ledger(since.sandbox)
    wait_until("looks go on", lambda: len(from_now.looks(user)) >= 2, 240)
    assert run.states() == {"deferred": GROUP}
    effects = since.effects()
    assert not effects, f"nothing was to happen, but: {effects}"


def owners(airflow: Airflow) -> set[int]:
    """Return the jobs of the triggerers that have the triggers of the run."""
    rows = airflow.query(
        "select distinct triggerer_id from trigger join task_instance on trigger_id = trigger.id "
        "where dag_id = 'group' and triggerer_id is not null"
    )
    return {job for (job,) in rows}


def told(run: Run, triggerer: Component, text: str) -> int:
    """Count how often triggers have said something.

    Airflow gives a trigger that is killed about a second, then closes its log; later lines are the triggerer's.
    """
    return len(run.log_lines(text)) + triggerer.log.read_text().count(text)


@begins(group)
@pytest.mark.usefixtures("begun")
def test_a_stalled_triggerer_cancels_nothing(airflow: Airflow, waiting: Run, since: Ledger) -> None:
    """Its triggers move to another one; on waking it takes them for killed."""
    stalled, other = airflow.triggerers
    (owner,) = wait_until("a triggerer has them", lambda: owners(airflow), 240)
    assert not other.alive
    other.start()
    for _ in range(STALLS):
        began = time.monotonic()
        stalled.signal(signal.SIGSTOP)
        try:
            # Stopped within a transaction, it keeps them locked; then it has to be stopped at another moment.
            with contextlib.suppress(AssertionError):
                wait_until("its triggers have moved", lambda: owner not in owners(airflow), 240 / STALLS)
            if SOAK:
                time.sleep(max(0.0, 45.0 - (time.monotonic() - began)))
        finally:
            stalled.signal(signal.SIGCONT)
        if owner not in owners(airflow):
            break
    else:
        pytest.fail("its triggers have not moved")
    wait_until("it has woken and found out", lambda: told(waiting, stalled, "its trigger has moved") >= GROUP, 240)
    goes_on(waiting, since)


@begins(group)
def test_waits_outlive_triggerers_that_are_killed(airflow: Airflow, waiting: Run, since: Ledger) -> None:
    Component.kill(*airflow.triggerers)
    airflow.both_triggerers()
    goes_on(waiting, since)


@begins(group)
def test_a_token_that_is_rotated_is_noticed(airflow: Airflow, sandbox: Sandbox, waiting: Run, since: Ledger) -> None:
    airflow.change_connection("group_sb", conn_type="seven_bridges", password=ROTATED_TOKEN)
    unauthorized = {"code": 90001, "message": "the token is missing or not valid"}
    fault = {"action": "status", "status": 401, "json": unauthorized, "service": "sb", "token": "labuser"}
    sandbox.set("/faults", {**fault, "times": None})
    goes_on(waiting, since, user="labuser2")
    sandbox.drop_faults()


@begins(group)
def test_maintenance_is_waited_for(sandbox: Sandbox, waiting: Run, since: Ledger) -> None:
    sandbox.set("/config", {"maintenance": True})
    try:
        time.sleep(MAINTENANCE)
        assert waiting.states() == {"deferred": GROUP}
    finally:
        sandbox.set("/config", {"maintenance": False})
    goes_on(waiting, since, user="labuser2")


@begins(group)
def test_after_all_that_every_task_ends_well_and_once(
    airflow: Airflow, sandbox: Sandbox, waiting: Run, begun: dict[str, int], since: Ledger, measured: Measured
) -> None:
    """The next look sees the end, and the task goes on as soon as Airflow has a worker for it."""
    began = time.time()
    sandbox.set("/clock", {"advance": FOREVER})
    ended = time.time()
    waiting.succeeds(PATIENCE)
    assert since.effects() == {"tasks_completed": GROUP}
    assert tries(waiting) == begun, "nothing was tried again"
    seen, resumed = waiting.resumed_after(began)
    assert len(seen) == len(resumed) == GROUP
    looks = [moment for moment in since.looks("labuser2") if ended < moment < began + seen[-1]]
    assert len(looks) <= len(airflow.triggerers), "one look of each triggerer is enough"
    measured(
        f"{GROUP} tasks ended at once beside other work, looked at every {POLL_INTERVAL:g} s: the end was seen after "
        f"{seen[0]:.1f} to {seen[-1]:.1f} s, the tasks went on after {resumed[0]:.1f} to {resumed[-1]:.1f} s"
    )
