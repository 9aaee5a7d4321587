"""Killed before there was anything to wait for: what was started until then is ended all the same."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.client.src.workspaces import Workspaces
from airflow_src_provider.exceptions import ServiceUnavailableError
from airflow_src_provider.operators.seven_bridges import SevenBridgesSubmitTasksOperator
from airflow_src_provider.operators.src import SrcResumeWorkspaceOperator
from airflow_src_provider.triggers.base import WaitTrigger
from airflow_src_provider.triggers.pause import PauseTrigger
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, SbWorld, sb, sb_sandbox
from tests.unit.src_world import SrcWorld, src, src_sandbox

__all__ = ["sb", "sb_sandbox", "src", "src_sandbox"]

ENDED = {"ABORTED", "ABORTING"}


class Killed(BaseException):
    """What Airflow does after ``on_kill``: the process ends."""


def many(sb: SbWorld, **more: Any) -> SevenBridgesSubmitTasksOperator:
    tasks = [{"name": f"task {n}", "inputs": {"reads": archive_ids(sb, 1)}} for n in range(4)]
    return SevenBridgesSubmitTasksOperator(task_id="many", project=ARCHIVE, app=APP, tasks=tasks, **more)


def statuses(sb: SbWorld) -> list[str]:
    return [str(task["status"]) for task in sb.client.tasks.list(project=ARCHIVE)]


def at_call(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, number: int, error: Any) -> None:
    """Call ``error`` and raise what it returns at one call of a method."""
    original, calls = getattr(owner, name), []

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == number:
            raise error()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, method)


@pytest.mark.parametrize("cancel", [True, False])
def test_while_tasks_are_being_started(sb: SbWorld, monkeypatch: pytest.MonkeyPatch, cancel: bool) -> None:
    task = many(sb, cancel_on_kill=cancel)

    def kill() -> Killed:
        task.on_kill()
        return Killed()

    at_call(monkeypatch, Tasks, "create", 4, kill)
    with pytest.raises(Killed):
        sb.run(task)
    assert len(statuses(sb)) == 3
    assert (set(statuses(sb)) <= ENDED) is cancel


def test_while_machines_are_being_resumed(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace=["gpu-box", "Training box 2"])
    asked: list[str] = []
    monkeypatch.setattr(Workspaces, "pause", lambda self, id_: asked.append(id_))

    def kill() -> Killed:
        task.on_kill()
        return Killed()

    at_call(monkeypatch, Workspaces, "action", 2, kill)
    with pytest.raises(Killed):
        src.run(task)
    # What is asked for at that moment may be done as well.
    assert asked == [src.id_of("gpu-box"), src.id_of("Training box 2")]


def test_while_a_task_pauses(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_src_provider.operators.base.time", time)
    at_call(monkeypatch, Tasks, "create", 3, lambda: ServiceUnavailableError("not now", status=503))
    with pytest.raises(TaskDeferred) as deferred:
        many(sb, deferrable=True).execute(make_context(FakeStore()))
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith("PauseTrigger")
    trigger = PauseTrigger(**arguments)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="many", run_id="r", map_index=-1)  # type: ignore[assignment]
    state = ["deferred"]
    monkeypatch.setattr(WaitTrigger, "_task_state", lambda self: state[0])
    asyncio.run(trigger.on_kill())
    assert not ENDED & set(statuses(sb)), "the trigger has only moved"
    state[0] = "failed"
    asyncio.run(trigger.on_kill())
    assert (len(statuses(sb)), set(statuses(sb)) <= ENDED) == (2, True)
