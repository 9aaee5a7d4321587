"""The triggers for SURF Research Cloud: what they are made of, and what a kill does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from airflow_src_provider.client.src.workspaces import Workspaces
from airflow_src_provider.operators.src import SrcCreateWorkspaceOperator, SrcResumeWorkspaceOperator
from airflow_src_provider.triggers import base
from airflow_src_provider.triggers.src import SrcWorkspaceTrigger
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import SrcWorld, src, src_sandbox
from tests.unit.triggers.virtual_loop import InlineExecutor, VirtualLoop

__all__ = ["src", "src_sandbox"]


def deferred_resume(src: SrcWorld, **options: Any) -> SrcWorkspaceTrigger:
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box", deferrable=True, **options)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(make_context())
    assert isinstance(deferred.value.trigger, SrcWorkspaceTrigger)
    return deferred.value.trigger


def test_it_travels_through_the_database(src: SrcWorld) -> None:
    path, arguments = deferred_resume(src).serialize()
    assert path == "airflow_src_provider.triggers.src.SrcWorkspaceTrigger"
    again = SrcWorkspaceTrigger(**deserialize(serialize(arguments)))
    assert again.serialize() == (path, arguments)


@pytest.mark.parametrize(("state", "pauses"), [("deferred", 0), ("failed", 1)])
def test_a_kill_pauses_the_machine_but_a_moved_trigger_does_not(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, state: str, pauses: int
) -> None:
    trigger = deferred_resume(src)
    src.sandbox.advance(100)
    monkeypatch.setattr(trigger, "_task_state", lambda: state)
    asyncio.run(trigger.on_kill())
    assert src.effects("gpu-box").get("pause", 0) == pauses


def test_a_kill_leaves_the_machine_if_asked_to(src: SrcWorld) -> None:
    trigger = deferred_resume(src, cancel_on_kill=False)
    src.sandbox.advance(100)
    asyncio.run(trigger.on_kill())
    assert "pause" not in src.effects("gpu-box")


def kill(
    src: SrcWorld,
    monkeypatch: pytest.MonkeyPatch,
    trigger: SrcWorkspaceTrigger,
    state: Callable[[], str | None],
    beside: SrcWorkspaceTrigger | None = None,
) -> list[Any]:
    """Let a trigger hear that it was killed and let time pass until it is done; return the events of another one."""

    async def main() -> list[Any]:
        killed = asyncio.create_task(trigger.on_kill())
        events = [] if beside is None else [event.payload async for event in beside.run()]
        await killed
        return events

    class Loop(VirtualLoop):
        _virtual = 0.0

        @property
        def virtual(self) -> float:
            return self._virtual

        @virtual.setter
        def virtual(self, value: float) -> None:
            if value > self._virtual:
                src.sandbox.advance(value - self._virtual)
            self._virtual = value

    monkeypatch.setattr(base, "_cancel_threads", InlineExecutor())
    monkeypatch.setattr(trigger, "_task_state", state)
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())


def test_a_machine_that_still_resumes_is_paused_once_it_runs(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = deferred_resume(src)
    kill(src, monkeypatch, trigger, lambda: "failed")
    src.sandbox.advance(60)
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("paused", {"resume": 1, "pause": 1})


@pytest.mark.parametrize(
    ("first", "then", "pauses"),
    [
        ("queued", "running", 0),
        ("queued", "deferred", 0),
        ("queued", "success", 0),
        ("failed", "up_for_retry", 0),
        ("running", "running", 0),
        ("success", "success", 1),
        ("failed", "queued", 1),
        (None, None, 1),
    ],
)
def test_a_cleared_task_has_its_machine_paused_only_until_its_next_try_is_in_charge(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, first: str | None, then: str | None, pauses: int
) -> None:
    trigger = deferred_resume(src)
    begin = src.now()
    kill(src, monkeypatch, trigger, lambda: then if src.now() > begin + 15 else first)
    assert src.effects("gpu-box").get("pause", 0) == pauses


def test_whether_another_try_is_in_charge_is_asked_right_before_a_pause(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The looks before it wait for the budget, and meanwhile the next try joins the resume."""
    src.world.plan("resume", outcome="success", seconds=60.0)
    trigger = deferred_resume(src)
    begin, look = src.now(), Workspaces.look

    def slow(self: Workspaces, ids: Any) -> Any:
        src.sandbox.advance(40)
        return look(self, ids)

    monkeypatch.setattr(Workspaces, "look", slow)
    kill(src, monkeypatch, trigger, lambda: "deferred" if src.now() > begin else "queued")
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("running", {"resume": 1})


def test_a_machine_that_somebody_has_resumed_since_is_left_to_them(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    src.world.plan("resume", outcome="failed", seconds=20.0)
    trigger = deferred_resume(src)
    src.sandbox.advance(30)
    src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box"), make_context(run_id="other"))
    kill(src, monkeypatch, trigger, lambda: "failed")
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("running", {"resume": 2})


def test_a_resume_that_has_failed_leaves_nothing_to_pause(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    src.world.plan("resume", outcome="failed", seconds=20.0)
    trigger = deferred_resume(src)
    src.sandbox.advance(60)
    kill(src, monkeypatch, trigger, lambda: "failed")
    assert not any(call.endswith("pause/") for call in src.calls())


def deferred_creation(src: SrcWorld, store: FakeStore | None = None) -> SrcWorkspaceTrigger:
    task = SrcCreateWorkspaceOperator(
        task_id="create",
        name="box",
        collaboration="Example Project",
        wallet="SRC account for Example Project",
        catalog_item="Ubuntu 22.04",
        size="2 Core- 16 GB RAM",
        lifetime=86400,
        deferrable=True,
    )
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(make_context(store))
    assert isinstance(deferred.value.trigger, SrcWorkspaceTrigger)
    return deferred.value.trigger


@pytest.mark.parametrize("later", ["failed", "running"])
def test_a_workspace_is_deleted_as_soon_as_its_creation_is_over(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    """Whatever becomes of the task: after a clear it makes one of its own."""
    src.world.plan("create", outcome="success", seconds=1800.0)
    trigger = deferred_creation(src)
    src.sandbox.advance(60)
    before, begin = sum(src.calls().values()), src.now()
    kill(src, monkeypatch, trigger, lambda: later if src.now() > begin + 15 else "failed")
    src.sandbox.advance(120)
    assert (src.status("box"), src.effects("box")) == ("deleted", {"create": 1, "delete": 1})
    # One look in a minute, and no more deletions than it takes.
    assert sum(src.calls().values()) - before < 40
    assert src.calls()["DELETE workspaces/<id>/"] == 2


def test_a_creation_that_never_ends_is_given_up(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    src.world.plan("create", outcome="stuck")
    trigger = deferred_creation(src)
    begin = src.now()
    kill(src, monkeypatch, trigger, lambda: "failed")
    assert 3600 <= src.now() - begin < 3700


def test_a_triggerer_that_ends_does_not_wait_for_a_creation(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = deferred_creation(src)
    monkeypatch.setattr(trigger, "_task_state", lambda: "failed")

    async def main() -> None:
        task = asyncio.create_task(trigger.on_kill())
        while not src.calls()["DELETE workspaces/<id>/"]:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
    assert "This triggerer ends" in caplog.text


@pytest.mark.parametrize("seconds", [40.0, 75.0, 110.0, 140.0])
def test_a_new_run_ends_with_a_machine_that_runs_though_the_killed_one_pauses_it(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """A run is marked failed while its resume goes on; the next run joins that resume."""
    src.world.plan("resume", outcome="success", seconds=seconds)
    killed = deferred_resume(src)
    src.sandbox.advance(10)
    task, context = SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box", deferrable=True), make_context()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    joined = deferred.value.trigger
    assert isinstance(joined, SrcWorkspaceTrigger)
    (event,) = kill(src, monkeypatch, killed, lambda: "failed", beside=joined)
    with pytest.raises(TaskDeferred) as again:
        task.resume_execution(deferred.value.method_name, {"event": event}, context)
    assert src.resume(task, again.value, context)["changed"]
    src.sandbox.advance(300)
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("running", {"resume": 2, "pause": 1})
