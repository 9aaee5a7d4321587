"""What a deferred task takes along: long lists stay in its memory, so that the row of its trigger is small."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.exceptions import RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
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
