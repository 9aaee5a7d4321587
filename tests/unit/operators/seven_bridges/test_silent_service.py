"""A service that says nothing about single entries for a moment: nothing is started again, and nothing is left out."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_src_provider.client.seven_bridges.bulk import ItemError
from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.exceptions import RemoteWorkError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesAbortTaskOperator,
    SevenBridgesRerunFailedTasksOperator,
    SevenBridgesSubmitTaskOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, SbWorld

DOWN = {"error": {"status": 503, "code": 7000, "message": "the service of tasks does not answer"}}


def submit(sb: SbWorld, **more: Any) -> SevenBridgesSubmitTaskOperator:
    reads = {"reads": archive_ids(sb, 4)}
    return SevenBridgesSubmitTaskOperator(task_id="run", name="run", project=ARCHIVE, app=APP, inputs=reads, **more)


def answer_about(monkeypatch: pytest.MonkeyPatch, silent: Any) -> None:
    """Let bulk answers about tasks be errors that pass, where ``silent`` of call number and position says so."""
    bulk, calls = Tasks._bulk, []

    def answer(self: Tasks, path: str, json: dict[str, Any], params: Any = None) -> Any:
        calls.append(path)
        told = bulk(self, path, json, params)
        told["items"] = [DOWN if silent(len(calls), n) else item for n, item in enumerate(told["items"])]
        return told

    monkeypatch.setattr(Tasks, "_bulk", answer)


@pytest.mark.parametrize(
    ("status", "code", "passes"),
    [
        (429, None, True),
        (500, None, True),
        (503, 7000, True),
        (404, None, False),
        (None, 7002, False),
        (None, None, True),
    ],
)
def test_errors_that_pass(status: int | None, code: int | None, passes: bool) -> None:
    assert ItemError(status, code, "").may_pass is passes


def test_a_task_is_not_gone_because_the_service_is(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    first = sb.run(submit(sb, wait_for_completion=False), make_context(store))
    answer_about(monkeypatch, lambda call, position: True)
    again = sb.run(submit(sb, wait_for_completion=False), make_context(store, try_number=2))
    assert again["task_id"] == first["task_id"]
    assert sb.effects()["tasks_created"] == 1


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_wait_goes_on(sb: SbWorld, monkeypatch: pytest.MonkeyPatch, deferrable: bool) -> None:
    answer_about(monkeypatch, lambda call, position: call <= 3)
    assert sb.run(submit(sb, deferrable=deferrable))["status"] == "COMPLETED"


def test_a_rerun_leaves_no_child_out(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 2})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb, batch_input="reads", batch_by=["metadata.sample_id"]))
    (batch,) = [task["id"] for task in sb.client.tasks.list(project=ARCHIVE, batch=True)]
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    # The second bulk call asks for the inputs of the failed children.
    answer_about(monkeypatch, lambda call, position: call == 2 and position == 1)
    with pytest.raises(RemoteWorkError, match="without an answer"):
        sb.run(SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=batch))
    assert sb.run(SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=batch))["rerun"] == 2


def test_a_retry_leaves_no_child_out(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    store, batch = FakeStore(), {"batch_input": "reads", "batch_by": ["metadata.sample_id"]}
    sb.sandbox.configure(sb={"batch_failed_children": 1})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb, **batch), make_context(store))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    answer_about(monkeypatch, lambda call, position: call == 2)
    with pytest.raises(RemoteWorkError, match="says nothing"):
        sb.run(submit(sb, **batch), make_context(store, try_number=2))
    assert len(sb.run(submit(sb, **batch), make_context(store, try_number=3))["task_ids"]) == 2


@pytest.fixture
def strange_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every task that moves show a status that nobody knows."""
    bulk = Tasks._bulk

    def answer(self: Tasks, path: str, json: dict[str, Any], params: Any = None) -> Any:
        told = bulk(self, path, json, params)
        for task in (item["resource"] for item in told["items"]):
            if task["status"] in ("CREATING", "QUEUED", "RUNNING"):
                task["status"] = "HIBERNATING"
        return told

    monkeypatch.setattr(Tasks, "_bulk", answer)


@pytest.mark.usefixtures("strange_states")
def test_a_task_in_a_state_that_nobody_knows_is_ended(sb: SbWorld) -> None:
    task = sb.run(submit(sb, wait_for_completion=False))["task_id"]
    result = sb.run(SevenBridgesAbortTaskOperator(task_id="abort", tasks=task))
    assert (result["aborted"], result["ended_before"]) == ([task], [])
    assert sb.effects()["tasks_aborted_by_user"] == 1


@pytest.mark.usefixtures("strange_states")
def test_a_clear_ends_a_task_in_a_state_that_nobody_knows(sb: SbWorld) -> None:
    store = FakeStore()
    sb.run(submit(sb, wait_for_completion=False), make_context(store))
    sb.run(submit(sb, wait_for_completion=False), make_context(store, try_number=2, max_tries=5))
    assert sb.effects()["tasks_aborted_by_user"] == 1
