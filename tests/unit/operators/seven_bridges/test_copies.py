"""Copying: bulk where it can be, jobs where it must be, and no doubles."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError
from airflow_src_provider.operators.seven_bridges import SevenBridgesCopyFilesOperator
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import ARCHIVE, RESULTS, SbWorld


def copy(files: Any = None, **more: Any) -> SevenBridgesCopyFilesOperator:
    place = {} if "parent" in more else {"project": RESULTS}
    return SevenBridgesCopyFilesOperator(task_id="copies", files=files, **place, **more)


@pytest.mark.parametrize(("if_exists", "calls"), [("copy", 10), ("skip", 11), ("fail", 11)])
def test_calls_for_a_thousand(sb: SbWorld, if_exists: str, calls: int) -> None:
    ids = archive_ids(sb, 1000)
    result = sb.run(copy(ids, if_exists=if_exists))
    assert (result["copied"], result["api_calls"]) == (1000, calls)
    assert sb.count(polls=True) == calls


def test_second_run_makes_no_doubles(sb: SbWorld) -> None:
    ids = archive_ids(sb, 250)
    first = sb.run(copy(ids))
    mark = sb.mark()
    again = sb.run(copy(ids))
    assert (again["copied"], again["skipped"], again["file_ids"]) == (0, 250, first["file_ids"])
    assert len(sb.names(RESULTS)) == 250
    # Three pages of the destination, and the names of the files.
    assert sb.calls(mark)["POST bulk/files/get"] == sb.calls(mark)["GET files"] - 3 == 3


def test_names_are_asked_for_when_the_destination_is_large(sb: SbWorld) -> None:
    sb.run(copy(archive_ids(sb, 1000)))
    mark = sb.mark()
    result = sb.run(copy(archive_ids(sb, 1000)[-20:]))
    assert result["skipped"] == 20
    assert sb.calls(mark) == {"GET files": 2, "POST bulk/files/get": 1}


def test_same_name_but_another_file(sb: SbWorld) -> None:
    ids = archive_ids(sb, 3)
    sb.run(copy(ids[:2]))
    other = next(node for node in sb.store.nodes.values() if node.project == RESULTS and not node.is_folder)
    other.size += 1
    with pytest.raises(RemoteWorkError, match="another file has its name there"):
        sb.run(copy(ids))
    with pytest.raises(InvalidInputError, match="names that are free"):
        sb.run(copy(ids, if_exists="fail"))
    assert len(sb.names(RESULTS)) == 3


def test_one_of_many_fails(sb: SbWorld) -> None:
    ids = archive_ids(sb, 120)
    sb.sandbox.configure(sb={"fail_copies": "S0003_R1"})
    store = FakeStore()
    with pytest.raises(RemoteWorkError) as caught:
        sb.run(copy(ids), make_context(store))
    assert list(caught.value.failures) == [ids[4]]
    sb.sandbox.configure(sb={"fail_copies": None})
    mark = sb.mark()
    result = sb.run(copy(ids), make_context(store, try_number=2))
    assert (result["copied"], result["failed"]) == (120, 0)
    assert sb.calls(mark)["POST action/files/copy"] == 1
    assert len(sb.names(RESULTS)) == 120


@pytest.mark.parametrize("deferrable", [True, False])
def test_new_names_by_jobs(sb: SbWorld, deferrable: bool) -> None:
    ids = archive_ids(sb, 150)
    result = sb.run(copy(ids, rename="{metadata.sample_id}/{name}".replace("/", "-"), deferrable=deferrable))
    assert (result["copied"], result["failed"], result["renamed"]) == (150, 0, 0)
    assert "S0001-S0001_R1.fastq.gz" in sb.names(RESULTS)
    assert sb.effects()["async_copy_jobs_created"] == 2
    assert len(set(result["file_ids"])) == 150


@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_job_is_found_by_what_it_leaves(sb: SbWorld, when: str) -> None:
    sb.sandbox.fault(service="sb", method="POST", path="async/files/copy", action="close", when=when)
    ids = archive_ids(sb, 30)
    result = sb.run(copy(ids, rename={id_: f"{n}.gz" for n, id_ in enumerate(ids)}))
    assert (result["copied"], result["failed"]) == (30, 0)
    assert sorted(sb.names(RESULTS)) == sorted(f"{n}.gz" for n in range(30))


def test_a_folder_into_a_folder(sb: SbWorld) -> None:
    client = sb.client
    source = client.files.create_folder("run7", project=ARCHIVE)["id"]
    for id_ in archive_ids(sb, 3):
        client.files.move(id_, source)
    there = client.files.create_folder("shared", project=RESULTS)["id"]
    result = sb.run(copy(folders=[source], parent=there))
    assert (result["copied"], result["failed"]) == (1, 0)
    assert len(list(client.files.walk(project=RESULTS))) == 5
    again = sb.run(copy(folders=[source], parent=there))
    assert (again["copied"], again["skipped"]) == (0, 1)


@pytest.mark.parametrize(
    "more",
    [
        {"files": None},
        {"files": []},
        {"files": ["S0001_R1.fastq.gz"]},
        {"files": ["6" * 24], "if_exists": "overwrite"},
        {"files": ["6" * 24], "rename": "all.gz"},
        {"files": ["6" * 24], "parent": "no"},
        {"folders": ["no"]},
        {"files": {"project": RESULTS, "nmae": ["a"]}},
    ],
)
def test_bad_input_is_refused_before_the_first_call(sb: SbWorld, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        sb.run(copy(**more))
    assert sb.count(polls=True) == 0


def test_two_files_for_one_name(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputError, match="a name of its own"):
        sb.run(copy(archive_ids(sb, 4), rename="{metadata.sample_id}.gz"))
    assert sb.names(RESULTS) == []
