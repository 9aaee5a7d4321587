"""What Airflow does with the operators and sensors while it parses and stores a DAG."""

from __future__ import annotations

import json
from datetime import timedelta

from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_src_provider.operators import src as operators
from airflow_src_provider.sensors.src import SrcCapacitySensor, SrcWorkspaceSensor

SELECTED = {"workspace": {"mine": True, "ends_within": timedelta(days=7), "except": ["gpu-*"]}}
ARGUMENTS = {
    "SrcChangeWalletOperator": {**SELECTED, "wallet": "w"},
    "SrcCreateWorkspaceOperator": {
        "name": "n",
        "collaboration": "c",
        "wallet": "w",
        "catalog_item": "i",
        "lifetime": timedelta(days=1),
        "parameters": {"username": "x"},
    },
    "SrcRequestOperator": {"service": "user", "path": "users/self/"},
    "SrcUpdateFirewallOperator": {**SELECTED, "add": ["in tcp 8080 8080 0.0.0.0/0"]},
    "SrcUpdateStoragesOperator": {**SELECTED, "attach": "v"},
    "SrcUpdateWorkspaceOperator": {**SELECTED, "extend_by": timedelta(days=7)},
    "SrcWorkspaceSensor": {"workspace": ["a", "b"], "states": ["paused"]},
    "SrcCapacitySensor": {"workspace": "gpu-box"},
}
CLASSES = [getattr(operators, name) for name in operators.__all__ if name.endswith("Operator")]


def test_every_operator_and_sensor_can_be_stored() -> None:
    with DAG("dag", schedule=None) as dag:
        for cls in (*CLASSES, SrcWorkspaceSensor, SrcCapacitySensor):
            cls(task_id=cls.__name__, deferrable=True, **ARGUMENTS.get(cls.__name__, SELECTED))
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    for task in stored.task_dict.values():
        assert task.template_fields
        assert "src_link" in str(task.operator_extra_links) or "Capacity" in task.task_id


def test_defaults_of_the_dag_reach_the_operators() -> None:
    defaults = {"src_conn_id": "mine", "deferrable": True, "poll_interval": 7, "at_once": 2, "cancel_on_kill": False}
    with DAG("dag", schedule=None, default_args=defaults):
        task = operators.SrcPauseWorkspaceOperator(task_id="pause", workspace="gpu-box")
    assert {name: getattr(task, name) for name in defaults} == defaults


def test_every_template_field_is_an_attribute() -> None:
    for cls in (*CLASSES, SrcWorkspaceSensor, SrcCapacitySensor):
        task = cls(task_id="task", **ARGUMENTS.get(cls.__name__, SELECTED))
        assert all(hasattr(task, field) for field in cls.template_fields)
