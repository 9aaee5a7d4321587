"""A deferred task that leaves its long lists in the task's memory has them again, in ``dag.test()`` as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator
from airflow_src_provider.sandbox import Sandbox
from tests.dags import runs
from tests.dags.runs import Run, be_quick

FILES = 250
FOREVER = 1_000_000.0
DAG = f"""
from airflow.sdk import dag
from airflow_src_provider.operators.seven_bridges import SevenBridgesImportFilesOperator

OBJECTS = [f"run1/S{{n // 2:04d}}_R{{n % 2 + 1}}.fastq.gz" for n in range(2, {FILES} + 2)]
COMMON = {{"volume": "labuser/cohort_bucket", "locations": OBJECTS, "deferrable": True, "poll_interval": 1}}


@dag(schedule=None)
def remember():
    one = SevenBridgesImportFilesOperator(task_id="durable", project="labuser/rnaseq-cohort", **COMMON)
    one >> SevenBridgesImportFilesOperator(
        task_id="forgetful", project="labuser/rnaseq-results", durable=False, **COMMON
    )


remember()
"""


@pytest.fixture(autouse=True)
def _dag(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(sandbox, monkeypatch)
    sandbox.configure(sb={"import_running_seconds": FOREVER / 2})
    defer = SevenBridgesOperator.defer

    def defer_and_end(task: SevenBridgesOperator, **more: Any) -> None:
        sandbox.advance(FOREVER)
        defer(task, **more)

    monkeypatch.setattr(SevenBridgesOperator, "defer", defer_and_end)
    (tmp_path / "remember.py").write_text(DAG)
    monkeypatch.setattr(runs, "EXAMPLE_DAGS", tmp_path)
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = f'[{{"name": "memory", "classpath": "{bundle}", "kwargs": {{"path": "{tmp_path}"}}}}]'
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", bundles)


def test_what_was_left_behind_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    carried: dict[str, set[str]] = {}
    resume = SevenBridgesOperator.execute_complete

    def noted(task: SevenBridgesOperator, context: Any, event: Any, carry: dict[str, Any]) -> Any:
        carried[task.task_id] = set(carry)
        return resume(task, context, event, carry)

    monkeypatch.setattr(SevenBridgesOperator, "execute_complete", noted)
    run = Run("remember")
    assert run.tasks == {"durable": "success", "forgetful": "success"}
    assert [run.result(task)["imported"] for task in run.tasks] == [FILES, FILES]
    assert not {"locations", "records"} & carried["durable"]
    assert {"locations", "records"} <= carried["forgetful"]
