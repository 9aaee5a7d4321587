"""The whole study, run by Airflow against the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.operators.seven_bridges import SevenBridgesRerunFailedTasksOperator
from airflow_src_provider.sandbox import Sandbox
from tests.dags import runs
from tests.dags.conftest import EXAMPLE_DAGS
from tests.dags.runs import Run, be_quick

SAMPLES = 30
BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
PROJECT, BUCKET = "labuser/rnaseq-cohort", "labuser/cohort_bucket"


@pytest.fixture(autouse=True)
def _small_study(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sheet name the files of the first samples only."""
    be_quick(sandbox, monkeypatch)
    (tmp_path / "whole_study.py").write_text((EXAMPLE_DAGS / "whole_study.py").read_text())
    lines = (EXAMPLE_DAGS / "cohort.csv").read_text().splitlines(keepends=True)
    (tmp_path / "cohort.csv").write_text("".join(lines[: 1 + 2 * SAMPLES]))
    monkeypatch.setattr(runs, "EXAMPLE_DAGS", tmp_path)
    bundles = f'[{{"name": "study", "classpath": "{BUNDLE}", "kwargs": {{"path": "{tmp_path}"}}}}]'
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", bundles)


def heal_before_the_rerun(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = SevenBridgesRerunFailedTasksOperator.submit

    def healed(*args: Any) -> dict[str, Any]:
        sandbox.configure(sb={"batch_failed_children": 0})
        return submit(*args)

    monkeypatch.setattr(SevenBridgesRerunFailedTasksOperator, "submit", healed)


def names_in(sandbox: Sandbox) -> list[str]:
    nodes = sandbox.state.sb.store.nodes.values()
    return sorted(node.name for node in nodes if node.project == PROJECT and not node.is_folder)


def effects(sandbox: Sandbox) -> dict[str, int]:
    return dict(sandbox.counters()["effects"]["sb"])


def test_from_the_sheet_to_the_results(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = 3
    sandbox.configure(sb={"batch_failed_children": failing})
    heal_before_the_rerun(sandbox, monkeypatch)
    run = Run("whole_study")
    assert (run.state, set(run.tasks.values())) == ("success", {"success"})
    assert run.result("salmon")["failed"] == failing
    assert run.result("complete")["rerun"] == failing
    done = effects(sandbox)
    assert done["files_imported"] == done["files_deleted"] == 2 * SAMPLES
    assert done["children_created"] == SAMPLES + failing
    assert done["files_exported"] == SAMPLES
    exported = [key for key in sandbox.state.sb.store.volumes[BUCKET].objects if key.startswith("results/run1/")]
    assert len(exported) == SAMPLES
    # The inputs are gone; the results, and what was in the project before, are there.
    assert len(names_in(sandbox)) == SAMPLES + 1
    assert not [name for name in names_in(sandbox) if name.endswith(".fastq.gz")]
    assert len(sandbox.journal()) <= 60


def test_nothing_is_deleted_when_too_many_failed(sandbox: Sandbox) -> None:
    sandbox.configure(sb={"batch_failed_children": SAMPLES})
    run = Run("whole_study")
    assert run.state == "failed"
    assert (run.tasks["salmon"], run.tasks["complete"]) == ("success", "failed")
    assert (run.tasks["results"], run.tasks["cleanup"]) == ("upstream_failed", "upstream_failed")
    assert "files_deleted" not in effects(sandbox)
