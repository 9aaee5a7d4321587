"""Machines that a task has brought up do not stay on when nobody waits for them any more."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from airflow.sdk import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.src.waits import WorkspaceWait
from airflow_src_provider.exceptions import (
    ForbiddenError,
    RemoteWorkError,
    ServiceUnavailableError,
    TokenRejectedError,
    WaitTimeoutError,
)
from airflow_src_provider.operators.src import SrcResumeWorkspaceOperator
from airflow_src_provider.retry import ResearchCloudRetryPolicy
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import GPU_BOX, NO_GPU, SrcWorld

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])
LAST_TRY = {"try_number": 3, "max_tries": 2}


def resume(workspace: Any = "gpu-box", **options: Any) -> SrcResumeWorkspaceOperator:
    return SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, **options)


def six(src: SrcWorld) -> list[str]:
    return [one.name for one in src.world.add_workspaces(6, "w-", status="paused")]


def undone(deferred: pytest.ExceptionInfo[TaskDeferred]) -> list[str]:
    arguments = deferred.value.trigger.serialize()[1]
    if "on_kill_of" in arguments:
        arguments = arguments["on_kill_of"][1]
    return list(arguments["wait"]["undo_ids"])


def in_second_wave(
    src: SrcWorld, names: list[str], store: FakeStore | None = None
) -> pytest.ExceptionInfo[TaskDeferred]:
    task, context = resume(names, deferrable=True, at_once=3), make_context(store)
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    with pytest.raises(TaskDeferred) as second:
        task.resume_execution(first.value.method_name, {"event": src.event_of(first.value)}, context)
    return second


def test_a_kill_in_a_later_wave_pauses_the_earlier_ones_too(src: SrcWorld) -> None:
    names = six(src)
    second = in_second_wave(src, names)
    assert undone(second) == [src.id_of(name) for name in names]
    wait = WorkspaceWait(**second.value.trigger.serialize()[1]["wait"])
    wait.cancel(resume().client)
    src.sandbox.advance(60)
    assert {src.status(name) for name in names} == {"paused"}


@BOTH_MODES
def test_the_time_is_over_in_a_later_wave_and_the_earlier_ones_are_paused_too(src: SrcWorld, deferrable: bool) -> None:
    names = six(src)
    with pytest.raises(WaitTimeoutError):
        src.run(resume(names, deferrable=deferrable, at_once=3, timeout=130))
    src.sandbox.advance(300)
    assert {src.status(name) for name in names} == {"paused"}


def test_a_kill_while_others_are_waited_for_pauses_what_was_resumed(src: SrcWorld) -> None:
    src.world.plan("update_nsgs", outcome="stuck")
    box = src.world.by_name("Training box 2")
    src.world.platform(box, "update_nsgs", "API")
    task, context = resume(["gpu-box", "Training box 2"], deferrable=True), make_context()
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    with pytest.raises(TaskDeferred) as settling:
        task.resume_execution(first.value.method_name, {"event": src.event_of(first.value)}, context)
    assert settling.value.trigger.serialize()[1]["wait"]["action"] == "settle"
    assert undone(settling) == [GPU_BOX]


def test_a_kill_in_a_pause_for_a_full_queue_pauses_what_an_earlier_wave_resumed(src: SrcWorld) -> None:
    names = six(src)
    task, context = resume(names, deferrable=True, at_once=3), make_context()
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    event = src.event_of(first.value)
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
    src.sandbox.fault(
        service="src", method="POST", action="status", status=503, json=answer, headers={"Retry-After": "300"}
    )
    again = resume(names, deferrable=True, at_once=3)
    with pytest.raises(TaskDeferred) as paused:
        again.resume_execution(first.value.method_name, {"event": event}, context)
    assert paused.value.method_name == "after_pause"
    # The one that the queue did not take is not among them.
    assert undone(paused) == [src.id_of(name) for name in names[:3]]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_the_answer_is_not_known_pauses_the_machine(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    src.sandbox.configure(stale_seconds=60.0, stale_history=True)
    src.sandbox.fault(service="src", method="POST", path="actions/resume", action="close", when=when)
    task = resume()

    class Stopped(BaseException):
        pass

    def stop(seconds: float) -> None:
        src.sandbox.advance(120)
        task.on_kill()
        raise Stopped

    monkeypatch.setattr(task, "_sleep", stop)
    with pytest.raises(Stopped):
        task.execute(make_context())
    assert src.calls()["POST workspaces/<id>/actions/pause/"] == 1
    src.sandbox.advance(60)
    assert src.status("gpu-box") == "paused"


def test_a_kill_while_a_retry_looks_for_what_was_asked_for_pauses_the_machine(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    src.sandbox.configure(stale_seconds=60.0, stale_history=True)
    store = FakeStore()
    with pytest.raises(TaskDeferred):
        resume(deferrable=True).execute(make_context(store))
    task = resume(deferrable=True)

    class Stopped(BaseException):
        pass

    def stop(seconds: float) -> None:
        src.sandbox.advance(120)
        task.on_kill()
        raise Stopped

    monkeypatch.setattr(task, "_sleep", stop)
    with pytest.raises(Stopped):
        task.execute(make_context(store, try_number=2))
    src.sandbox.advance(60)
    assert src.status("gpu-box") == "paused"


def test_a_kill_in_a_pause_while_the_answer_is_not_known_pauses_the_machine(src: SrcWorld) -> None:
    src.sandbox.fault(service="src", method="POST", path="actions/resume", action="close", when="after")
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Under maintenance"]}
    rule = {"service": "src", "method": "GET", "action": "status", "status": 503, "json": answer}
    src.sandbox.fault(**rule, headers={"Retry-After": "300"}, skip=1, times=1)
    with pytest.raises(TaskDeferred) as paused:
        resume(deferrable=True).execute(make_context())
    assert paused.value.method_name == "after_pause"
    assert undone(paused) == [GPU_BOX]


def test_a_kill_in_a_pause_before_anything_was_asked_for_pauses_nothing(src: SrcWorld) -> None:
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
    rule = {"service": "src", "method": "POST", "action": "status", "status": 503, "json": answer}
    src.sandbox.fault(**rule, headers={"Retry-After": "300"}, times=1)
    with pytest.raises(TaskDeferred) as paused:
        resume(deferrable=True).execute(make_context())
    assert paused.value.method_name == "after_pause"
    assert paused.value.trigger.serialize()[1]["on_kill_of"] is None


def failed_wait(src: SrcWorld, **context: Any) -> None:
    task, made = resume(deferrable=True), make_context(**context)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(made)
    carry = deferred.value.trigger.carry  # type: ignore[attr-defined]
    event = {"status": "error", "message": "500", "results": {}, "failed": {}, "pending": [GPU_BOX], "carry": carry}
    with pytest.raises(RemoteWorkError, match="waiting came to an end"):
        task.resume_execution(deferred.value.method_name, {"event": event}, made)
    src.sandbox.advance(300)


def test_a_wait_that_ends_in_an_error_pauses_the_machine_if_no_retry_goes_on(src: SrcWorld) -> None:
    failed_wait(src, **LAST_TRY)
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("paused", {"resume": 1, "pause": 1})


def test_a_wait_that_ends_in_an_error_leaves_the_machine_to_the_retry(src: SrcWorld) -> None:
    store = FakeStore()
    failed_wait(src, store=store, try_number=2)
    assert src.status("gpu-box") == "running"
    assert src.run(resume(), make_context(store, **LAST_TRY))["changed"]
    assert src.effects("gpu-box") == {"resume": 1}


def test_an_error_in_the_worker_pauses_the_machine_as_far_as_the_service_lets_it(src: SrcWorld) -> None:
    token = next(one for one in src.world.tokens.values() if "researcher1" in one.value)
    token.expires_at = src.now() + 40
    with pytest.raises(TokenRejectedError):
        src.run(resume(), make_context(**LAST_TRY))
    assert src.calls()["POST workspaces/<id>/actions/pause/"] == 1


@BOTH_MODES
@pytest.mark.parametrize(
    ("more", "context", "pauses"), [({}, LAST_TRY, 1), ({}, {}, 0), ({"cancel_on_kill": False}, LAST_TRY, 0)]
)
def test_a_machine_that_counts_as_failed_but_runs_is_paused_if_no_retry_goes_on(
    src: SrcWorld, deferrable: bool, more: dict[str, Any], context: dict[str, Any], pauses: int
) -> None:
    box = src.world.by_name("gpu-box")
    src.world.later(20, lambda: box.overrides.update(status="unhealthy"))
    src.world.later(50, box.overrides.clear)
    task = resume(deferrable=deferrable, **more)
    with pytest.raises(RemoteWorkError, match="unhealthy"):
        src.run(task, make_context(**context))
    src.sandbox.advance(300)
    assert src.effects("gpu-box").get("pause", 0) == pauses


def test_a_machine_that_may_fail_but_runs_is_paused_as_the_task_ends_well(src: SrcWorld) -> None:
    box = src.world.by_name("gpu-box")
    src.world.later(20, lambda: box.overrides.update(status="unhealthy"))
    src.world.later(50, box.overrides.clear)
    result = src.run(resume(["gpu-box", "Training box 2"], on_item_failure="skip"))
    src.sandbox.advance(300)
    assert (list(result["failed"]), src.status("gpu-box")) == ([GPU_BOX], "paused")
    assert src.status("Training box 2") == "running"


def refuse_a_look(src: SrcWorld, id_: str, skip: int = 0) -> None:
    rule = {"service": "src", "method": "GET", "path": id_, "action": "status", "status": 403, "times": 1}
    src.sandbox.fault(**rule, json={"code": 403, "message": ["no"]}, skip=skip)


def unanswered(src: SrcWorld, name: str, when: str = "before") -> None:
    """Lose the answer to a resume, and let the look for what became of it fail."""
    path = src.id_of(name)
    src.sandbox.fault(service="src", method="POST", path=f"{path}/actions/resume", action="close", when=when)
    refuse_a_look(src, path)


@BOTH_MODES
@pytest.mark.parametrize(("context", "left"), [(LAST_TRY, {"paused"}), ({}, {"running"})])
def test_an_error_between_two_waves_pauses_the_first_if_no_retry_goes_on(
    src: SrcWorld, deferrable: bool, context: dict[str, Any], left: set[str]
) -> None:
    names = six(src)[:2]
    unanswered(src, names[1], "after")
    with pytest.raises(ForbiddenError):
        src.run(resume(names, deferrable=deferrable, at_once=1), make_context(**context))
    src.sandbox.advance(300)
    # The second one, too: it has begun to resume, which nobody has seen.
    assert {src.status(name) for name in names} == left


def test_a_full_queue_between_two_waves_pauses_the_first_if_nobody_comes_back(src: SrcWorld) -> None:
    names = six(src)[:2]
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
    rule = {"service": "src", "method": "POST", "path": f"{src.id_of(names[1])}/actions", "action": "status"}
    src.sandbox.fault(**rule, status=503, json=answer, headers={"Retry-After": "4000"}, times=None)
    with pytest.raises(ServiceUnavailableError):
        src.run(resume(names, at_once=1), make_context(**LAST_TRY))
    src.sandbox.advance(300)
    assert src.status(names[0]) == "paused"


def test_a_last_try_that_cannot_find_out_what_was_asked_for_pauses_it(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    src.sandbox.configure(stale_seconds=60.0, stale_history=True)
    store = FakeStore()
    with pytest.raises(TaskDeferred):
        resume(deferrable=True).execute(make_context(store))
    refuse_a_look(src, GPU_BOX, skip=1)
    with pytest.raises(ForbiddenError):
        src.run(resume(), make_context(store, **LAST_TRY))
    src.sandbox.advance(300)
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("paused", {"resume": 1, "pause": 1})


def left_by_a_dead_worker(src: SrcWorld, store: FakeStore) -> None:
    with pytest.raises(TaskDeferred):
        resume(deferrable=True).execute(make_context(store))
    src.sandbox.advance(300)
    assert src.status("gpu-box") == "running"


def test_a_last_try_that_finds_its_machine_broken_pauses_it(src: SrcWorld) -> None:
    store = FakeStore()
    left_by_a_dead_worker(src, store)
    src.world.by_name("gpu-box").status = "unhealthy"
    with pytest.raises(RemoteWorkError, match="unhealthy"):
        src.run(resume(), make_context(store, **LAST_TRY))
    assert src.calls()["POST workspaces/<id>/actions/pause/"] >= 1


def test_a_retry_that_waits_for_another_change_of_its_machine_pauses_it_if_killed(src: SrcWorld) -> None:
    store = FakeStore()
    left_by_a_dead_worker(src, store)
    src.world.platform(src.world.by_name("gpu-box"), "update_nsgs", "API")
    with pytest.raises(TaskDeferred) as deferred:
        resume(deferrable=True).execute(make_context(store, try_number=2))
    assert deferred.value.trigger.serialize()[1]["wait"]["action"] == "settle"
    assert undone(deferred) == [GPU_BOX]


def test_a_clear_in_a_later_wave_takes_over_all_that_was_resumed(src: SrcWorld) -> None:
    names, store = six(src), FakeStore()
    in_second_wave(src, names, store)
    with pytest.raises(TaskDeferred) as again:
        resume(names, deferrable=True, at_once=3).execute(make_context(store, try_number=2, max_tries=3))
    assert sorted(undone(again)) == sorted(src.id_of(name) for name in names)
    result = src.resume(resume(names), again.value, make_context(store, try_number=2, max_tries=3))
    assert len(result["changed"]) == 6
    assert [src.effects(name) for name in names] == [{"resume": 1}] * 6


class FailOnBrokenMachines(RetryPolicy):
    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        return RetryDecision.fail() if isinstance(exception, RemoteWorkError) else RetryDecision.default()


@pytest.mark.parametrize(("policy", "left"), [(ResearchCloudRetryPolicy(), "paused"), (None, "running")])
def test_an_error_after_which_the_retry_policy_is_against_a_retry_pauses_the_machine(
    src: SrcWorld, policy: RetryPolicy | None, left: str
) -> None:
    refuse_a_look(src, GPU_BOX, skip=1)
    with pytest.raises(ForbiddenError):
        src.run(resume(retries=2, retry_policy=policy), make_context())
    src.sandbox.advance(300)
    assert src.status("gpu-box") == left


@BOTH_MODES
@pytest.mark.parametrize(("policy", "pauses"), [(FailOnBrokenMachines(), 1), (ResearchCloudRetryPolicy(), 0)])
def test_a_broken_machine_is_paused_if_the_retry_policy_is_against_a_retry(
    src: SrcWorld, deferrable: bool, policy: RetryPolicy, pauses: int
) -> None:
    src.world.later(20, lambda: src.world.by_name("gpu-box").overrides.update(status="unhealthy"))
    with pytest.raises(RemoteWorkError, match="unhealthy"):
        src.run(resume(deferrable=deferrable, retries=2, retry_policy=policy), make_context())
    assert src.calls()["POST workspaces/<id>/actions/pause/"] >= pauses
    assert pauses or not src.calls()["POST workspaces/<id>/actions/pause/"]


def test_a_resume_without_room_has_nothing_to_pause(src: SrcWorld) -> None:
    began = src.now()
    with contextlib.suppress(RemoteWorkError):
        src.run(resume(NO_GPU), make_context(**LAST_TRY))
    assert src.effects(NO_GPU) == {"resume": 1}
    assert not any(call.endswith("pause/") for call in src.calls())
    assert src.now() - began < 700
