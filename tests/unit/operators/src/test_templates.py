"""Lists and mappings that a template has turned into text are read as what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG
from jinja2.nativetypes import NativeEnvironment
from jinja2.sandbox import SandboxedEnvironment

from airflow_src_provider.client.src.bodies import interactive_parameters
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.src import (
    SrcListWorkspacesOperator,
    SrcResumeWorkspaceOperator,
    SrcUpdateFirewallOperator,
    SrcUpdateStoragesOperator,
)
from airflow_src_provider.sensors.src import SrcWorkspaceSensor
from tests.unit.fakes import make_context
from tests.unit.src_world import GPU_BOX, SrcWorld

written = pytest.mark.parametrize("write", [json.dumps, repr], ids=["JSON", "Python"])
RULES = ["in tcp 8080 8080 0.0.0.0/0", "in tcp 8081 8081 0.0.0.0/0"]


@written
@pytest.mark.parametrize("deferrable", [False, True])
def test_workspaces(src: SrcWorld, write: Callable[[Any], str], deferrable: bool) -> None:
    ids = [GPU_BOX, src.id_of("login-box")]
    for given in ({"workspace": ["gpu-box", "login-box"]}, {"workspace_id": ids}):
        texts = {name: write(value) for name, value in given.items()}
        result = src.run(SrcResumeWorkspaceOperator(task_id="resume", deferrable=deferrable, **texts))
        assert (result["count"], set(result["ids"])) == (2, set(ids))
    assert src.effects("gpu-box") == {"resume": 1}


@written
def test_a_filter(src: SrcWorld, write: Callable[[Any], str]) -> None:
    found = [
        src.run(SrcListWorkspacesOperator(task_id="list", workspace=workspace))["ids"]
        for workspace in ({"name": ["gpu-*", "login-*"]}, write({"name": ["gpu-*", "login-*"]}), {"name": "gpu-*"})
    ]
    assert found[0] == found[1] != found[2]


@written
def test_what_else_is_a_list(src: SrcWorld, write: Callable[[Any], str]) -> None:
    box = {"task_id": "task", "workspace": "login-box"}
    src.run(SrcUpdateFirewallOperator(**box, add=write(RULES)))
    assert all(any(rule in one for one in src.world.by_name("login-box").rules) for rule in RULES)
    src.run(SrcUpdateStoragesOperator(**box, attach=write(["reference-data"])))
    assert src.world.by_name("login-box").storages == [src.id_of("reference-data")]
    src.run(SrcUpdateStoragesOperator(**box, replace=write([])))
    assert src.world.by_name("login-box").storages == []
    sensor = SrcWorkspaceSensor(task_id="sensor", workspace="login-box", states=write(["paused", "running"]))
    assert src.run(sensor)["status"] == "running"
    assert interactive_parameters(write({"a": "1"})) == [{"key": "a", "value": "1"}]  # type: ignore[arg-type]


@written
def test_what_is_wrong_inside_is_still_refused(write: Callable[[Any], str]) -> None:
    for options in (
        {"workspace": write([])},
        {"workspace": write({"nmae": "a"})},
        {"workspace_id": write(["no id"])},
        {"workspace_id": write({"name": "a"})},
    ):
        with pytest.raises(InvalidInputError):
            SrcResumeWorkspaceOperator(task_id="resume", **options)
    for states in ([], ["asleep"]):
        with pytest.raises(InvalidInputError, match="states"):
            SrcWorkspaceSensor(task_id="sensor", workspace="a", states=write(states))


@pytest.mark.parametrize("native", [False, True])
def test_rendered_by_airflow(src: SrcWorld, native: bool) -> None:
    with DAG("dag", schedule=None, render_template_as_native_obj=native):
        task = SrcResumeWorkspaceOperator(task_id="resume", workspace="{{ params.boxes }}")
    environment = (NativeEnvironment if native else SandboxedEnvironment)()
    task.render_template_fields({"params": {"boxes": ["gpu-box", "login-box"]}}, environment)
    assert isinstance(task.workspace, list if native else str)
    assert src.run(task, make_context())["count"] == 2
