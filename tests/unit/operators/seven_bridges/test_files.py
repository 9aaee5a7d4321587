"""Choosing, annotating and deleting files; projects; any other request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.client.seven_bridges.async_jobs import AsyncJobs
from airflow_src_provider.exceptions import (
    ForbiddenError,
    InvalidInputError,
    InvalidInputsError,
    RemoteWorkError,
    SupersededError,
)
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCreateProjectOperator,
    SevenBridgesDeleteFilesOperator,
    SevenBridgesRequestOperator,
    SevenBridgesUpdateMetadataOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import ForgottenStore, archive_ids
from tests.unit.sb_world import ARCHIVE, PROJECT, SbWorld

BILLING = "ec1dc1e3-12a3-4b56-789c-e3f2dca0c6f7"


def annotate(files: Any, **more: Any) -> SevenBridgesUpdateMetadataOperator:
    return SevenBridgesUpdateMetadataOperator(task_id="sheet", files=files, **more)


def delete(files: Any = None, **more: Any) -> SevenBridgesDeleteFilesOperator:
    return SevenBridgesDeleteFilesOperator(task_id="delete", files=files, **more)


def metadata_of(sb: SbWorld, file_id: str) -> dict[str, str]:
    return dict(sb.client.files.get(file_id)["metadata"])


@pytest.mark.parametrize(("by_id", "calls"), [(True, 10), (False, 20)])
def test_metadata_of_a_thousand(sb: SbWorld, tmp_path: Path, by_id: bool, calls: int) -> None:
    ids = archive_ids(sb, 1000)
    names = [sb.store.nodes[id_].name for id_ in ids]
    sheet = tmp_path / "sheet.csv"
    rows = [f"{key},case {n}" for n, key in enumerate(ids if by_id else names)]
    sheet.write_text(f"{'id' if by_id else 'name'},case\n" + "\n".join(rows))
    result = sb.run(annotate(ids, sheet=str(sheet)))
    assert (result["updated"], result["api_calls"], sb.count(polls=True)) == (1000, calls, calls)
    assert metadata_of(sb, ids[7]) == {"sample_id": "S0004", "paired_end": "2", "case": "case 7"}


@pytest.mark.parametrize(
    "files",
    [
        {"project": ARCHIVE, "names": ["S0001_R1.fastq.gz", "S0001_R2.fastq.gz"]},
        {"project": ARCHIVE, "metadata": {"sample_id": "S0001"}},
        {"project": ARCHIVE, "metadata": {"sample_id": ["S0001"], "paired_end": ["1", "2"]}},
        {"project": ARCHIVE, "name_pattern": "S0001*"},
        {"project": ARCHIVE, "name_pattern": ["S0001_R1*", "S0001_R2*"], "recursive": True},
        {"project": ARCHIVE, "recursive": True, "metadata": {"sample_id": "S0001"}},
    ],
)
def test_every_way_to_choose_finds_the_same(sb: SbWorld, files: Any) -> None:
    result = sb.run(annotate(files, metadata={"case": "c1"}))
    assert sorted(result["file_ids"]) == sorted(archive_ids(sb, 2))


@pytest.mark.parametrize("key", ["file_ids", "output_file_ids"])
def test_what_an_earlier_task_returned_is_a_choice(sb: SbWorld, key: str) -> None:
    given = {key: archive_ids(sb, 3), "failed": 0}
    assert sb.run(annotate(given, metadata={"case": "c1"}))["updated"] == 3
    assert sb.run(annotate(str(given), metadata={"case": "c1"}))["updated"] == 3
    assert sb.count(polls=True) == 2


def test_tags_choose_too(sb: SbWorld) -> None:
    ids = archive_ids(sb, 3)
    sb.client.files.set_tags(ids[1], ["raw"])
    for query in ({"project": ARCHIVE, "tags": ["raw"]}, {"project": ARCHIVE, "tags": ["raw"], "recursive": True}):
        assert sb.run(annotate(query, metadata={"case": "c1"}))["file_ids"] == [ids[1]]


def test_replacing_metadata_keeps_name_and_tags(sb: SbWorld) -> None:
    (id_,) = archive_ids(sb, 1)
    sb.client.files.set_tags(id_, ["raw"])
    sb.run(annotate([id_], metadata={"case": "c1"}, mode="replace"))
    file = sb.client.files.get(id_)
    assert (file["metadata"], file["name"], file["tags"]) == ({"case": "c1"}, "S0001_R1.fastq.gz", ["raw"])


def test_metadata_by_file_and_by_function(sb: SbWorld) -> None:
    ids = archive_ids(sb, 2)
    sb.run(annotate(ids, metadata={ids[0]: {"case": "a"}, ids[1]: {"case": "b", "paired_end": None}}))
    assert metadata_of(sb, ids[1]) == {"sample_id": "S0001", "case": "b"}
    sb.run(annotate(ids, metadata=lambda file: {"case": f"{file['name']} {file['metadata']['case']}"}))
    assert metadata_of(sb, ids[0])["case"] == "S0001_R1.fastq.gz a"


def test_files_that_cannot_be_changed_are_named(sb: SbWorld) -> None:
    ids = archive_ids(sb, 3)
    result = sb.run(annotate([*ids, "f" * 24], metadata={"case": "c"}, on_item_failure="skip"))
    assert (result["updated"], list(result["failures"])) == (3, ["f" * 24])
    with pytest.raises(RemoteWorkError, match="f" * 24):
        sb.run(annotate([*ids, "f" * 24], metadata={"case": "c"}))


@pytest.mark.parametrize("shuffle", [True, False])
def test_shuffled_answers(sb: SbWorld, shuffle: bool) -> None:
    sb.sandbox.configure(sb={"shuffle_bulk": shuffle})
    assert sb.run(annotate(archive_ids(sb, 150), metadata={"case": "c"}))["updated"] == 150


SHEETS = {
    "no such file": None,
    "a header and at least one line": "name,case\n",
    "a column that names the file": "sample,case\nS0001,c1\n",
    "one line for each file": "name,case\nS0001_R1.fastq.gz,a\nS0001_R1.fastq.gz,b\n",
    "a value in column name": "name,case\n,a\n",
    "2 cells": "name,case\nS0001_R1.fastq.gz,a,b\n",
    "a name of their own": "name,name\na,b\n",
}


@pytest.mark.parametrize("expected", SHEETS)
def test_bad_sheets_are_refused_before_the_first_call(sb: SbWorld, tmp_path: Path, expected: str) -> None:
    sheet = tmp_path / "sheet.csv"
    if SHEETS[expected] is not None:
        sheet.write_text(str(SHEETS[expected]))
    with pytest.raises(InvalidInputError, match="path of a CSV" if SHEETS[expected] is None else expected):
        sb.run(annotate(archive_ids(sb, 1), sheet=str(sheet)))
    assert sb.count(polls=True) == 0


def test_missing_lines_and_long_values_are_all_listed(sb: SbWorld, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"name,case\nS0001_R1.fastq.gz,{'x' * 301}\n")
    with pytest.raises(InvalidInputsError) as caught:
        sb.run(annotate(archive_ids(sb, 3), sheet=str(sheet)))
    assert len(caught.value.problems) == 3
    assert "files_edited" not in sb.effects()


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"a": "b"}, "sheet": "x.csv"},
        {},
        {"metadata": {}},
        {"metadata": {"a": 1}},
        {"metadata": {"a": "b", "c": {"d": "e"}}},
        {"metadata": {"k" * 101: "b"}},
        {"metadata": {"a": "b"}, "mode": "add"},
    ],
)
def test_bad_metadata(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        annotate(["6" * 24], **more)


@pytest.mark.parametrize(
    ("files", "calls"),
    [(None, 10), ({"project": ARCHIVE}, 20), ({"project": ARCHIVE, "name_pattern": "*.fastq.gz"}, 20)],
)
def test_deleting_a_thousand(sb: SbWorld, files: Any, calls: int) -> None:
    result = sb.run(delete(files or archive_ids(sb, 1000)))
    assert (result["deleted"], sb.count(polls=True)) == (1000, calls)
    assert sb.names(ARCHIVE) == []


def test_deleting_again_is_done(sb: SbWorld) -> None:
    ids = archive_ids(sb, 120)
    sb.run(delete(ids))
    mark = sb.mark()
    again = sb.run(delete(ids))
    assert (again["deleted"], again["failed"], sb.count(mark)) == (120, 0, 2)


def test_preview_and_guard(sb: SbWorld) -> None:
    query = {"project": ARCHIVE, "name_pattern": "S000*"}
    preview = sb.run(delete(query, preview=True))
    assert (preview["deleted"], len(preview["file_ids"])) == (0, 18)
    with pytest.raises(InvalidInputError, match="max_files=17.*at least 18"):
        sb.run(delete(query, max_files=17))
    assert len(sb.names(ARCHIVE)) == 1000


def test_a_retry_deletes_what_was_planned_and_nothing_new(sb: SbWorld) -> None:
    query = {"project": ARCHIVE, "name_pattern": "S0001*"}
    store = FakeStore()
    sb.sandbox.configure(sb={"fail_files": "S0001_R2"})
    with pytest.raises(RemoteWorkError):
        sb.run(delete(query), make_context(store))
    sb.sandbox.configure(sb={"fail_files": None})
    newcomer = sb.client.files.copy(archive_ids(sb, 5)[-1], project=ARCHIVE, name="S0001_new.fastq.gz")["id"]
    assert sb.run(delete(query), make_context(store, try_number=2))["deleted"] == 2
    assert sb.client.files.get(newcomer)["name"] == "S0001_new.fastq.gz"


@pytest.mark.parametrize("deferrable", [True, False])
def test_folders_go_with_everything_in_them(sb: SbWorld, deferrable: bool) -> None:
    client = sb.client
    folder = client.files.create_folder("old", project=ARCHIVE)["id"]
    for id_ in archive_ids(sb, 3):
        client.files.move(id_, folder)
    with pytest.raises(InvalidInputError, match="at least 3"):
        sb.run(delete(folders=[folder], max_files=2))
    result = sb.run(delete(folders=[folder], deferrable=deferrable))
    assert (result["deleted"], result["failed"]) == (3, 0)
    assert len(sb.names(ARCHIVE)) == 997
    assert sb.run(delete(folders=[folder]))["failed"] == 0


@pytest.mark.parametrize("more", [{}, {"files": []}, {"folders": ["x"]}, {"files": ["6" * 24], "max_files": 0}])
def test_bad_delete(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        delete(**more)


def project(name: str = "RNAseq cohort", **more: Any) -> SevenBridgesCreateProjectOperator:
    return SevenBridgesCreateProjectOperator(task_id="project", name=name, **more)


def test_project_by_name_costs_one_call(sb: SbWorld) -> None:
    assert sb.run(project()) == {"project": PROJECT, "name": "RNAseq cohort", "created": False, "api_calls": 1}
    assert sb.count(polls=True) == 1


def test_project_is_created_once(sb: SbWorld) -> None:
    sb.sandbox.fault(service="sb", method="POST", path="projects", action="close", when="after")
    made = sb.run(project("RNAseq"))
    assert (made["project"], made["created"]) == ("labuser/rnaseq", True)
    assert sb.run(project("RNAseq"))["created"] is False
    assert sb.effects()["projects_created"] == 1


def test_a_retry_knows_the_project_that_the_first_try_created(sb: SbWorld) -> None:
    store = FakeStore()
    made = sb.run(project("RNAseq"), make_context(store))
    again = sb.run(project("RNAseq"), make_context(store, try_number=2))
    assert (again["project"], again["created"]) == (made["project"], True)
    assert sb.run(project("RNAseq"), make_context(store, try_number=3, max_tries=5))["created"] is False


def test_project_names_must_be_exact_and_single(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputError, match="there is none of this name"):
        sb.run(project("rnaseq cohort", create=False))
    sb.client.projects.create("RNAseq cohort", billing_group=BILLING)
    with pytest.raises(InvalidInputError, match="labuser/rnaseq-cohort, labuser/rnaseq-cohort"):
        sb.run(project())


def request(path: str = "/user", **more: Any) -> SevenBridgesRequestOperator:
    return SevenBridgesRequestOperator(task_id="request", path=path, **more)


def test_any_request(sb: SbWorld) -> None:
    assert sb.run(request())["username"] == "labuser"
    assert sb.run(request("/projects", query={"name": "RNAseq"}, response_filter=lambda a: len(a["items"]))) == 2
    with pytest.raises(ForbiddenError):
        sb.run(request("/users/guest"))


def test_a_post_is_sent_once(sb: SbWorld) -> None:
    def create() -> SevenBridgesRequestOperator:
        return request("/projects", method="POST", json={"name": "New", "billing_group": BILLING})

    store = FakeStore()
    first = sb.run(create(), make_context(store))
    assert sb.run(create(), make_context(store, try_number=2)) == first
    store = FakeStore()
    sb.sandbox.fault(service="sb", method="POST", path="projects", action="close", when="after")
    with pytest.raises(RemoteWorkError, match="not known"):
        sb.run(create(), make_context(store))
    with pytest.raises(RemoteWorkError, match="clear the task"):
        sb.run(create(), make_context(store, try_number=2))
    assert sb.effects()["projects_created"] == 2
    sb.run(create(), make_context(store, try_number=3, max_tries=5))
    assert sb.effects()["projects_created"] == 3


def test_a_post_that_was_refused_may_be_tried_again(sb: SbWorld) -> None:
    store = FakeStore()
    sb.sandbox.fault(service="sb", method="POST", path="projects", action="status", status=400)
    bad = request("/projects", method="POST", json={"name": "New", "billing_group": BILLING})
    with pytest.raises(Exception, match="400"):
        sb.run(bad, make_context(store))
    assert sb.run(bad, make_context(store, try_number=2))["name"] == "New"


def test_a_post_of_a_try_that_was_replaced_says_so(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    store, turn = ForgottenStore(), ApiSession._wait_for_turn

    def stand_still(session: ApiSession, call: Any) -> None:
        turn(session, call)
        store.forget()

    monkeypatch.setattr(ApiSession, "_wait_for_turn", stand_still)
    with pytest.raises(SupersededError, match="nothing more is sent"):
        sb.run(request("/projects", method="POST", json={"name": "New"}), make_context(store))


@pytest.mark.parametrize(
    "more",
    [{"path": "https://example.org/"}, {"path": "/files?x=1"}, {"method": "COPY"}, {"json": {1, 2}}, {"path": ""}],
)
def test_bad_request(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        request(**more)


def test_a_post_is_not_sent_again_because_its_answer_was_not_liked(sb: SbWorld) -> None:
    def fail(answer: Any) -> Any:
        raise KeyError("items")

    def create(**more: Any) -> SevenBridgesRequestOperator:
        return request("/projects", method="POST", json={"name": "New", "billing_group": BILLING}, **more)

    store = FakeStore()
    with pytest.raises(KeyError):
        sb.run(create(response_filter=fail), make_context(store))
    mended = create(response_filter=lambda answer: answer["name"])
    assert sb.run(mended, make_context(store, try_number=2)) == "New"
    assert sb.effects()["projects_created"] == 1


def test_a_retry_starts_another_job_for_folders_that_could_not_be_deleted(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = sb.client.files.create_folder("old", project=ARCHIVE)["id"], FakeStore()
    error = {"error": {"status": 503, "code": 5000, "message": "no"}}
    with monkeypatch.context() as patch:
        job = {"type": "DELETE", "state": "FINISHED", "failed_files": 1, "result": [error]}
        patch.setattr(AsyncJobs, "get", lambda self, kind, id_: {"id": id_, **job})
        with pytest.raises(RemoteWorkError, match="5000"):
            sb.run(delete(folders=[folder]), make_context(store))
    assert sb.run(delete(folders=[folder]), make_context(store, try_number=2))["failed"] == 0
    assert sb.calls()["POST async/files/delete"] == 2


def test_a_post_that_was_not_sent_for_want_of_a_note_is_sent_by_a_retry(sb: SbWorld) -> None:
    """Airflow's server was away for a moment, and nobody has replaced this try."""

    class AwayOnce(FakeStore):
        is_away = True

        def set(self, key: str, value: Any, **_: Any) -> None:
            if key == "announced" and self.is_away:
                self.is_away = False
                raise ConnectionError("restarting")
            super().set(key, value)

    store = AwayOnce()
    create = request("/projects", method="POST", json={"name": "New", "billing_group": BILLING})
    with pytest.raises(SupersededError):
        sb.run(create, make_context(store))
    assert sb.run(create, make_context(store, try_number=2))["name"] == "New"
