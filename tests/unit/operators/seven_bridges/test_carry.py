"""What a deferred task takes along: long lists stay in its memory, so that the row of its trigger is small."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.exceptions import RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators import durable
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesDeleteFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesRerunFailedTasksOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import Killed, archive_ids, run_many
from tests.unit.operators.seven_bridges.test_groups import dies_at
from tests.unit.operators.seven_bridges.test_tasks import many, submit
from tests.unit.sb_world import PROJECT, RESULTS, VOLUME, SbWorld

#: Bytes of a job's id and its comma, which the trigger has to know.
JOB = 40


def import_files(sb: SbWorld, count: int, **more: Any) -> BaseOperator:
    locations = [f"run1/S{n // 2:04d}_R{n % 2 + 1}.fastq.gz" for n in range(2, count + 2)]
    return SevenBridgesImportFilesOperator(
        task_id="step", volume=VOLUME, locations=locations, project=PROJECT, deferrable=True, **more
    )


def export_files(sb: SbWorld, count: int, **more: Any) -> BaseOperator:
    files = archive_ids(sb, count)
    return SevenBridgesExportFilesOperator(
        task_id="step", files=files, volume=VOLUME, prefix="out/", keep_on_platform=True, deferrable=True, **more
    )


def copy_files(sb: SbWorld, count: int, **more: Any) -> BaseOperator:
    there = next((node.id for node in sb.store.nodes.values() if node.name == "shared"), None)
    there = there or sb.client.files.create_folder("shared", project=RESULTS)["id"]
    return SevenBridgesCopyFilesOperator(
        task_id="step", files=archive_ids(sb, count), parent=there, deferrable=True, **more
    )


Make = Callable[..., BaseOperator]
every = pytest.mark.parametrize("make", [import_files, export_files, copy_files])


def deferred(task: BaseOperator, context: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


def size(task: TaskDeferred) -> int:
    return len(json.dumps(task.trigger.serialize()[1]))


def go_on(sb: SbWorld, make: Make, wait: TaskDeferred, context: Any, count: int, **more: Any) -> Any:
    """Go on in another process."""
    task = make(sb, count, **more)
    return task.resume_execution(wait.method_name, {"event": sb.event_of(wait)}, context)


@every
@pytest.mark.parametrize("count", [1, 100, 250, 1000])
def test_small_and_whole(sb: SbWorld, make: Make, count: int) -> None:
    context = make_context()
    wait = deferred(make(sb, count), context)
    if count > 100:
        assert size(wait) < 1000 + JOB * count
    result = go_on(sb, make, wait, context, count)
    assert result["failed"] == 0
    assert len(set(result.get("file_ids") or result["locations"])) == count


@every
@pytest.mark.parametrize("memory", ["forgets", "is missing"])
def test_without_memory_all_of_it_travels(sb: SbWorld, make: Make, memory: str) -> None:
    context = make_context()
    if memory == "is missing":
        del context["task_state_store"]
    more = {"durable": memory == "is missing"}
    wait = deferred(make(sb, 250, **more), context)
    result = go_on(sb, make, wait, context, 250, **more)
    assert (result["failed"], len(set(result.get("file_ids") or result["locations"]))) == (0, 250)


@every
def test_a_memory_that_was_lost_is_no_success_and_a_retry_finds_all(sb: SbWorld, make: Make) -> None:
    store = FakeStore()
    wait = deferred(make(sb, 250), make_context(store))
    effects = sb.effects()
    store.clear()
    with pytest.raises(RemoteWorkError, match="a retry looks"):
        go_on(sb, make, wait, make_context(store), 250)
    result = sb.run(make(sb, 250), make_context(store, try_number=2))
    assert (result["failed"], len(set(result.get("file_ids") or result["locations"]))) == (0, 250)
    for effect in ("imports_created", "exports_created", "async_copy_jobs_created"):
        assert sb.effects().get(effect) == effects.get(effect)


@every
def test_its_time_is_over(sb: SbWorld, make: Make) -> None:
    context = make_context()
    wait = deferred(make(sb, 250), context)
    carry = json.loads(json.dumps(wait.trigger.serialize()[1]["carry"]))
    event = {"status": "timeout", "results": {}, "failed": {}, "pending": ["x"], "message": "", "carry": carry}
    task = make(sb, 250)
    with pytest.raises(WaitTimeoutError, match="1 unfinished"):
        task.resume_execution(wait.method_name, {"event": event}, context)


@every
@pytest.mark.parametrize(("days", "outlived"), [(29, False), (31, True)])
def test_a_wait_that_may_outlive_its_memory_takes_all_along(sb: SbWorld, make: Make, days: int, outlived: bool) -> None:
    wait = deferred(make(sb, 250, timeout=days * 86400.0), make_context())
    assert ("records" in wait.trigger.serialize()[1]["carry"]) == outlived


def rows(sb: SbWorld, make: Callable[[], BaseOperator], context: Any) -> tuple[list[int], Any]:
    """Run a task, each time in another process; return the sizes of its triggers' rows, and what it returned."""
    sizes: list[int] = []
    method, event = "execute", None
    while True:
        try:
            task = make()
            result = (
                task.execute(context) if event is None else task.resume_execution(method, {"event": event}, context)
            )
        except TaskDeferred as wait:
            sizes.append(size(wait))
            method, event = wait.method_name, sb.event_of(wait)
        else:
            return sizes, result


@pytest.mark.parametrize("memory", [True, False])
def test_many_tasks_take_along_what_runs(sb: SbWorld, memory: bool) -> None:
    more = {"max_running": 20, "deferrable": True, "durable": memory}
    sizes, result = rows(sb, lambda: many(sb, 70, **more), make_context())
    assert len(sizes) > 10
    assert (max(sizes) < 1000 + JOB * 20) is memory
    assert (result["completed"], len(set(result["task_ids"])), result["failed"]) == (70, 70, 0)
    assert (len(result["by_name"]), len(set(result["output_file_ids"]))) == (70, 70)


def test_failures_of_many_tasks_are_remembered_as_well(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"fail_tasks": "salmon [12]7$"})
    make = lambda: many(sb, 60, max_running=30, deferrable=True, on_item_failure="skip")  # noqa: E731
    _, result = rows(sb, make, make_context())
    assert (result["completed"], sorted(result["failures"])) == (58, ["salmon 17", "salmon 27"])


def test_what_a_retry_finds_finished_stays_in_the_memory(sb: SbWorld) -> None:
    store = FakeStore()
    first = deferred(many(sb, 100, max_running=100, deferrable=True), make_context(store))
    sb.event_of(first)
    with sb.sandbox.app.lock:
        # One more runs when the retry looks.
        sb.store.tasks[first.trigger.serialize()[1]["wait"]["ids"][9]].status = "RUNNING"
    retry = deferred(many(sb, 100, max_running=100, deferrable=True), make_context(store, try_number=2))
    assert size(retry) < 1500
    with sb.sandbox.app.lock:
        sb.store.tasks[first.trigger.serialize()[1]["wait"]["ids"][9]].status = "COMPLETED"
    result = many(sb, 100, max_running=100, deferrable=True).resume_execution(
        retry.method_name, {"event": sb.event_of(retry)}, make_context(store, try_number=2)
    )
    assert (result["completed"], result["failed"], len(result["task_ids"])) == (100, 0, 100)


def test_a_rerun_leaves_what_was_done_before_in_the_memory(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 3})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb, 500))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    batch = next(task.id for task in sb.store.tasks.values() if task.parent is None)
    make = lambda: SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=batch, deferrable=True)  # noqa: E731
    sizes, result = rows(sb, make, make_context())
    assert max(sizes) < 1500
    assert (result["completed"], len(set(result["task_ids"])), len(set(result["output_file_ids"]))) == (250, 250, 250)


def test_a_deletion_leaves_in_the_memory_what_it_deletes(sb: SbWorld) -> None:
    ids = archive_ids(sb, 300)
    folder = sb.client.files.create_folder("old", project=RESULTS)["id"]
    sb.client.files.copy(ids[0], parent=folder)
    make = lambda: SevenBridgesDeleteFilesOperator(task_id="out", files=ids, folders=[folder], deferrable=True)  # noqa: E731
    sizes, result = rows(sb, make, make_context())
    assert max(sizes) < 1000
    assert (result["deleted"], len(set(result["file_ids"])), result["failed"]) == (301, 301, 0)


def test_a_retry_lets_what_was_sent_before_it_settle_once_and_not_after_every_wait(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rests = FakeStore(), []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        sb.sleep(seconds)

    def run(method: str, *args: Any) -> Any:
        return getattr(run_many(sb, deferrable=True, poll_interval=5), method)(*args, make_context(store, try_number=2))

    with monkeypatch.context() as patch:
        dies_at(patch, "create", 2)
        with pytest.raises(Killed):
            run_many(sb, deferrable=True).execute(make_context(store))
    monkeypatch.setattr(durable.time, "sleep", rest)
    step: tuple[Any, ...] = ("execute",)
    mark, waits = sb.mark(), 0
    while True:
        try:
            run(*step)
            break
        except TaskDeferred as wait:
            waits += 1
            step = ("resume_execution", wait.method_name, {"event": sb.event_of(wait)})
    assert len(rests) == 1
    assert sb.calls(mark)["GET tasks"] >= waits > 2, "after each wait it looks all the same"
