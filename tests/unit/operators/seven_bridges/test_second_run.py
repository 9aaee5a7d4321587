"""A step that is finished is run again: it costs little and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesDeleteFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesFindFilesOperator,
    SevenBridgesUpdateMetadataOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.sb_world import ARCHIVE, PROJECT, VOLUME, SbWorld

QUERY = {"project": ARCHIVE}
LABELS = {"library": "lib-1", "paired_end": None}


def label(**options: Any) -> SevenBridgesUpdateMetadataOperator:
    return SevenBridgesUpdateMetadataOperator(task_id="label", **{"files": QUERY, "metadata": LABELS, **options})


def find(files: Any = QUERY, **options: Any) -> SevenBridgesFindFilesOperator:
    return SevenBridgesFindFilesOperator(task_id="find", files=files, **options)


@pytest.mark.parametrize("mode", ["merge", "replace"])
@pytest.mark.parametrize("by_id", [False, True])
def test_metadata_is_sent_once(sb: SbWorld, mode: str, by_id: bool) -> None:
    files = sb.run(find())["file_ids"] if by_id else QUERY
    mark, memory = sb.mark(), FakeStore()
    first = sb.run(label(files=files, mode=mode), make_context(memory))
    assert (first["updated"], first["unchanged"]) == (1000, 0)
    assert sb.count(mark) == (10 if by_id and mode == "merge" else 20)
    mark, edited = sb.mark(), sb.effects()["files_edited"]
    again = sb.run(label(files=files, mode=mode), make_context(memory, try_number=2))
    assert (again["updated"], again["unchanged"], again["file_ids"]) == (0, 1000, first["file_ids"])
    assert sb.effects()["files_edited"] == edited
    assert sb.count(mark) == 10


def test_only_files_that_lack_it_are_sent(sb: SbWorld) -> None:
    sb.run(label(files={**QUERY, "metadata": {"sample_id": ["S0001", "S0002"]}}))
    mark = sb.mark()
    report = sb.run(label())
    assert (report["updated"], report["unchanged"]) == (996, 4)
    assert sb.calls(mark) == {"GET files": 10, "POST bulk/files/edit": 10}
    node = next(
        node for node in sb.store.nodes.values() if node.name == "S0500_R2.fastq.gz" and node.project == ARCHIVE
    )
    assert node.metadata == {"sample_id": "S0500", "library": "lib-1"}


def test_a_retry_sets_the_metadata_of_the_files_that_the_first_try_found(sb: SbWorld) -> None:
    """What was set may no longer be found by the query, and a function would count again."""
    query = {**QUERY, "metadata": {"sample_id": ["S0001", "S0002"]}}

    def renamed(file: dict[str, Any]) -> dict[str, Any]:
        return {"sample_id": f"{file['metadata']['sample_id']}-x"}

    memory = FakeStore()
    first = sb.run(label(files=query, metadata=renamed), make_context(memory))
    again = sb.run(label(files=query, metadata=renamed), make_context(memory, try_number=2))
    assert (again["updated"], again["unchanged"], again["file_ids"]) == (0, 4, first["file_ids"])
    node = sb.store.nodes[first["file_ids"][0]]
    sb.client.files.delete(node.id)
    with pytest.raises(RemoteWorkError, match="1 of 4"):
        sb.run(label(files=query, metadata=renamed), make_context(memory, try_number=3))


@pytest.mark.parametrize("files", [lambda ids: QUERY, lambda ids: ids])
def test_what_is_deleted_is_not_missed(sb: SbWorld, files: Callable[[list[str]], Any]) -> None:
    wanted = files(sb.run(find())["file_ids"])
    for deleted in (1000, 0 if wanted is QUERY else 1000):
        mark = sb.mark()
        report = sb.run(SevenBridgesDeleteFilesOperator(task_id="delete", files=wanted))
        assert (report["deleted"], report["failed"]) == (deleted, 0)
    assert sb.effects()["files_deleted"] == 1000
    assert sb.count(mark) <= 10


@pytest.mark.parametrize(("location", "looks"), [("{name}", 10), ("{metadata.sample_id}/{name}", 0)])
def test_another_run_exports_nothing_again(sb: SbWorld, location: str, looks: int) -> None:
    sb.sandbox.configure(sb={"instant": True})
    for exported in (1000, 0):
        mark = sb.mark()
        task = SevenBridgesExportFilesOperator(
            task_id="out", files=QUERY, volume=VOLUME, prefix="out/", location=location, keep_on_platform=True
        )
        report = sb.run(task)
        assert (report["exported"], report["skipped"]) == (exported, 1000 - exported)
    assert sb.effects()["files_exported"] == 1000
    calls = sb.calls(mark)
    assert calls[f"GET storage/volumes/{VOLUME}/list"] == looks
    assert sb.count(mark) <= 21


def test_files_that_were_found_need_no_second_look(sb: SbWorld) -> None:
    mark = sb.mark()
    found = sb.run(find(fields=["name", "metadata.sample_id"]))
    assert (found["count"], found["api_calls"], sb.count(mark)) == (1000, 10, 10)
    first = found["files"][0]
    assert set(first) == {"id", "name", "metadata"}
    assert first["metadata"] == {"sample_id": first["name"][:5]}
    assert [file["id"] for file in found["files"]] == found["file_ids"]
    mark = sb.mark()
    sheet = {file["name"]: {"library": "lib-1"} for file in found["files"]}
    sb.run(label(files=found["files"], metadata=sheet))
    assert sb.calls(mark) == {"POST bulk/files/edit": 10}


def test_nothing_found_is_an_error_and_so_are_names_that_are_missing(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputError, match="at least one file"):
        sb.run(find({"project": PROJECT, "name_pattern": "*.bam"}))
    with pytest.raises(RemoteWorkError, match="none.bam: no file of this name"):
        sb.run(find({"project": PROJECT, "names": ["transcriptome_index.tar", "none.bam"]}))
    with pytest.raises(InvalidInputError, match="fields"):
        find(fields=[""])
