"""Imports and exports."""

from __future__ import annotations

import pytest

from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.client.seven_bridges.exports import export_item
from airflow_src_provider.client.seven_bridges.imports import import_item
from airflow_src_provider.exceptions import ConflictError, InvalidInputError, NotFoundError, OutcomeUnknownError
from tests.unit.client.fakes import Call, FakeSession

FILE = "65a1f1e4e4b0a77ec4fd2064"
FOLDER = "65a1f0c2e4b0a77ec4fd2000"


def imports(session):
    return SevenBridgesClient(session).imports


def exports(session):
    return SevenBridgesClient(session).exports


def item(number, **more):
    return import_item("o/bucket", f"raw/{number}.fq", project="o/p", **more)


def export(number):
    return export_item(f"{number:024x}", "o/bucket", f"out/{number}.bam")


def accepted(call: Call):
    """Answers every entry with a job; the server fills in the name."""
    jobs = []
    for i, entry in enumerate(call.json["items"]):
        destination = {"name": "given by the server", **entry["destination"]}
        jobs.append(
            {"resource": {"id": f"job{i}", "state": "PENDING", "source": entry["source"], "destination": destination}}
        )
    return {"items": jobs}


def test_bodies_as_the_api_wants_them():
    assert item(1) == {
        "source": {"volume": "o/bucket", "location": "raw/1.fq"},
        "destination": {"project": "o/p"},
        "overwrite": False,
        "autorename": False,
    }
    folder = import_item("o/bucket", "raw/", parent=FOLDER, name="n", preserve_folder_structure=False, overwrite=True)
    assert folder["destination"] == {"parent": FOLDER, "name": "n"}
    assert folder["preserve_folder_structure"] is False
    assert export_item(FILE, "o/bucket", "out/x.bam", overwrite=True, properties={"sse_algorithm": "AES256"}) == {
        "source": {"file": FILE},
        "destination": {"volume": "o/bucket", "location": "out/x.bam"},
        "overwrite": True,
        "properties": {"sse_algorithm": "AES256"},
    }


@pytest.mark.parametrize(
    "build",
    [
        lambda: import_item("o/b", "x"),
        lambda: import_item("o/b", "x", project="o/p", parent=FOLDER),
        lambda: import_item("b", "x", project="o/p"),
        lambda: import_item("o/b", "", project="o/p"),
        lambda: import_item("o/b", "x", project="o/p", name=" "),
        lambda: import_item("o/b", "x", project="o/p", preserve_folder_structure=True),
        lambda: export_item("x", "o/b", "y"),
        lambda: export_item(FILE, "b", "y"),
        lambda: export_item(FILE, "o/b", "out/"),
    ],
)
def test_bad_requests_cannot_be_built(build):
    with pytest.raises(InvalidInputError):
        build()


def test_many_imports_go_out_chunk_by_chunk_and_each_once():
    session = FakeSession(always=accepted)
    parts = imports(session).create_many([item(i % 250) for i in range(300)])
    assert session.calls == 0
    first = next(parts)
    assert session.calls == 1
    assert [entry.status for entry in first] == ["done"] * 100
    assert first[7].sent == item(7)
    assert [len(part) for part in parts] == [100, 50]
    assert {(c.path, c.safe, c.timeout) for c in session.sent} == {("/bulk/storage/imports/create", None, 60.0)}
    asked = session.last.query["fields"].split(",")
    assert {"resource.id", "resource.state", "resource.source", "resource.destination", "error"} <= set(asked)


def test_an_unclear_chunk_is_raised_so_that_the_caller_can_look():
    session = FakeSession(accepted, OutcomeUnknownError("lost"))
    parts = imports(session).create_many([item(i) for i in range(150)])
    next(parts)
    with pytest.raises(OutcomeUnknownError):
        next(parts)
    assert session.calls == 2


def test_a_chunk_of_imports_is_verified_by_where_from_and_where_to():
    def shuffled(call: Call):
        answer = accepted(call)["items"]
        return {"items": [answer[1], {"error": {"status": 404, "code": 9007, "message": "no volume"}}, answer[0]]}

    items = imports(FakeSession(shuffled)).create_chunk([item(0), item(1), item(2)])
    assert [(entry.status, entry.resource and entry.resource["id"]) for entry in items] == [
        ("done", "job0"),
        ("done", "job1"),
        ("unknown", None),
    ]


def test_the_same_source_to_two_places_is_not_mixed_up():
    items = [item(0), import_item("o/bucket", "raw/0.fq", project="o/q")]

    def swapped(call: Call):
        return {"items": accepted(call)["items"][::-1]}

    result = imports(FakeSession(swapped)).create_chunk(items)
    assert [entry.resource["destination"]["project"] for entry in result] == ["o/p", "o/q"]


def test_a_job_without_source_proves_nothing():
    answer = {"items": [{"resource": {"id": "job", "state": "PENDING"}}]}
    (entry,) = imports(FakeSession(answer)).create_chunk([item(0)])
    assert entry.status == "unknown"


def test_contradicting_doubles_are_refused():
    session = FakeSession()
    with pytest.raises(InvalidInputError, match="differs"):
        imports(session).create_many([item(1), item(1, overwrite=True)])
    assert session.calls == 0


@pytest.mark.parametrize("items", [[], ["x"], [{"source": {}}], [{"source": {}, "destination": 1}], "x"])
def test_items_that_are_none(items):
    session = FakeSession()
    with pytest.raises(InvalidInputError):
        imports(session).create_chunk(items)
    with pytest.raises(InvalidInputError):
        exports(session).create_many(items, copy_only=True)
    assert session.calls == 0


@pytest.mark.parametrize("copy_only", [True, False])
def test_copy_only_is_always_said_and_is_part_of_the_query(copy_only):
    session = FakeSession(accepted, {"id": "j", "state": "PENDING"})
    (part,) = exports(session).create_many([export(1), export(2)], copy_only=copy_only)
    assert [entry.status for entry in part] == ["done", "done"]
    exports(session).create(export(1), copy_only=copy_only)
    assert [c.path for c in session.sent] == ["/bulk/storage/exports/create", "/storage/exports"]
    assert [c.query["copy_only"] for c in session.sent] == [copy_only, copy_only]


@pytest.mark.parametrize("copy_only", [None, "false", 0])
def test_copy_only_has_to_be_chosen(copy_only):
    session = FakeSession()
    with pytest.raises(TypeError):
        exports(session).create(export(1))
    with pytest.raises(InvalidInputError, match="copy_only"):
        exports(session).create_many([export(1)], copy_only=copy_only)
    assert session.calls == 0


@pytest.mark.parametrize(("kind", "key"), [("imports", "import_ids"), ("exports", "export_ids")])
def test_get_many(kind, key):
    def answer(call: Call):
        return {"items": [{"resource": {"id": one, "state": "FAILED"}} for one in call.json[key]]}

    session = FakeSession(always=answer)
    ids = [f"job{i}" for i in range(130)]
    found = getattr(SevenBridgesClient(session), kind).get_many([*ids, "job0"])
    # A job that failed was read successfully: two levels of error.
    assert [(entry.sent, entry.status, entry.resource["state"]) for entry in found] == [
        (i, "done", "FAILED") for i in ids
    ]
    assert [(c.path, len(c.json[key]), c.safe) for c in session.sent] == [
        (f"/bulk/storage/{kind}/get", 100, True),
        (f"/bulk/storage/{kind}/get", 30, True),
    ]


@pytest.mark.parametrize("status", [404, 409])
def test_a_failed_job_that_comes_with_an_http_error_is_a_job(status):
    job = {"id": "abc", "state": "FAILED", "error": {"status": status, "code": 9105}}
    session = FakeSession(ConflictError("x", status=status, body=job))
    assert imports(session).get("abc") == job


@pytest.mark.parametrize("body", [None, {"status": 404, "code": 9008, "message": "x"}, {"id": "abc"}])
def test_an_unknown_job_is_an_error(body):
    with pytest.raises(NotFoundError):
        exports(FakeSession(NotFoundError("x", status=404, code=9008, body=body))).get("abc")


def test_listing_by_state_volume_and_project():
    session = FakeSession({"items": [{"id": "a"}], "links": []}, {"items": [], "links": []})
    assert list(imports(session).list(project="o/p", volume="o/b", state=["PENDING", "RUNNING"])) == [{"id": "a"}]
    assert session.last.values("state") == ["PENDING", "RUNNING"]
    assert {"project": "o/p", "volume": "o/b"}.items() <= session.last.query.items()
    list(exports(session).list(volume="o/b", state="FAILED"))
    assert session.last.path == "/storage/exports"


def test_a_single_import_may_be_terminal_at_once():
    session = FakeSession({"id": "j", "state": "COMPLETED", "result": {"id": FILE}})
    assert imports(session).create(item(1))["result"]["id"] == FILE
    assert (session.last.method, session.last.path, session.last.safe) == ("POST", "/storage/imports", None)


def test_an_answer_that_is_no_object_leaves_the_outcome_unknown():
    with pytest.raises(OutcomeUnknownError):
        imports(FakeSession("ok")).create(item(1))
