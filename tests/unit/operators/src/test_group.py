"""A workspace for a group of tasks, as DAG code."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.src import SrcPauseWorkspaceOperator, src_workspace
from tests.unit.src_world import GPU_BOX, SrcWorld


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
    arguments = {"name": "box", "collaboration": "c", "wallet": "w", "catalog_item": "i", "lifetime": 3600}
    with DAG("dag", schedule=None) as dag, src_workspace(create=arguments, src_conn_id="other") as box:
        train(host=box["ip"])
    assert {"workspace.create", "workspace.train", "workspace.delete", "workspace.done"} == set(dag.task_ids)
    assert dag.get_task("workspace.delete").src_conn_id == "other"


def test_it_can_be_left_alone() -> None:
    with DAG("dag", schedule=None) as dag, src_workspace(workspace="gpu-box", after="leave") as box:
        train(host=box["ip"])
    assert set(dag.task_ids) == {"workspace.resume", "workspace.train"}
    assert box.closed is None


BAD: list[dict[str, Any]] = [{}, {"workspace": "x", "create": {}}, {"workspace": "x", "after": "stop"}]


@pytest.mark.parametrize("options", BAD)
def test_bad_input_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError), DAG("dag", schedule=None), src_workspace(**options):
        pass


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
