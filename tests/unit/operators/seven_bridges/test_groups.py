"""Tasks that belong together: cut once, ended by a kill and by a clear, started again when they are gone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.exceptions import RemoteWorkError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesAbortTaskOperator,
    SevenBridgesRerunFailedTasksOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_aborted import submit
from tests.unit.operators.seven_bridges.test_exactly_once import Killed, archive_ids, run_many
from tests.unit.sb_world import ARCHIVE, SbWorld

BY_QUERY: dict[str, Any] = {
    "inputs": {"reads": {"project": ARCHIVE, "name_pattern": "S000*.fastq.gz"}},
    "max_children": 4,
}
AT_REST = {"ABORTED", "ABORTING", "COMPLETED", "FAILED"}


def dies_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int, before: Any = lambda: None) -> None:
    """Have the worker die instead of one call of a method, once."""
    original, calls = getattr(Tasks, name), []

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == number:
            before()
            raise Killed
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Tasks, name, method)


def tops(sb: SbWorld) -> list[Any]:
    return [task for task in sb.store.tasks.values() if task.parent is None]


def samples(sb: SbWorld) -> Counter[str]:
    """Return in how many batches each sample is."""

    def of(file: dict[str, Any]) -> str:
        return str(file.get("name") or sb.store.nodes[file["path"]].name).split("_")[0]

    return Counter(sample for task in tops(sb) for sample in {of(file) for file in task.inputs["reads"]})


def remove(sb: SbWorld, sample: str) -> None:
    for node in [n for n in sb.store.nodes.values() if n.project == ARCHIVE and n.name.startswith(f"{sample}_")]:
        sb.client.files.delete(node.id)


def delete(sb: SbWorld, batch: str) -> None:
    """End a batch and have it vanish."""
    sb.client.tasks.abort(batch)
    sb.sandbox.advance(60)
    with sb.sandbox.app.lock:
        for task in [task for task in sb.store.tasks.values() if batch in (task.id, task.parent)]:
            del sb.store.tasks[task.id]


@pytest.mark.parametrize("sent", [1, 2])
def test_a_batch_is_cut_once(sb: SbWorld, monkeypatch: pytest.MonkeyPatch, sent: int) -> None:
    store = FakeStore()
    dies_at(monkeypatch, "create", sent + 1)
    with pytest.raises(Killed):
        sb.run(submit(sb, **BY_QUERY), make_context(store))
    remove(sb, "S0001")
    sb.run(submit(sb, **BY_QUERY, on_item_failure="skip", wait_for_completion=False), make_context(store, try_number=2))
    assert samples(sb) == {f"S000{n}": 1 for n in range(1, 10)}
    assert len(tops(sb)) == 3


@pytest.mark.parametrize("more", [{}, {"batch_input": None, "batch_by": None}])
def test_a_retry_looks_for_files_anew_when_nothing_came_of_the_first_try(sb: SbWorld, more: dict[str, Any]) -> None:
    store = FakeStore()
    sb.sandbox.configure(sb={"fail_tasks": "salmon"})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb, **BY_QUERY, **more), make_context(store))
    sb.sandbox.configure(sb={"fail_tasks": None})
    remove(sb, "S0001")
    before = samples(sb)
    sb.run(submit(sb, **BY_QUERY, **more), make_context(store, try_number=2))
    assert samples(sb) - before == {f"S000{n}": 1 for n in range(2, 10)}


def test_a_retry_looks_for_files_anew_when_the_platform_refused_the_first_part(sb: SbWorld) -> None:
    store, single = FakeStore(), {"batch_input": None, "batch_by": None}
    with pytest.raises(RemoteWorkError, match="refused the inputs"):
        sb.run(submit(sb, **single, inputs={"threads": 2}), make_context(store))
    assert sb.run(submit(sb, **single), make_context(store, try_number=2))["failed"] == 0


def again(sb: SbWorld, tasks: Any, **more: Any) -> SevenBridgesRerunFailedTasksOperator:
    return SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=tasks, **more)


def failed_batch(sb: SbWorld, failures: int = 3) -> str:
    sb.sandbox.configure(sb={"batch_failed_children": failures})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    return str(tops(sb)[0].id)


@pytest.mark.parametrize("name", ["batch", "many", "rerun"])
def test_a_kill_during_the_look_of_a_retry_ends_what_the_first_try_started(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    batch = failed_batch(sb) if name == "rerun" else ""

    def make() -> BaseOperator:
        if name == "rerun":
            return again(sb, batch)
        return submit(sb, **BY_QUERY) if name == "batch" else run_many(sb)

    store = FakeStore()
    with monkeypatch.context() as patch:
        dies_at(patch, "create", 2 if name != "rerun" else 99)
        dies_at(patch, "get_many", 1 if name != "rerun" else 3)
        with pytest.raises(Killed):
            sb.run(make(), make_context(store))
    started = [task for task in tops(sb) if task.status not in AT_REST]
    assert len(started) == 1
    retry = make()
    dies_at(monkeypatch, "get_many", 1, retry.on_kill)
    with pytest.raises(Killed):
        sb.run(retry, make_context(store, try_number=2))
    assert {task.status for task in started} <= AT_REST


def test_a_kill_after_a_wait_ends_what_still_runs(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context()
    with pytest.raises(TaskDeferred) as deferred:
        run_many(sb, deferrable=True).execute(context)
    event = sb.event_of(deferred.value)
    task = run_many(sb, deferrable=True)

    def killed(*_: Any) -> None:
        task.on_kill()
        raise Killed

    monkeypatch.setattr(task, "_bodies", killed)
    with sb.sandbox.app.lock:
        # One of the two still runs.
        running = sb.store.tasks[event["carry"]["work"][1]["task"]]
        running.status = "RUNNING"
    event["results"].pop(running.id, None)
    with pytest.raises(Killed):
        task.resume_execution(deferred.value.method_name, {"event": event}, context)
    assert running.status in AT_REST


@pytest.mark.parametrize("name", ["rerun", "retry of a rerun", "retry of a batch"])
def test_a_clear_ends_what_runs_again(sb: SbWorld, name: str) -> None:
    batch = "" if name == "retry of a batch" else failed_batch(sb)

    def make() -> BaseOperator:
        return again(sb, batch, deferrable=True) if batch else submit(sb, deferrable=True)

    store, tries = FakeStore(), 1
    if name != "rerun":
        sb.sandbox.configure(sb={"batch_failed_children": 2})
        with pytest.raises(RemoteWorkError):
            sb.run(make(), make_context(store))
        sb.sandbox.configure(sb={"batch_failed_children": 0})
        tries = 2
    with pytest.raises(TaskDeferred):
        make().execute(make_context(store, try_number=tries))
    running = [task for task in tops(sb) if task.status not in AT_REST]
    assert len(running) == 1
    with pytest.raises(TaskDeferred):
        make().execute(make_context(store, try_number=tries + 1, max_tries=5))
    assert {task.status for task in running} <= AT_REST


@pytest.mark.parametrize("when", ["between two tries", "while it is waited for"])
def test_a_rerun_that_is_gone_is_started_again(sb: SbWorld, when: str) -> None:
    batch, store = failed_batch(sb), FakeStore()
    task = again(sb, batch, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(make_context(store))
    delete(sb, tops(sb)[1].id)
    if when == "while it is waited for":
        with pytest.raises(RemoteWorkError, match="1 of"):
            sb.resume(task, deferred.value, make_context(store))
    result = sb.run(again(sb, batch), make_context(store, try_number=2))
    assert (result["completed"], result["failed"], result["rerun"]) == (10, 0, 3)


@pytest.mark.parametrize("when", ["between two tries", "while it is waited for"])
def test_one_part_of_several_that_is_gone_is_started_again(sb: SbWorld, when: str) -> None:
    store, more = FakeStore(), {"inputs": {"reads": archive_ids(sb, 20)}, "max_children": 5}
    task = submit(sb, **more, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(make_context(store))
    delete(sb, tops(sb)[1].id)
    if when == "while it is waited for":
        with pytest.raises(RemoteWorkError):
            sb.resume(task, deferred.value, make_context(store))
    result = sb.run(submit(sb, **more), make_context(store, try_number=2))
    assert (result["completed"], len(set(result["task_ids"])), result["failed"]) == (10, 10, 0)
    assert (samples(sb), sb.effects()["tasks_created"]) == ({f"S{n:04d}": 1 for n in range(1, 11)}, 3)


@pytest.mark.parametrize("started", [None, 3600.0])
def test_a_batch_of_which_the_memory_was_lost_is_found(sb: SbWorld, started: float | None) -> None:
    run = None if started is None else SimpleNamespace(start_date=datetime.fromtimestamp(sb.now() - started, UTC))
    store = FakeStore()
    first = sb.run(submit(sb, wait_for_completion=False), make_context(store, dag_run=run))
    store.clear()
    sb.sandbox.advance(1800)
    result = sb.run(submit(sb), make_context(store, try_number=2, dag_run=run))
    assert (result["batch_ids"], len(tops(sb))) == (first["batch_ids"], 1)


def test_what_an_earlier_try_has_aborted_is_waited_for(sb: SbWorld) -> None:
    task_id = sb.run(submit(sb, wait_for_completion=False))["task_id"]
    sb.client.tasks.abort(task_id)
    assert sb.store.tasks[task_id].status == "ABORTING"
    result = sb.run(SevenBridgesAbortTaskOperator(task_id="abort", tasks=[task_id]), make_context(try_number=2))
    assert (result["aborted"], sb.store.tasks[task_id].status) == ([task_id], "ABORTED")
