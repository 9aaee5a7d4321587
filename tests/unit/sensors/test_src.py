"""Waiting for workspaces that somebody else acts on."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.src import SrcPauseWorkspaceOperator, SrcResumeWorkspaceOperator
from airflow_src_provider.sandbox.src.seed import DEFAULT_SEED
from airflow_src_provider.sensors.src import SrcWorkspaceSensor
from tests.unit.fakes import make_context
from tests.unit.src_world import GPU_BOX, NO_GPU, SrcWorld, src, src_sandbox

__all__ = ["src", "src_sandbox"]

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])


def sensor(workspace: Any = "gpu-box", **options: Any) -> SrcWorkspaceSensor:
    return SrcWorkspaceSensor(task_id="sensor", workspace=workspace, **options)


def resume(src: SrcWorld, workspace: str = "gpu-box") -> None:
    src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, wait_for_completion=False))


def context(src: SrcWorld, started_ago: float = 0.0) -> Any:
    return make_context(dag_run=SimpleNamespace(start_date=datetime.fromtimestamp(src.now() - started_ago, UTC)))


def sense(src: SrcWorld, task: SrcWorkspaceSensor, **options: Any) -> Any:
    from airflow.sdk.bases import sensor as airflow_sensor

    clock = SimpleNamespace(monotonic=src.now, time=src.now, sleep=src.sleep)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow_sensor, "time", clock)
        return src.run(task, context(src, **options))


@BOTH_MODES
@pytest.mark.parametrize("workspace", ["gpu-box", GPU_BOX])
def test_it_ends_when_the_workspace_runs(src: SrcWorld, deferrable: bool, workspace: str) -> None:
    src.sandbox.configure(stale_seconds=60.0)
    resume(src)
    result = sense(src, sensor(workspace, deferrable=deferrable, poke_interval=30))
    assert (result["id"], result["status"], result["user"]) == (GPU_BOX, "running", "ubuntu")


@BOTH_MODES
def test_it_fails_as_soon_as_the_resume_has_failed(src: SrcWorld, deferrable: bool) -> None:
    resume(src, NO_GPU)
    started = src.now()
    with pytest.raises(AirflowFailException, match="is paused again, its resume failed: Timeout waiting for VM"):
        sense(src, sensor(NO_GPU, deferrable=deferrable, timeout=86400))
    assert src.now() - started < 800


@BOTH_MODES
def test_it_does_not_take_yesterdays_failure_for_todays(src: SrcWorld, deferrable: bool) -> None:
    resume(src, NO_GPU)
    src.sandbox.advance(86400)
    with pytest.raises(AirflowSensorTimeout):
        sense(src, sensor(NO_GPU, deferrable=deferrable, timeout=120))


DEAD_ENDS = [
    ("broken-box", "running", "unhealthy"),
    ("old-box", "running", "gone|deleted"),
    ("reference-data", "running", "available"),
    ("gpu-box", "available", "paused"),
]


@BOTH_MODES
@pytest.mark.parametrize(("name", "states", "message"), DEAD_ENDS)
def test_it_fails_at_once_on_a_state_that_leads_nowhere(
    src: SrcWorld, deferrable: bool, name: str, states: str, message: str
) -> None:
    started = src.now()
    with pytest.raises(AirflowFailException, match=message):
        sense(src, sensor(src.id_of(name), states=states, deferrable=deferrable))
    assert src.now() == started


@BOTH_MODES
@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
def test_failure_and_timeout_are_skips_if_asked_for(src: SrcWorld, deferrable: bool, option: str) -> None:
    with pytest.raises(AirflowSkipException):
        sense(src, sensor("broken-box", deferrable=deferrable, **{option: True}))


def test_reschedule_mode_gives_the_slot_back(src: SrcWorld) -> None:
    resume(src)
    ctx = context(src)
    ctx["ti"].get_first_reschedule_date = lambda _: None
    with pytest.raises(AirflowRescheduleException):
        sensor(mode="reschedule", poke_interval=60).execute(ctx)
    src.sandbox.advance(100)
    assert sensor(mode="reschedule", poke_interval=60).execute(ctx)["status"] == "running"


@BOTH_MODES
def test_many_states_of_many_workspaces(src: SrcWorld, deferrable: bool) -> None:
    src.run(SrcPauseWorkspaceOperator(task_id="pause", workspace="login-box", wait_for_completion=False))
    result = sense(src, sensor(["login-box", "Training box 1"], states=["paused", "running"], deferrable=deferrable))
    assert (result["count"], {one["name"] for one in result["workspaces"]}) == (2, {"login-box", "Training box 1"})


@BOTH_MODES
def test_a_deleted_workspace_can_be_waited_for(src: SrcWorld, deferrable: bool) -> None:
    assert sense(src, sensor(src.id_of("old-box"), states="deleted", deferrable=deferrable))["status"] == "deleted"


@BOTH_MODES
def test_hundreds_of_workspaces_cost_a_call_for_each_hundred_and_round(src: SrcWorld, deferrable: bool) -> None:
    src.sandbox.reset({"src": {**DEFAULT_SEED, "workspaces": []}})
    ids = [one.id for one in src.world.add_workspaces(300, status="paused")]
    for one in src.world.workspaces.values():
        one.status = "resuming"

    def end() -> None:
        for one in src.world.workspaces.values():
            one.status = "running"

    src.world.later(95, end)
    result = sense(src, sensor(ids, deferrable=deferrable, poke_interval=30))
    assert result["count"] == 300
    # A first look, and one every 30 seconds until 95 are over; a deferral adds one.
    assert len(src.sandbox.journal()) <= 3 * (5 + deferrable)


def test_a_few_of_many_are_asked_for_one_by_one(src: SrcWorld) -> None:
    src.world.add_workspaces(1000)
    ids = [src.id_of("login-box"), src.id_of("Training box 1")]
    task = sensor(ids)
    task.client.workspaces.look([*ids, src.id_of("gpu-box")])
    before = len(src.sandbox.journal())
    task.client.workspaces.look(ids)
    assert len(src.sandbox.journal()) - before == 2


def test_a_name_is_that_of_a_machine_before_that_of_anything_else(src: SrcWorld) -> None:
    volume = src.world.add_workspaces(1, kind="Storage", status="available")[0]
    volume.name = "gpu-box"
    assert sense(src, sensor("gpu-box", states="paused"))["id"] == GPU_BOX
    volume.name = "only-a-volume"
    assert sense(src, sensor("only-a-volume", states="available"))["id"] == volume.id
    both = sense(src, sensor(["gpu-box", "only-a-volume"], states=["available", "paused"]))
    assert both["ids"] == [GPU_BOX, volume.id]


@pytest.mark.parametrize("states", [["deleted", "running"], ["running"]])
def test_what_is_gone_is_judged_alike_alone_and_beside_a_name(src: SrcWorld, states: list[str]) -> None:
    gone = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    for workspace in ([gone], ["login-box", gone]):
        if "deleted" in states:
            assert sense(src, sensor(workspace, states=states))["count"] == len(workspace)
        else:
            with pytest.raises(AirflowFailException, match="it is gone"):
                sense(src, sensor(workspace, states=states))


@pytest.mark.parametrize("states", ["", [], ["runing"], 7, None])
def test_bad_states_are_refused(states: Any) -> None:
    with pytest.raises(InvalidInputError, match="states"):
        sensor(states=states)
