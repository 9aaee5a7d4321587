"""Imports and exports: what exists, what fails, what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.seven_bridges.waits import ImportWait
from airflow_src_provider.client.waiting import Seen
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError, RemoteWorkError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import ARCHIVE, PROJECT, READ_ONLY, VOLUME, SbWorld


def import_(**more: Any) -> SevenBridgesImportFilesOperator:
    place = {} if "parent" in more or "project" in more else {"project": PROJECT}
    what = {} if {"locations", "prefix"} & set(more) else {"prefix": "run1/"}
    return SevenBridgesImportFilesOperator(task_id="reads", **{"volume": VOLUME, **place, **what, **more})


def export(files: Any, **more: Any) -> SevenBridgesExportFilesOperator:
    return SevenBridgesExportFilesOperator(
        task_id="results", files=files, **{"volume": VOLUME, "prefix": "out/", "keep_on_platform": True, **more}
    )


@pytest.mark.parametrize("if_exists", ["skip", "fail", "overwrite", "autorename"])
def test_import_of_a_thousand_costs_twenty(sb: SbWorld, if_exists: str) -> None:
    result = sb.run(import_(if_exists=if_exists))
    assert result["imported"] == 1000
    assert sb.count() == 20


def test_import_again_in_another_run_makes_no_doubles(sb: SbWorld) -> None:
    first = sb.run(import_())
    mark = sb.mark()
    again = sb.run(import_())
    assert (again["imported"], again["skipped"], again["file_ids"]) == (0, 1000, first["file_ids"])
    assert len(sb.names(PROJECT)) == 1001
    # Only the first hundred are sent; then it is known that looking is cheaper.
    assert sb.calls(mark)["POST bulk/storage/imports/create"] == 1
    assert sb.count(mark) <= 35


def test_import_adds_what_is_new(sb: SbWorld) -> None:
    sb.run(import_(pattern="S000*"))
    mark = sb.mark()
    result = sb.run(import_(pattern=["S000*", "S0010_*"]))
    assert (result["imported"], result["skipped"]) == (2, 18)
    assert len(result["file_ids"]) == 20
    assert sb.calls(mark)["POST bulk/storage/imports/create"] == 1


def test_import_does_not_take_another_file_for_the_same(sb: SbWorld) -> None:
    client = sb.client
    client.files.copy(archive_ids(sb, 1)[0], project=PROJECT)
    client.files.copy(archive_ids(sb, 2)[1], project=PROJECT)
    other = next(n for n in sb.store.nodes.values() if n.project == PROJECT and n.name == "S0001_R1.fastq.gz")
    other.storage = {"type": "VOLUME", "volume": VOLUME, "location": "elsewhere/S0001_R1.fastq.gz"}
    with pytest.raises(RemoteWorkError) as caught:
        sb.run(import_(pattern="S000*"))
    assert list(caught.value.failures) == ["run1/S0001_R1.fastq.gz"]
    assert "elsewhere" in str(caught.value)


def test_import_fails_for_taken_names(sb: SbWorld) -> None:
    sb.run(import_(pattern="S000*"))
    with pytest.raises(RemoteWorkError, match="18 of 20 failed"):
        sb.run(import_(pattern=["S000*", "S0010*"], if_exists="fail"))


@pytest.mark.parametrize("policy", ["skip", 3, 0.1])
def test_import_tolerates_what_may_fail(sb: SbWorld, policy: Any) -> None:
    sb.sandbox.configure(sb={"fail_imports": "S00[12]0_R1"})
    result = sb.run(import_(pattern="S00[0-4]*", on_item_failure=policy))
    assert (result["imported"], result["failed"]) == (96, 2)
    assert set(result["failures"]) == {"run1/S0010_R1.fastq.gz", "run1/S0020_R1.fastq.gz"}


@pytest.mark.parametrize(
    ("policy", "if_exists"), [("fail", "skip"), (1, "skip"), (0.01, "overwrite"), ("fail", "fail"), (1, "autorename")]
)
def test_a_retry_imports_only_what_failed(sb: SbWorld, policy: Any, if_exists: str) -> None:
    sb.sandbox.configure(sb={"fail_imports": "S00[12]0_R1"})
    store, context = FakeStore(), make_context(FakeStore())
    context["task_state_store"] = store
    with pytest.raises(RemoteWorkError) as caught:
        sb.run(import_(pattern="S00[0-4]*", on_item_failure=policy, if_exists=if_exists), context)
    assert len(caught.value.failures) == 2
    assert context["ti"].pushed["return_value"]["imported"] == 96
    sb.sandbox.configure(sb={"fail_imports": None})
    before = sb.effects()["imports_created"]
    result = sb.run(import_(pattern="S00[0-4]*", if_exists=if_exists), make_context(store, try_number=2))
    assert sb.effects()["imports_created"] == before + 2
    assert result["imported"] + result["skipped"] == len(set(result["file_ids"])) == 98


def test_import_with_metadata_in_one_step(sb: SbWorld, tmp_path: Path) -> None:
    sheet = tmp_path / "cohort.tsv"
    lines = [f"S{n:04d}_R{read}.fastq.gz\tS{n:04d}\t" for n in range(1, 11) for read in (1, 2)]
    sheet.write_text("name\tsample_id\tbatch\n" + "\n".join(lines))
    result = sb.run(import_(pattern=["S000*", "S0010*"], sheet=str(sheet)))
    assert result["imported"] == 20
    file = sb.client.files.get(result["file_ids"][-1])
    assert file["metadata"] == {"sample_id": "S0010"}


def test_a_sheet_that_does_not_fit_is_refused_before_anything_is_imported(sb: SbWorld, tmp_path: Path) -> None:
    sheet = tmp_path / "cohort.csv"
    sheet.write_text("name,sample_id\nS0001_R1.fastq.gz,S0001\n")
    with pytest.raises(InvalidInputsError) as caught:
        sb.run(import_(pattern="S000*", sheet=str(sheet)))
    assert len(caught.value.problems) == 17
    assert "imports_created" not in sb.effects()


def test_import_into_a_folder_from_below(sb: SbWorld) -> None:
    folder = sb.client.files.create_folder("raw", project=PROJECT)["id"]
    result = sb.run(import_(prefix="", recursive=True, pattern="S0001*", parent=folder))
    assert result["imported"] == 2
    assert sorted(f["name"] for f in sb.client.files.list(parent=folder)) == ["S0001_R1.fastq.gz", "S0001_R2.fastq.gz"]


def test_import_of_nothing(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputError, match="nothing was found"):
        sb.run(import_(prefix="run9/"))


def test_import_is_only_started(sb: SbWorld) -> None:
    result = sb.run(import_(pattern="S000*", wait_for_completion=False))
    assert len(result["job_ids"]) == 18
    assert (result["imported"], result["failed"], result["file_ids"]) == (0, 0, [])


@pytest.mark.parametrize("location", ["{name}", "{id}", "{metadata.sample_id}/{name}"])
def test_export_of_a_thousand(sb: SbWorld, location: str) -> None:
    files = [{"id": id_, "name": f"{id_}.gz"} for id_ in archive_ids(sb, 1000)]
    result = sb.run(export(files, location=location))
    assert result["exported"] == 1000
    assert sb.count() == (20 if "metadata" in location else 10)


def test_export_by_a_listing_costs_twenty(sb: SbWorld) -> None:
    result = sb.run(export({"project": ARCHIVE, "name_pattern": "*.fastq.gz"}))
    assert (result["exported"], sb.count()) == (1000, 20)


def test_export_again_leaves_the_objects_alone(sb: SbWorld) -> None:
    files = [{"id": id_, "name": f"{id_}.gz"} for id_ in archive_ids(sb, 300)]
    sb.run(export(files))
    exported = sb.effects()["files_exported"]
    again = sb.run(export(files))
    assert (again["exported"], again["skipped"], again["failed"]) == (0, 300, 0)
    assert sb.effects()["files_exported"] == exported
    with pytest.raises(RemoteWorkError, match="9107"):
        sb.run(export(files[:2], if_exists="fail"))
    assert sb.run(export(files[:2], if_exists="overwrite"))["exported"] == 2


def test_giving_files_up_twice(sb: SbWorld) -> None:
    ids = archive_ids(sb, 4)
    assert sb.run(export(ids, keep_on_platform=False))["exported"] == 4
    assert sb.client.files.get(ids[0])["storage"]["type"] == "VOLUME"
    again = sb.run(export(ids, keep_on_platform=False))
    assert (again["skipped"], again["failed"]) == (4, 0)
    with pytest.raises(RemoteWorkError, match="9006"):
        sb.run(export(ids, keep_on_platform=False, prefix="elsewhere/"))


def test_jobs_that_are_done_and_name_no_file(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ImportWait.judge_resource

    def mute(wait: ImportWait, found: dict[str, Any]) -> Seen:
        return judge(wait, {**found, "result": ["no file"]})

    monkeypatch.setattr(ImportWait, "judge_resource", mute)
    result = sb.run(import_(pattern="S00*"))
    assert (len(result["file_ids"]), result["failed"]) == (198, 0)
    assert set(result["file_ids"]) <= set(sb.store.nodes)


@pytest.mark.parametrize("if_exists", ["overwrite", "skip", "fail"])
def test_a_move_whose_answer_was_lost(sb: SbWorld, if_exists: str) -> None:
    ids = archive_ids(sb, 4)
    sb.sandbox.fault(service="sb", method="POST", path="exports/create", action="close", when="after")
    result = sb.run(export(ids, keep_on_platform=False, if_exists=if_exists))
    assert (result["exported"] + result["skipped"], result["failed"]) == (4, 0)
    assert sb.effects()["files_exported"] == 4


@pytest.mark.parametrize("if_exists", ["overwrite", "skip", "fail"])
def test_a_move_of_which_an_earlier_try_left_no_record(sb: SbWorld, if_exists: str) -> None:
    ids, store = archive_ids(sb, 4), FakeStore()
    move = {"keep_on_platform": False, "if_exists": if_exists}
    sb.run(export(ids, wait_for_completion=False, **move), make_context(store))
    del store["exports.0"]
    sb.sandbox.advance(3600)
    result = sb.run(export(ids, **move), make_context(store, try_number=2))
    assert (result["exported"] + result["skipped"], result["failed"]) == (4, 0)
    assert sb.effects()["files_exported"] == 4


@pytest.mark.parametrize("deferrable", [True, False])
def test_export_failures_and_retry(sb: SbWorld, deferrable: bool) -> None:
    ids = archive_ids(sb, 110)
    sb.sandbox.configure(sb={"fail_exports": "S0002_"})
    store = FakeStore()
    with pytest.raises(RemoteWorkError) as caught:
        sb.run(export(ids, deferrable=deferrable), make_context(store))
    assert list(caught.value.failures) == ids[2:4]
    sb.sandbox.configure(sb={"fail_exports": None})
    before = sb.effects()["exports_created"]
    result = sb.run(export(ids, deferrable=deferrable), make_context(store, try_number=2))
    assert sb.effects()["exports_created"] == before + 2
    assert result["exported"] + result["skipped"] == 110


def test_a_volume_that_cannot_be_written_to(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputError, match=r"volume='labuser/reference_bucket'.*9026"):
        sb.run(export(archive_ids(sb, 300), volume=READ_ONLY))
    assert "exports_created" not in sb.effects()
    assert sb.calls()["POST bulk/storage/exports/create"] <= 1


def test_missing_files_are_named(sb: SbWorld) -> None:
    ids = archive_ids(sb, 2)
    gone = "f" * 24
    result = sb.run(export([*ids, gone], on_item_failure="skip"))
    assert (result["exported"], list(result["failures"])) == (2, [gone])


def test_two_files_for_one_location(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputError, match="a location of its own"):
        sb.run(export(archive_ids(sb, 4), location="{metadata.sample_id}.gz"))
    assert "exports_created" not in sb.effects()


IDS = ["6" * 24]


@pytest.mark.parametrize(
    "more",
    [
        {"volume": "bucket"},
        {"project": "no slash"},
        {"project": PROJECT, "parent": "6" * 24},
        {"if_exists": "ask"},
        {"locations": []},
        {"locations": ["a/"]},
        {"locations": ["a"], "prefix": "run1/"},
        {"pattern": []},
        {"recursive": "yes"},
        {"metadata": {"a": 1}},
        {"metadata": {"a": "1"}, "sheet": "x.csv"},
        {"sheet": "not-there.csv"},
        {"on_item_failure": "maybe"},
        {"on_item_failure": 1.5},
    ],
)
def test_bad_import_is_refused_before_the_first_call(sb: SbWorld, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        sb.run(import_(**more))
    assert sb.count(polls=True) == 0


@pytest.mark.parametrize(
    "more",
    [
        {"files": []},
        {"files": ["6" * 24, "S0001.bam"]},
        {"files": {"project": PROJECT, "parent": "6" * 24}},
        {"volume": "no"},
        {"keep_on_platform": None},
        {"location": "results"},
        {"location": "{size}"},
        {"location": "/{name}"},
        {"prefix": "/out"},
        {"if_exists": "autorename"},
    ],
)
def test_bad_export_is_refused_before_the_first_call(sb: SbWorld, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        sb.run(export(**{"files": IDS, **more}))
    assert sb.count(polls=True) == 0


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(InvalidInputsError) as caught:
        import_(volume="bucket", project="no", if_exists="ask", on_item_failure=-1)
    assert [problem.parameter for problem in caught.value.problems] == [
        "on_item_failure",
        "volume",
        "project",
        "if_exists",
    ]


def test_templates_are_checked_when_they_are_rendered(sb: SbWorld) -> None:
    operator = import_(volume="{{ params.volume }}", prefix="{{ params.prefix }}")
    operator.volume = "bucket"
    with pytest.raises(InvalidInputError, match="volume='bucket'"):
        sb.run(operator)


def test_killed_import_of_a_worker_leaves_the_jobs(sb: SbWorld) -> None:
    operator = import_(pattern="S000*", deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(make_context())
    operator.on_kill()
    sb.sandbox.advance(60)
    assert len(sb.names(PROJECT)) == 19
