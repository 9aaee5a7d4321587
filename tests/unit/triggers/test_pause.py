"""A pause ends at its moment, and ends what the task has started only when nobody goes on with it."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_src_provider.triggers.base import WaitTrigger
from airflow_src_provider.triggers.pause import PauseTrigger
from tests.unit.operators.test_base import CANCELLED, Client, JobTrigger, client

__all__ = ["client"]

STARTED = (f"{JobTrigger.__module__}.JobTrigger", {"conn_id": "c", "wait": {"ids": ["j1"]}, "deadline": 0.0})


@pytest.mark.parametrize(("on_kill_of", "more"), [(None, {}), (STARTED, {"on_kill_of": STARTED})])
def test_it_ends_by_itself(on_kill_of: Any, more: Any) -> None:
    async def collect() -> list[Any]:
        trigger = PauseTrigger(until=time.time() - 1, carry={"a": 1}, on_kill_of=on_kill_of)
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(collect()) == [{"status": "success", "carry": {"a": 1, **more}}]


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("failed", True),
        ("removed", True),
        # Marked so by a user: what it has started still runs.
        ("success", True),
        ("deferred", False),
        # The pause has ended elsewhere, or the task was cleared.
        ("scheduled", False),
        ("queued", False),
        ("running", False),
        ("up_for_retry", False),
        (None, False),
    ],
)
def test_only_a_task_that_does_not_go_on_loses_what_it_has_started(
    client: Client, monkeypatch: pytest.MonkeyPatch, state: str | None, ended: bool
) -> None:
    client.looks_needed = 10
    monkeypatch.setattr(WaitTrigger, "_task_state", lambda self: state)
    trigger = PauseTrigger(until=time.time(), carry={}, on_kill_of=STARTED)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)  # type: ignore[assignment]
    asyncio.run(trigger.on_kill())
    assert [job for job, _ in CANCELLED] == (["j1"] if ended else [])


def test_success_of_a_task_that_went_on_elsewhere_is_not_undone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WaitTrigger, "_task_state", lambda self: "success")
    trigger = PauseTrigger(until=time.time(), carry={}, on_kill_of=STARTED)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)  # type: ignore[assignment]
    asyncio.run(trigger.on_kill())
    assert not CANCELLED, "the work is over"
