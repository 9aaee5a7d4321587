"""Every try of a task run works on the workspaces of the first, though what it did changes what a filter finds."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.exceptions import RemoteWorkError
from airflow_src_provider.operators.src import SrcDeleteWorkspaceOperator, SrcResumeWorkspaceOperator
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import NO_GPU, SrcWorld

PAUSED = {"status": "paused", "name": [NO_GPU, "z-*"]}


def resume(workspace: Any = PAUSED, **options: Any) -> SrcResumeWorkspaceOperator:
    return SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, deferrable=True, **options)


def test_a_retry_goes_on_with_what_the_filter_does_not_find_any_more(src: SrcWorld) -> None:
    store = FakeStore()
    names = [one.name for one in src.world.add_workspaces(2, "z-", status="paused")]
    filter_ = {"status": "paused", "name": "z-*"}
    with pytest.raises(TaskDeferred):
        resume(filter_).execute(make_context(store))
    src.sandbox.advance(30)
    result = src.run(resume(filter_), make_context(store, try_number=2))
    assert [one["name"] for one in result["workspaces"]] == names
    assert len(result["changed"]) == 2
    assert [src.effects(name) for name in names] == [{"resume": 1}, {"resume": 1}]


def test_a_pause_for_a_full_queue_does_not_lose_what_was_sent_before_it(src: SrcWorld) -> None:
    src.world.add_workspaces(2, "z-", status="paused")
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
    rule = {"service": "src", "method": "POST", "path": "actions/resume", "action": "status", "status": 503}
    src.sandbox.fault(**rule, json=answer, headers={"Retry-After": "120"}, skip=1, times=1)
    context = make_context()
    with pytest.raises(TaskDeferred) as paused:
        resume().execute(context)
    assert paused.value.method_name == "after_pause"
    src.sandbox.advance(125)
    event = {"status": "success", "carry": paused.value.trigger.carry}  # type: ignore[attr-defined]
    again = resume()
    with pytest.raises(TaskDeferred) as waiting:
        again.resume_execution(paused.value.method_name, {"event": event}, context)
    with pytest.raises(RemoteWorkError, match=f"1 of 3 workspaces failed:\n.*{NO_GPU}: resume failed: Timeout waiting"):
        src.resume(again, waiting.value, context)
    assert src.effects(NO_GPU) == {"resume": 1}


def test_a_clear_and_a_changed_filter_select_anew(src: SrcWorld) -> None:
    store = FakeStore()
    names = [one.name for one in src.world.add_workspaces(3, "z-", status="paused")]
    for filter_, context, found in (
        ({"status": "paused", "name": names[0]}, {}, names[:1]),
        ({"status": "paused", "name": names[1]}, {"try_number": 2}, names[1:2]),
        ({"status": "paused", "name": "z-*"}, {"try_number": 2, "max_tries": 3}, names[2:]),
    ):
        result = src.run(resume(filter_), make_context(store, **context))
        assert [one["name"] for one in result["workspaces"]] == found


def test_a_retry_looks_at_what_was_selected_with_no_more_calls_than_a_filter_takes(src: SrcWorld) -> None:
    src.world.add_workspaces(150, "z-")
    store = FakeStore()
    before = sum(src.calls().values())
    counts = []
    for number in (1, 2):
        result = src.run(resume({"name": "z-*"}), make_context(store, try_number=number))
        assert result["count"] == 150
        counts.append(sum(src.calls().values()) - before - sum(counts))
    assert counts[1] <= counts[0] + 1


@pytest.mark.parametrize("left", [1, 0])
def test_a_retry_forgets_what_somebody_has_deleted_since(src: SrcWorld, left: int) -> None:
    store = FakeStore()
    boxes = src.world.add_workspaces(2, "z-", status="paused")
    with pytest.raises(TaskDeferred):
        resume({"name": "z-*"}).execute(make_context(store))
    src.sandbox.advance(300)
    for box in boxes[left:]:
        src.world.platform(box, "delete", "API")
    assert src.run(resume({"name": "z-*"}), make_context(store, try_number=2))["count"] == left
    src.sandbox.advance(300)
    assert src.run(resume({"name": "z-*"}), make_context(store, try_number=3))["count"] == left


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_retry_of_a_deletion_by_name_finds_it_done(src: SrcWorld, deferrable: bool) -> None:
    store = FakeStore()

    def delete() -> SrcDeleteWorkspaceOperator:
        return SrcDeleteWorkspaceOperator(task_id="delete", workspace="gpu-box", deferrable=deferrable)

    task = delete()
    carry = task.submit(make_context(store))
    task._next_wave(make_context(store), carry)
    src.sandbox.advance(300)
    result = src.run(delete(), make_context(store, try_number=2))
    assert (result["status"], result["id"]) == ("deleted", src.id_of("gpu-box"))
    assert src.effects("gpu-box") == {"delete": 1}
