"""The service, or the budget, says "not now" in the middle: nothing is started twice and nothing is left running."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider import remote
from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.client.seven_bridges.waits import TaskWait
from airflow_src_provider.exceptions import BudgetWaitError, MaintenanceError
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_aborted import submit
from tests.unit.operators.seven_bridges.test_exactly_once import run_many
from tests.unit.operators.seven_bridges.test_groups import AT_REST, tops
from tests.unit.operators.test_pauses import event_of, pause_of, shown
from tests.unit.sb_world import SbWorld

__all__ = ["shown"]
pytestmark = pytest.mark.usefixtures("shown")


def busy(*_: Any, **__: Any) -> Any:
    raise BudgetWaitError("used up", retry_after=100.0)


def wait_of(call: Any) -> TaskDeferred:
    """Return a deferral that is no pause."""
    with pytest.raises(TaskDeferred) as deferred:
        call()
    assert deferred.value.method_name == "execute_complete"
    return deferred.value


def test_what_was_sent_before_a_pause_is_looked_for_after_the_next_wait_as_well(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is lost, and it is paused before the look for it; there is no room for more when it begins anew."""
    store = FakeStore()

    def resume(deferred: TaskDeferred, event: Any) -> Any:
        task = run_many(sb, deferrable=True)
        return task.resume_execution(deferred.method_name, {"event": event}, make_context(store))

    waiting = wait_of(lambda: run_many(sb, deferrable=True).execute(make_context(store)))
    event = sb.event_of(waiting)
    sb.sandbox.fault(service="sb", method="POST", path=r"/tasks(\?|$)", action="close", when="after", times=1)
    with monkeypatch.context() as patch:
        patch.setattr(Tasks, "list", busy)
        pause = pause_of(lambda: resume(waiting, event))
    sb.sandbox.advance(100)
    with monkeypatch.context() as patch:
        patch.setattr(TaskWait, "look", classmethod(busy))
        waiting = wait_of(lambda: resume(pause, event_of(pause)))
    while True:
        event = sb.event_of(waiting)
        try:
            resume(waiting, event)
            break
        except TaskDeferred as again:
            waiting = again
    assert set(Counter(task.name for task in tops(sb)).values()) == {1}


def batch(sb: SbWorld, **more: Any) -> BaseOperator:
    return submit(sb, deferrable=True, batch_by="item", check_inputs=False, **more)


def test_after_a_clear_the_old_ones_are_ended_before_anything_replaces_them(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeStore()
    cleared = {"try_number": 2, "max_tries": 5}
    wait_of(lambda: batch(sb).execute(make_context(store)))
    (old,) = tops(sb)
    with monkeypatch.context() as patch:
        patch.setattr(Tasks, "abort", busy)
        pause = pause_of(lambda: batch(sb).execute(make_context(store, **cleared)))
    assert len(tops(sb)) == 1, "nothing runs beside it"
    again = {"event": event_of(pause)}
    wait_of(lambda: batch(sb).resume_execution("after_pause", again, make_context(store, **cleared)))
    assert (old.status in AT_REST, len(tops(sb))) == (True, 2)


def test_many_old_ones_do_not_keep_a_worker_for_each(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is maintenance for the aborts only, and each request by itself would wait for a quarter of an hour."""
    store = FakeStore()
    wait_of(lambda: run_many(sb, deferrable=True).execute(make_context(store)))
    old = [task.id for task in tops(sb)]
    down = {"status": 503, "json": {"status": 503, "code": 0, "message": "maintenance"}}
    sb.sandbox.fault(service="sb", method="POST", path="actions/abort", action="status", times=None, **down)
    for name, value in (("clock", sb.now), ("sleep", sb.sleep)):
        monkeypatch.setitem(ApiSession.__init__.__kwdefaults__, name, value)
    began = sb.now()
    with pytest.raises(MaintenanceError):
        run_many(sb).execute(make_context(store, try_number=2, max_tries=5))
    assert len(old) == 2
    assert sb.now() - began < remote.LOOK + 60
    assert [task.id for task in tops(sb)] == old
