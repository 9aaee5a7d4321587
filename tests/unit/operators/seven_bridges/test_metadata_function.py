"""Metadata that a function makes of each file, where Airflow would call the function as a template."""

from __future__ import annotations

from typing import Any

import jinja2
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesImportFilesOperator,
    SevenBridgesUpdateMetadataOperator,
)
from tests.unit.sb_world import ARCHIVE, PROJECT, VOLUME, SbWorld


def sample(file: dict[str, Any]) -> dict[str, Any]:
    return {"sample_id": file["name"][:5], "library": "lib-1"}


def library_of(sb: SbWorld, project: str) -> set[str | None]:
    nodes = [node for node in sb.store.nodes.values() if node.project == project and node.name.endswith(".gz")]
    assert all(node.metadata["sample_id"] == node.name[:5] for node in nodes)
    return {node.metadata.get("library") for node in nodes}


def test_it_is_called_for_each_file_and_by_nobody_else(sb: SbWorld) -> None:
    with DAG("functions", schedule=None) as dag:
        label = SevenBridgesUpdateMetadataOperator(task_id="label", files={"project": ARCHIVE}, metadata=sample)
        reads = SevenBridgesImportFilesOperator(
            task_id="reads", volume=VOLUME, prefix="run1/", project=PROJECT, metadata=sample
        )
    DagSerialization.serialize_dag(dag)
    for task in (label, reads):
        task.render_template_fields({}, jinja2.Environment())
        sb.run(task)
    assert library_of(sb, ARCHIVE) == library_of(sb, PROJECT) == {"lib-1"}
