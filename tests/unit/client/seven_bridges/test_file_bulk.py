"""Bulk calls on files."""

from __future__ import annotations

import pytest

from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.exceptions import (
    ForbiddenError,
    InvalidInputError,
    InvalidInputsError,
    NotFoundError,
    OutcomeUnknownError,
    ServerError,
)
from tests.unit.client.fakes import Call, FakeSession


def fid(number):
    return f"{number:024x}"


IDS = [fid(i) for i in range(250)]


def echo(call: Call):
    """Answers every id with a resource."""
    ids = call.json.get("file_ids") or [item["id"] for item in call.json["items"]]
    return {"items": [{"resource": {"id": one}} for one in ids]}


def test_get_many_costs_one_call_per_hundred_and_asks_only_for_what_is_needed():
    session = FakeSession(always=echo)
    items = SevenBridgesClient(session).files.get_many([*IDS, *IDS], fields=("name", "metadata.sample_id"))
    assert [item.sent for item in items] == IDS
    assert [len(c.json["file_ids"]) for c in session.sent] == [100, 100, 50]
    assert {c.query["fields"] for c in session.sent} == {"resource.id,error,resource.name,resource.metadata.sample_id"}
    assert {(c.method, c.path, c.safe, c.timeout) for c in session.sent} == {("POST", "/bulk/files/get", True, 60.0)}


@pytest.mark.parametrize(("method", "path"), [("edit_many", "edit"), ("update_many", "update")])
def test_changes_are_sent_as_given_and_may_be_repeated(method, path):
    session = FakeSession(always=echo)
    changes = [{"id": one, "metadata": {"sample_id": "S1", "old": None}} for one in IDS]
    parts = list(getattr(SevenBridgesClient(session).files, method)(changes))
    assert [len(part) for part in parts] == [100, 100, 50]
    assert session.sent[0].json["items"] == changes[:100]
    assert {(c.path, c.safe) for c in session.sent} == {(f"/bulk/files/{path}", True)}
    assert {c.query["fields"] for c in session.sent} == {"resource.id,error"}


def test_changes_go_out_chunk_by_chunk():
    session = FakeSession(always=echo)
    parts = SevenBridgesClient(session).files.edit_many([{"id": one, "name": "n"} for one in IDS])
    assert session.calls == 0
    next(parts)
    assert session.calls == 1


@pytest.mark.parametrize(
    "change",
    [
        {"id": "short", "name": "n"},
        {"name": "n"},
        {"id": fid(1)},
        {"id": fid(1), "nmae": "n"},
        {"id": fid(1), "name": ""},
        {"id": fid(1), "tags": "raw"},
        {"id": fid(1), "metadata": {"k": 1}},
        "x",
    ],
)
def test_bad_changes_are_refused_before_the_first_call(change):
    session = FakeSession()
    with pytest.raises(InvalidInputError):
        SevenBridgesClient(session).files.edit_many([{"id": fid(2), "name": "n"}, change])
    assert session.calls == 0


def test_all_bad_ids_are_named_at_once():
    with pytest.raises(InvalidInputsError) as caught:
        SevenBridgesClient(FakeSession()).files.get_many([fid(1), "a", "b"])
    assert [problem.parameter for problem in caught.value.problems] == ["file_ids[1]", "file_ids[2]"]


@pytest.mark.parametrize("ids", [[], "abc", fid(1), None, 5, {fid(1): 1}])
def test_a_list_of_ids_must_be_a_list_that_is_not_empty(ids):
    files = SevenBridgesClient(FakeSession()).files
    for call in (files.get_many, files.delete_many, lambda x: files.copy_many("o/p", x)):
        with pytest.raises(InvalidInputError):
            call(ids)


def test_halving_reaches_files_too():
    def answer(call: Call):
        return echo(call) if len(call.json["file_ids"]) <= 25 else ServerError("slow", status=504)

    session = FakeSession(always=answer)
    items = SevenBridgesClient(session).files.get_many(IDS[:100])
    assert {item.status for item in items} == {"done"}
    assert [len(c.json["file_ids"]) for c in session.sent] == [100, 50, 25, 25, 25, 25]


def gone(status=404, code=5002):
    return {"error": {"status": status, "code": code, "message": "no such file"}}


def test_deleting_what_is_gone_is_done():
    session = FakeSession({"items": [{"resource": {"id": fid(1)}}, gone(), gone(403, 5001)]})
    (part,) = SevenBridgesClient(session).files.delete_many([fid(1), fid(2), fid(3)])
    assert [(item.status, item.resource is not None) for item in part] == [
        ("done", True),
        ("done", False),
        ("failed", False),
    ]
    assert part[2].error.code == 5001
    assert session.last.safe is True


def test_a_404_for_a_whole_delete_splits_until_the_missing_files_are_alone():
    missing = {fid(3), fid(77)}

    def answer(call: Call):
        if missing & set(call.json["file_ids"]):
            return NotFoundError("no such file", status=404, code=5002)
        return echo(call)

    session = FakeSession(always=answer)
    parts = list(SevenBridgesClient(session).files.delete_many(IDS[:150]))
    assert [len(part) for part in parts] == [100, 50]
    items = [item for part in parts for item in part]
    assert [item.sent for item in items] == IDS[:150]
    assert {item.status for item in items} == {"done"}
    assert {item.sent for item in items if item.resource is None} == missing
    assert session.calls < 30


def test_a_404_without_a_code_means_the_route_is_missing_and_is_not_split():
    session = FakeSession(NotFoundError("HTTP 404 Not Found", status=404))
    with pytest.raises(NotFoundError):
        list(SevenBridgesClient(session).files.delete_many(IDS))
    assert session.calls == 1


def test_a_whole_delete_that_is_forbidden_is_not_split():
    session = FakeSession(ForbiddenError("no", status=403, code=5001))
    with pytest.raises(ForbiddenError):
        list(SevenBridgesClient(session).files.delete_many(IDS))
    assert session.calls == 1


def test_copy_reads_the_map_by_source_id():
    done = {"status": "OK", "new_file_id": fid(9), "new_file_name": "1_a"}
    failed = {"status": "FAILED", "message": "no such file", "code": 5002}
    session = FakeSession({fid(3): {"status": "DENIED"}, fid(2): failed, fid(1): done, fid(4): "odd"})
    items = SevenBridgesClient(session).files.copy_chunk("o/dest", [fid(1), fid(2), fid(3), fid(4), fid(5), fid(1)])
    assert [item.status for item in items] == ["done", "failed", "failed", "unknown", "unknown"]
    assert items[0].resource == done
    assert (items[1].error.code, items[1].error.message) == (5002, "no such file")
    assert items[2].error.message == "DENIED"
    assert (session.last.path, session.last.safe, session.last.timeout) == ("/action/files/copy", None, 60.0)
    assert session.last.json == {"project": "o/dest", "file_ids": [fid(i) for i in range(1, 6)]}


def test_an_unclear_copy_stops_after_the_chunks_that_are_known():
    def copied(call: Call):
        return {one: {"status": "OK", "new_file_id": one, "new_file_name": "n"} for one in call.json["file_ids"]}

    session = FakeSession(copied, OutcomeUnknownError("lost"))
    parts = SevenBridgesClient(session).files.copy_many("o/dest", IDS)
    assert session.calls == 0
    assert [item.status for item in next(parts)] == ["done"] * 100
    with pytest.raises(OutcomeUnknownError):
        next(parts)
    assert session.calls == 2


def test_more_than_a_hundred_is_no_chunk():
    with pytest.raises(InvalidInputError, match="at most 100"):
        SevenBridgesClient(FakeSession()).files.copy_chunk("o/dest", IDS)


def test_a_copy_with_an_answer_that_is_no_object_has_an_unknown_outcome():
    with pytest.raises(OutcomeUnknownError):
        SevenBridgesClient(FakeSession([1])).files.copy_chunk("o/dest", IDS[:2])
