"""A workspace for a group of tasks, as DAG code."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.src import SrcPauseWorkspaceOperator, src_workspace
from tests.unit.src_world import GPU_BOX, SrcWorld

NEW: dict[str, Any] = {"name": "box", "collaboration": "c", "wallet": "w", "catalog_item": "i", "lifetime": 3600}
USED = NEW | {"if_exists": "use"}


@task
def train(host: str) -> None:
    del host


def test_the_tasks_run_between_setup_and_teardown() -> None:
    with DAG("dag", schedule=None) as dag:
        with src_workspace(workspace="gpu-box", deferrable=True, retries=3) as box:
            train(host=box["ip"])
            train.override(task_id="evaluate")(host=box["fqdn"])
        train.override(task_id="after")(host="elsewhere")
    setup, teardown = dag.get_task("workspace.resume"), dag.get_task("workspace.pause")
    assert (setup.is_setup, teardown.is_teardown) == (True, True)
    assert setup.downstream_task_ids == {"workspace.train", "workspace.evaluate", "workspace.pause"}
    assert teardown.upstream_task_ids == setup.downstream_task_ids - {"workspace.pause"} | {"workspace.resume"}
    assert {setup.retries, teardown.retries} == {3}
    assert setup.deferrable
    assert teardown.deferrable
    assert dag.get_task("after").upstream_task_ids == set()
    assert teardown.on_failure_fail_dagrun
    assert dag.get_task("workspace.done").upstream_task_ids == {"workspace.train", "workspace.evaluate"}
    assert {leaf.task_id for leaf in box.group.get_leaves()} == {"workspace.done"}


def test_two_groups_have_two_names() -> None:
    with DAG("dag", schedule=None) as dag:
        for name in ("one", "two"):
            with src_workspace(workspace=name) as box:
                train(host=box["ip"])
    assert {"workspace.resume", "workspace__1.resume"} <= set(dag.task_ids)


def test_a_new_workspace_is_deleted_afterwards() -> None:
    with DAG("dag", schedule=None) as dag, src_workspace(create=NEW, src_conn_id="other") as box:
        train(host=box["ip"])
    assert {"workspace.create", "workspace.train", "workspace.delete", "workspace.done"} == set(dag.task_ids)
    assert dag.get_task("workspace.delete").src_conn_id == "other"


def wanted(dag: DAG, task_id: str) -> str:
    """Return after which output a teardown runs, "always" without one."""
    only_if = dag.get_task(task_id).only_if
    return "always" if only_if is True else f"{only_if.operator.task_id} {only_if.key}"


def test_what_was_there_before_is_left_as_it_was() -> None:
    with DAG("dag", schedule=None) as dag, src_workspace(create=USED, retries=3) as box:
        train(host=box["ip"])
    assert dag.task_ids == [
        f"workspace.{name}" for name in ("create", "resume", "delete", "train", "pause_again", "done")
    ]
    assert wanted(dag, "workspace.delete") == "workspace.create created"
    assert wanted(dag, "workspace.pause_again") == "workspace.resume changed"
    tasks = {name: dag.get_task(f"workspace.{name}") for name in ("create", "resume", "delete", "pause_again")}
    assert all(tasks[name].is_setup for name in ("create", "resume"))
    assert all(tasks[name].is_teardown and tasks[name].on_failure_fail_dagrun for name in ("delete", "pause_again"))
    assert {task.retries for task in tasks.values()} == {3}
    assert "workspace.create" in tasks["resume"].upstream_task_ids
    assert dag.get_task("workspace.train").upstream_task_ids == {"workspace.create", "workspace.resume"}
    for name in ("delete", "pause_again"):
        assert "workspace.train" in tasks[name].upstream_task_ids
        assert not tasks[name].downstream_task_ids
    assert dag.get_task("workspace.done").upstream_task_ids == {"workspace.train"}
    assert {leaf.task_id for leaf in box.group.get_leaves()} == {"workspace.done"}


TEARDOWNS = [
    (USED, {"after": "delete"}, {"delete": "always"}),
    (USED, {"after": "pause"}, {"pause": "always"}),
    (USED, {"after": "leave"}, {}),
    (
        USED,
        {"after": "delete", "leave_running": True},
        {"delete": "workspace.create created", "pause_again": "workspace.resume changed"},
    ),
    (
        USED,
        {"after": "pause", "leave_running": True},
        {"pause": "workspace.create created", "pause_again": "workspace.resume changed"},
    ),
    (NEW, {}, {"delete": "always"}),
    (NEW, {"leave_running": True}, {"delete": "workspace.create created"}),
    (
        USED | {"application_type": "Storage", "lifetime": None},
        {},
        {"delete": "workspace.create created"},
    ),
]


@pytest.mark.parametrize(("create", "options", "expected"), TEARDOWNS)
def test_what_is_deleted_and_what_is_paused(
    create: dict[str, Any], options: dict[str, Any], expected: dict[str, str]
) -> None:
    with DAG("dag", schedule=None) as dag, src_workspace(create=create, **options) as box:
        train(host=box["id"])
    teardowns = [task.task_id for task in dag.tasks if task.is_teardown]
    assert {name.removeprefix("workspace."): wanted(dag, name) for name in teardowns} == expected


def test_it_can_be_left_alone() -> None:
    with DAG("dag", schedule=None) as dag, src_workspace(workspace="gpu-box", after="leave") as box:
        train(host=box["ip"])
    assert set(dag.task_ids) == {"workspace.resume", "workspace.train"}
    assert box.closed is None


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "workspace, create"),
    ({"workspace": "x", "create": {}}, "workspace, create"),
    ({"workspace": "x", "after": "stop"}, "after"),
    ({"workspace": "x", "after": ""}, "after"),
    ({"workspace": "x", "after": []}, "after"),
    ({"workspace": 5}, "workspace"),
    ({"create": 5}, "create"),
    ({"create": "use"}, "create"),
    ({"workspace": "x", "leave_running": "no"}, "leave_running"),
    ({"workspace": "x", "leave_running": None}, "leave_running"),
]


@pytest.mark.parametrize(("options", "parameter"), BAD)
def test_bad_input_is_refused(options: dict[str, Any], parameter: str) -> None:
    with (
        pytest.raises(InvalidInputError) as error,
        DAG("dag", schedule=None),
        src_workspace(**options),
    ):
        pass
    assert error.value.parameter == parameter


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    with DAG("dag", schedule=None), src_workspace(workspace="x") as box, pytest.raises(KeyError, match="fqdn"):
        box["address"]


@pytest.mark.parametrize("value", [False, None, "False", "None", ""])
def test_what_is_not_wanted_is_skipped_without_a_call(src: SrcWorld, value: Any) -> None:
    with pytest.raises(AirflowSkipException):
        src.run(SrcPauseWorkspaceOperator(task_id="pause", workspace_id=GPU_BOX, only_if=value))
    assert src.sandbox.journal() == []


def test_true_as_text_is_wanted(src: SrcWorld) -> None:
    assert src.run(SrcPauseWorkspaceOperator(task_id="pause", workspace_id=GPU_BOX, only_if="True"))["id"] == GPU_BOX
