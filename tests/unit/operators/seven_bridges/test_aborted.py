"""What an earlier try ended because its time was over is run again by the very next one: only that, and once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_src_provider.exceptions import RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesRerunFailedTasksOperator,
    SevenBridgesSubmitTaskOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import DyingStore, Killed, archive_ids
from tests.unit.sb_world import APP, ARCHIVE, SbWorld

both = pytest.mark.parametrize("deferrable", [True, False])
#: Seconds until no child has ended, some have, and all but the last have.
TIMES = pytest.mark.parametrize("seconds", [5, 100, 500])


@pytest.fixture(autouse=True)
def two_at_a_time(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"max_parallel_children": 4})


def submit(sb: SbWorld, **more: Any) -> SevenBridgesSubmitTaskOperator:
    given: dict[str, Any] = {
        "name": "salmon",
        "project": ARCHIVE,
        "app": APP,
        "inputs": {"reads": archive_ids(sb, 20)},
        "batch_input": "reads",
        "batch_by": ["metadata.sample_id"],
    }
    return SevenBridgesSubmitTaskOperator(task_id="salmon", **{**given, **more})


def samples(sb: SbWorld) -> Counter[str]:
    """Return how often each sample has completed."""
    tasks = sb.store.tasks.values()
    return Counter(str(task.batch_group) for task in tasks if task.parent and task.status == "COMPLETED")


@both
@TIMES
def test_a_batch(sb: SbWorld, seconds: float, deferrable: bool) -> None:
    store = FakeStore()
    with pytest.raises(WaitTimeoutError):
        sb.run(submit(sb, timeout=seconds, deferrable=deferrable), make_context(store))
    result = sb.run(submit(sb, deferrable=deferrable), make_context(store, try_number=2))
    assert (result["status"], result["completed"], result["failed"]) == ("COMPLETED", 10, 0)
    assert len(set(result["task_ids"])) == len(set(result["output_file_ids"])) == 10
    assert sorted(samples(sb).values()) == [1] * 10
    assert sb.calls()["POST tasks"] == 2
    effects = sb.effects()
    again = sb.run(submit(sb, deferrable=deferrable), make_context(store, try_number=3))
    assert (sb.effects(), sorted(again["task_ids"])) == (effects, sorted(result["task_ids"]))


@TIMES
def test_one_part_of_several(sb: SbWorld, seconds: float) -> None:
    store = FakeStore()
    first = sb.run(submit(sb, max_children=5, wait_for_completion=False), make_context(store))
    sb.sandbox.advance(seconds)
    sb.client.tasks.abort(first["batch_ids"][0])
    result = sb.run(submit(sb, max_children=5), make_context(store, try_number=2))
    assert (result["completed"], result["failed"], sb.calls()["POST tasks"]) == (10, 0, 3)
    assert sorted(samples(sb).values()) == [1] * 10


@both
def test_twice(sb: SbWorld, deferrable: bool) -> None:
    store = FakeStore()
    for number in (1, 2):
        with pytest.raises(WaitTimeoutError):
            sb.run(submit(sb, timeout=100, deferrable=deferrable), make_context(store, try_number=number))
    result = sb.run(submit(sb, deferrable=deferrable), make_context(store, try_number=3))
    assert (result["completed"], result["failed"]) == (10, 0)
    assert sorted(samples(sb).values()) == [1] * 10


@TIMES
def test_the_answer_of_the_second_batch_is_lost(sb: SbWorld, seconds: float) -> None:
    store = FakeStore()
    with pytest.raises(WaitTimeoutError):
        sb.run(submit(sb, timeout=seconds), make_context(store))
    sb.sandbox.fault(service="sb", method="POST", path=r"/tasks(\?|$)", action="close", when="after")
    result = sb.run(submit(sb), make_context(store, try_number=2))
    assert (result["completed"], result["failed"], sb.calls()["POST tasks"]) == (10, 0, 2)


@pytest.mark.parametrize("after", [False, True])
@TIMES
def test_the_worker_dies_at_every_write_of_the_retry(sb: SbWorld, seconds: float, after: bool) -> None:
    for moment in range(1, 30):
        sb.sandbox.reset()
        memory = FakeStore()
        with pytest.raises(WaitTimeoutError):
            sb.run(submit(sb, timeout=seconds), make_context(memory))
        store = DyingStore(moment, after=after)
        store.update(memory)
        try:
            sb.run(submit(sb), make_context(store, try_number=2))
        except Killed:
            result = sb.run(submit(sb), make_context(store, try_number=3))
            assert (result["completed"], result["failed"]) == (10, 0), f"killed at write {moment}"
            assert sb.calls()["POST tasks"] == 2, f"killed at write {moment}"
        else:
            assert moment > 3, "the worker never died"
            break


@both
def test_running_again_what_failed(sb: SbWorld, deferrable: bool) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 6})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    (batch,) = [task.id for task in sb.store.tasks.values() if task.parent is None]

    def again(**more: Any) -> SevenBridgesRerunFailedTasksOperator:
        return SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=batch, deferrable=deferrable, **more)

    store = FakeStore()
    with pytest.raises(WaitTimeoutError):
        sb.run(again(timeout=300), make_context(store))
    result = sb.run(again(), make_context(store, try_number=2))
    assert (result["completed"], result["failed"], result["rerun"]) == (10, 0, 6)
    assert sorted(samples(sb).values()) == [1] * 10
