"""The main job: a thousand files from a volume through one batch and back, at the fewest calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
    SevenBridgesUpdateMetadataOperator,
)
from tests.unit.sb_world import APP, PROJECT, RESULTS, VOLUME, SbWorld


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "cohort.csv"
    lines = [f"S{n:04d}_R{read}.fastq.gz,S{n:04d},{read}" for n in range(1, 501) for read in (1, 2)]
    path.write_text("\n".join(["file,sample_id,paired_end", *lines]) + "\n")
    return path


@pytest.mark.parametrize("deferrable", [True, False])
def test_cohort(sb: SbWorld, sheet: Path, deferrable: bool) -> None:
    reads = sb.run(
        SevenBridgesImportFilesOperator(
            task_id="reads", volume=VOLUME, prefix="run1/", project=PROJECT, if_exists="skip", deferrable=deferrable
        )
    )
    assert (reads["imported"], reads["skipped"], reads["failed"]) == (1000, 0, 0)
    assert len(set(reads["file_ids"])) == 1000
    assert sb.count() == 20
    assert reads["api_calls"] >= 20

    mark = sb.mark()
    updated = sb.run(SevenBridgesUpdateMetadataOperator(task_id="sheet", files=reads["file_ids"], sheet=str(sheet)))
    assert updated["updated"] == 1000
    assert sb.calls(mark) == {"POST bulk/files/get": 10, "POST bulk/files/edit": 10}

    mark = sb.mark()
    salmon = sb.run(
        SevenBridgesSubmitTaskOperator(
            task_id="salmon",
            name="salmon 2026-11-21",
            project=PROJECT,
            app=APP,
            inputs={"reads": reads["file_ids"]},
            batch_input="reads",
            batch_by=["metadata.sample_id"],
            poll_interval=120,
            deferrable=deferrable,
        )
    )
    assert salmon["status"] == "COMPLETED"
    assert len(salmon["task_ids"]) == len(salmon["output_file_ids"]) == 500
    assert sb.calls(mark)["POST tasks"] == 1
    assert sb.count(mark) == 1 + 1 + 10 + 5

    mark = sb.mark()
    query = {"project": PROJECT, "origin_task": salmon["task_ids"]}
    results = sb.run(
        SevenBridgesExportFilesOperator(
            task_id="results",
            files=query,
            volume=VOLUME,
            prefix="results/2026-11-21/",
            keep_on_platform=True,
            deferrable=deferrable,
        )
    )
    assert results["exported"] == len(results["locations"]) == 500
    assert results["locations"][0].startswith("results/2026-11-21/S0001")
    assert sb.calls(mark)["POST bulk/storage/exports/create"] == 5

    mark = sb.mark()
    copies = sb.run(SevenBridgesCopyFilesOperator(task_id="copies", files=salmon["output_file_ids"], project=RESULTS))
    assert copies["copied"] == len(set(copies["file_ids"])) == 500
    assert sb.calls(mark) == {"GET files": 1, "POST action/files/copy": 5}
    assert sb.sandbox.counters()["refusals"] == {}
    assert sb.count() <= 75
    assert sb.count(polls=True) <= 130
