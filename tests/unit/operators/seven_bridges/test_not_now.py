"""The service, or the budget, says "not now" in the middle: nothing is started twice and nothing is left running."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.client.seven_bridges.waits import TaskWait
from airflow_src_provider.exceptions import BudgetWaitError
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import run_many
from tests.unit.operators.seven_bridges.test_groups import tops
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
