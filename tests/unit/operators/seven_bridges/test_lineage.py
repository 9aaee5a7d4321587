"""Lineage names places, and needs no request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
)

FILE = "0" * 24
NAMESPACE = "sevenbridges://cgc-api.sbgenomics.com"


def lineage(operator: Any) -> tuple[list[str], list[str]]:
    session = SimpleNamespace(base_url=lambda: "https://cgc-api.sbgenomics.com/v2/", hasty=lambda _: session)
    operator.__dict__["client"] = SimpleNamespace(session=session)
    found = operator.get_openlineage_facets_on_complete(None)
    assert {one.namespace for one in [*found.inputs, *found.outputs]} <= {NAMESPACE}
    return [one.name for one in found.inputs], [one.name for one in found.outputs]


def test_an_import_goes_from_a_volume_to_a_project() -> None:
    operator = SevenBridgesImportFilesOperator(task_id="t", volume="lab/bucket", prefix="run1/", project="lab/cohort")
    assert lineage(operator) == (["volumes/lab/bucket/run1"], ["projects/lab/cohort"])


def test_an_export_goes_from_a_project_to_a_volume() -> None:
    operator = SevenBridgesExportFilesOperator(
        task_id="t", files={"project": "lab/cohort"}, volume="lab/bucket", prefix="out/", keep_on_platform=True
    )
    assert lineage(operator) == (["projects/lab/cohort"], ["volumes/lab/bucket/out"])


@pytest.mark.parametrize(
    ("files", "inputs"),
    [([FILE], []), ({"project": "lab/cohort"}, ["projects/lab/cohort"]), ({"parent": FILE}, [f"folders/{FILE}"])],
)
def test_ids_alone_do_not_say_where_files_come_from(files: Any, inputs: list[str]) -> None:
    operator = SevenBridgesCopyFilesOperator(task_id="t", files=files, project="lab/shared")
    assert lineage(operator) == (inputs, ["projects/lab/shared"])


def test_other_operators_report_no_places() -> None:
    operator = SevenBridgesSubmitTaskOperator(task_id="t", name="n", project="lab/p", app="lab/p/app", inputs={})
    assert lineage(operator) == ([], [])
