"""Killed before there was anything to wait for: what was started until then is ended all the same."""

from __future__ import annotations

import asyncio
import functools
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider import remote
from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.client.seven_bridges.waits import TaskWait
from airflow_src_provider.client.src.workspaces import Workspaces
from airflow_src_provider.exceptions import KilledError, ServiceUnavailableError
from airflow_src_provider.operators.seven_bridges import SevenBridgesSubmitTasksOperator
from airflow_src_provider.operators.src import SrcCreateWorkspaceOperator, SrcResumeWorkspaceOperator
from airflow_src_provider.triggers.base import WaitTrigger
from airflow_src_provider.triggers.pause import PauseTrigger
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, SbWorld, sb, sb_sandbox
from tests.unit.src_world import SrcWorld, src, src_sandbox

__all__ = ["sb", "sb_sandbox", "src", "src_sandbox"]

ENDED = {"ABORTED", "ABORTING"}


class Killed(BaseException):
    """What Airflow does a few seconds after ``on_kill``: the process ends."""


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


@pytest.fixture
def handled() -> Iterator[Callable[[Any], None]]:
    """Handle SIGTERM as Airflow does: the hook is called, then what was interrupted goes on."""
    before = signal.getsignal(signal.SIGTERM)

    def handle(task: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: task.on_kill())

    yield handle
    signal.signal(signal.SIGTERM, before)


def terminated(error: Any = Killed) -> Any:
    """Return what a signal and then the end of the process, or another error, look like at a call."""
    signal.raise_signal(signal.SIGTERM)
    return error()


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("cancel", [True, False])
@pytest.mark.parametrize("sent", [False, True])
def test_nothing_more_is_started_when_the_handler_has_returned(
    sb: SbWorld, handled: Any, monkeypatch: pytest.MonkeyPatch, durable: bool, cancel: bool, sent: bool
) -> None:
    """The signal comes with the third of four requests in hand, or on its way."""
    task = many(sb, durable=durable, cancel_on_kill=cancel)
    handled(task)
    create, calls = Tasks.create, []

    def interrupted(self: Tasks, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 3 and not sent:
            signal.raise_signal(signal.SIGTERM)
        created = create(self, *args, **kwargs)
        if len(calls) == 3 and sent:
            signal.raise_signal(signal.SIGTERM)
        return created

    monkeypatch.setattr(Tasks, "create", interrupted)
    with pytest.raises(KilledError):
        sb.run(task)
    assert len(statuses(sb)) == (3 if sent else 2)
    assert (set(statuses(sb)) <= ENDED) is cancel


@pytest.mark.parametrize("cancel", [True, False])
def test_a_wait_in_the_worker_ends_soon_after_the_handler_has_returned(
    sb: SbWorld, handled: Any, monkeypatch: pytest.MonkeyPatch, cancel: bool
) -> None:
    task = many(sb, poll_interval=1000.0, cancel_on_kill=cancel)
    handled(task)
    killed_at: list[float] = []

    def sleep(seconds: float) -> None:
        sb.sleep(seconds)
        if not killed_at:
            killed_at.append(sb.now())
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(remote.time, "sleep", sleep)
    if cancel:
        with pytest.raises(KilledError):
            sb.run(task)
        assert sb.now() - killed_at[0] <= remote.NAP
        assert set(statuses(sb)) <= ENDED
    else:
        # Nothing was ended, so it is waited for as long as this process is left running.
        assert sb.run(task)["completed"] == 4


def test_what_was_ended_during_a_look_is_not_waited_for_elsewhere(
    sb: SbWorld, handled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = many(sb, deferrable=True)
    handled(task)
    look = TaskWait.look.__func__  # type: ignore[attr-defined]

    def interrupted(cls: type, client: Any, ids: Any) -> Any:
        found = look(cls, client, ids)
        signal.raise_signal(signal.SIGTERM)
        return found

    monkeypatch.setattr(TaskWait, "look", classmethod(interrupted))
    with pytest.raises(KilledError):
        task.execute(make_context(FakeStore()))
    assert set(statuses(sb)) <= ENDED


def test_what_was_ended_while_the_queue_is_full_does_not_pause(
    sb: SbWorld, handled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = many(sb, deferrable=True)
    handled(task)
    full = ServiceUnavailableError("queue full", status=503)
    at_call(monkeypatch, Tasks, "create", 3, lambda: terminated(lambda: full))
    with pytest.raises(ServiceUnavailableError):
        task.execute(make_context(FakeStore()))
    assert (len(statuses(sb)), set(statuses(sb)) <= ENDED) == (2, True)


@pytest.mark.parametrize("cancel", [True, False])
def test_what_was_ended_while_it_reports_is_no_success(
    sb: SbWorld, handled: Any, monkeypatch: pytest.MonkeyPatch, cancel: bool
) -> None:
    task = many(sb, wait_for_completion=False, cancel_on_kill=cancel)
    handled(task)
    report = task._report

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return report(*args, **kwargs)

    monkeypatch.setattr(task, "_report", interrupted)
    if cancel:
        with pytest.raises(KilledError):
            sb.run(task)
    else:
        assert len(sb.run(task)["by_name"]) == 4
    assert (set(statuses(sb)) <= ENDED) is cancel


def test_nothing_comes_up_where_the_signal_came(sb: SbWorld, handled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = many(sb)
    handled(task)
    told: list[str] = []
    monkeypatch.setattr(task.log, "error", lambda message, *values: told.append(message % values))

    def fail(self: TaskWait, client: Any) -> list[str]:
        raise ValueError("odd answer")

    monkeypatch.setattr(TaskWait, "cancel", fail)
    at_call(monkeypatch, Tasks, "create", 3, terminated)
    with pytest.raises(Killed):
        sb.run(task)
    started = [str(one["id"]) for one in sb.client.tasks.list(project=ARCHIVE)]
    assert len(told) == 1
    assert all(text in told[0] for text in ("odd answer", *started)), "who reads the log can end them by hand"


def test_no_machine_is_resumed_when_the_handler_has_returned(
    src: SrcWorld, handled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace=["gpu-box", "Training box 2"])
    handled(task)
    action, asked, undone = Workspaces.action, [], []

    def interrupted(self: Workspaces, id_: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(id_)
        answer = action(self, id_, *args, **kwargs)
        signal.raise_signal(signal.SIGTERM)
        return answer

    monkeypatch.setattr(Workspaces, "action", interrupted)
    monkeypatch.setattr(Workspaces, "pause", lambda self, id_: undone.append(id_))
    with pytest.raises(KilledError):
        src.run(task)
    assert asked == [src.id_of("gpu-box")]
    assert set(undone) == set(asked)


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


@pytest.mark.parametrize("deferrable", [False, True])
def test_while_what_took_too_long_is_being_ended(
    src: SrcWorld, handled: Any, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """A deletion is tried for an hour while the workspace is being created, and then the host is to stop."""
    src.world.plan("create", outcome="stuck")
    made: list[SrcCreateWorkspaceOperator] = []

    def make() -> SrcCreateWorkspaceOperator:
        lifetime = timedelta(weeks=2)
        made.append(
            SrcCreateWorkspaceOperator(
                task_id="create",
                name="x1",
                from_workspace="Training box 1",
                lifetime=lifetime,
                timeout=60,
                deferrable=deferrable,
            )
        )
        handled(made[-1])
        return made[-1]

    delete, look, asked, looked = Workspaces.delete, Workspaces.look, [], []

    def ask(self: Workspaces, *args: Any, **kwargs: Any) -> Any:
        asked.append(src.now())
        return delete(self, *args, **kwargs)

    def interrupted(self: Workspaces, *args: Any, **kwargs: Any) -> Any:
        if asked:
            looked.append(src.now())
            if len(looked) == 2:
                signal.raise_signal(signal.SIGTERM)
        return look(self, *args, **kwargs)

    monkeypatch.setattr(Workspaces, "delete", ask)
    monkeypatch.setattr(Workspaces, "look", interrupted)
    store = FakeStore()
    call = functools.partial(make().execute, make_context(store))
    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            call()
        carry = deferred.value.trigger.serialize()[1]["carry"]
        event = {"status": "timeout", "results": {}, "failed": {}, "pending": ["x"], "carry": carry}
        call = functools.partial(make().resume_execution, "execute_complete", {"event": event}, make_context(store))
    with pytest.raises(KilledError):
        call()
    assert src.now() - looked[1] < 60
    assert len(asked) == 2, "the handler asks once more"
