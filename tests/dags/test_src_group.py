"""A workspace for a group of tasks, run by Airflow against the sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.sandbox import Sandbox

DAG_FILE = """
from airflow.sdk import DAG, task

from airflow_src_provider.operators.src import src_workspace

with DAG("group", schedule=None):

    @task
    def train(host, user):
        print(f"{user}@{host}")
        assert host.startswith("198.18.")
        if FAILS:
            raise RuntimeError("no convergence")

    with src_workspace(ARGUMENTS) as box:
        train(host=box["ip"], user=box["user"])
"""


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, fails: bool = False
) -> tuple[str, dict[str, Any]]:
    from airflow.dag_processing.dagbag import DagBag

    file = folder / "group.py"
    file.write_text(DAG_FILE.replace("ARGUMENTS", arguments).replace("FAILS", str(fails)))
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = [{"name": "tests", "classpath": classpath, "kwargs": {"path": str(folder)}}]
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(bundles))
    bag = DagBag(str(file))
    assert not bag.import_errors
    outcome = bag.dags["group"].test()
    return str(outcome.state), {ti.task_id: str(ti.state) for ti in outcome.get_task_instances()}


def status(sandbox: Sandbox, name: str) -> str:
    with sandbox.app.lock:
        return str(sandbox.state.src.world.by_name(name).status)


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_is_paused_although_a_task_failed(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    options = f'workspace="gpu-box", poll_interval=0.2, deferrable={deferrable}'
    state, tasks = run(tmp_path, monkeypatch, options, fails=True)
    assert (state, tasks) == (
        "failed",
        {
            "workspace.resume": "success",
            "workspace.train": "failed",
            "workspace.pause": "success",
            "workspace.done": "upstream_failed",
        },
    )
    assert status(sandbox, "gpu-box") == "paused"


def test_a_machine_that_cannot_be_paused_fails_the_run(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sandbox.app.lock:
        sandbox.state.src.world.plan("pause", outcome="failed", error="no answer from the cloud", times=100)
    state, tasks = run(tmp_path, monkeypatch, 'workspace="gpu-box", poll_interval=0.2')
    assert (state, tasks["workspace.train"], tasks["workspace.pause"]) == ("failed", "success", "failed")


def test_a_machine_that_ran_before_is_left_running_if_asked(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, tasks = run(tmp_path, monkeypatch, 'workspace="login-box", leave_running=True, poll_interval=0.2')
    assert (state, tasks["workspace.pause"]) == ("success", "skipped")
    assert status(sandbox, "login-box") == "running"


def test_one_that_was_resumed_for_the_group_is_paused_all_the_same(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, tasks = run(tmp_path, monkeypatch, 'workspace="gpu-box", leave_running=True, poll_interval=0.2')
    assert (state, tasks["workspace.pause"], status(sandbox, "gpu-box")) == ("success", "success", "paused")


def test_a_machine_made_for_the_group_is_gone_afterwards(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = """create=dict(name="box", collaboration="Example Project", wallet="SRC account for Example Project",
        catalog_item="Ubuntu 22.04", size="1 Core - 8 GB RAM", lifetime=86400), poll_interval=0.2"""
    state, tasks = run(tmp_path, monkeypatch, create)
    assert (state, set(tasks.values()), status(sandbox, "box")) == ("success", {"success"}, "deleted")


@pytest.mark.parametrize("before", ["running", "paused", None])
def test_only_what_the_group_has_made_or_started_ends_with_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before:
        with sandbox.app.lock:
            sandbox.state.src.world.add_workspace("box", status=before)
    create = """create=dict(name="box", collaboration="Example Project", wallet="SRC account for Example Project",
        catalog_item="Ubuntu 22.04", size="1 Core - 8 GB RAM", lifetime=86400, if_exists="use"), poll_interval=0.2"""
    state, tasks = run(tmp_path, monkeypatch, create)
    ended = (tasks.pop("workspace.pause_again"), tasks.pop("workspace.delete"))
    assert (state, set(tasks.values())) == ("success", {"success"})
    assert (status(sandbox, "box"), *ended) == {
        "running": ("running", "skipped", "skipped"),
        "paused": ("paused", "success", "skipped"),
        None: ("deleted", "skipped", "success"),
    }[before]
