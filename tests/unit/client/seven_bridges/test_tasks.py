"""Tasks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.client.seven_bridges.tasks import STATUS_FIELDS, validation_errors
from airflow_src_provider.exceptions import InvalidInputError, OutcomeUnknownError
from tests.unit.client.fakes import Call, FakeSession

TASK = "bd5e95d9-12b3-489c-85b6-34d8696571a9"
BODY = {"project": "o/p", "app": "o/p/salmon/3", "name": "salmon", "inputs": {"threads": 4}}
BY_SAMPLE = {"batch_input": "reads", "batch_by": {"type": "CRITERIA", "criteria": ["metadata.sample_id"]}}


def tasks(session):
    return SevenBridgesClient(session).tasks


def uuid(number):
    return f"00000000-0000-4000-8000-{number:012x}"


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {}),
        ({"run": True}, {"action": "run"}),
        ({"run": True, "batch": False}, {"action": "run", "batch": False}),
        ({"fields": ("id", "status")}, {"fields": "id,status"}),
    ],
)
def test_create(arguments, query):
    session = FakeSession({"id": TASK, "status": "DRAFT"})
    assert tasks(session).create({**BODY, **BY_SAMPLE}, **arguments)["id"] == TASK
    assert (session.last.method, session.last.path, session.last.safe) == ("POST", "/tasks", None)
    assert session.last.query == query
    assert session.last.json == {**BODY, **BY_SAMPLE}


@pytest.mark.parametrize("answer", [{}, {"id": None}, {"id": 7}, {"id": ["x"]}, {"id": ""}])
def test_a_task_whose_answer_has_no_id_may_run(answer):
    with pytest.raises(OutcomeUnknownError):
        tasks(FakeSession(answer)).create(BODY, run=True)


@pytest.mark.parametrize(
    "change",
    [
        {"project": "p"},
        {"app": "o/p"},
        {"name": ""},
        {"name": None},
        {"batch_input": "reads"},
        {"batch_by": {"type": "ITEM"}},
        {"batch_input": "", "batch_by": {"type": "ITEM"}},
        {"batch_input": "reads", "batch_by": {"type": "FILE"}},
        {"batch_input": "reads", "batch_by": "ITEM"},
        {"batch_input": "reads", "batch_by": {"type": "criteria", "criteria": []}},
        {"batch_input": "reads", "batch_by": {"type": "CRITERIA"}},
    ],
)
def test_what_cannot_become_a_task_is_refused_before_it_is_sent(change):
    session = FakeSession()
    with pytest.raises(InvalidInputError):
        tasks(session).create({**BODY, **change})
    assert session.calls == 0


def test_batching_can_only_be_switched_off_when_running():
    with pytest.raises(InvalidInputError, match="run=True"):
        tasks(FakeSession()).create(BODY, batch=False)


def test_a_lost_creation_is_unclear():
    with pytest.raises(OutcomeUnknownError):
        tasks(FakeSession(None)).create(BODY)


@pytest.mark.parametrize("errors", [None, {}, "x", [None, "y"]])
def test_validation_errors_of_odd_shape(errors):
    assert validation_errors({"errors": errors}) == []


def test_validation_errors():
    assert validation_errors({"errors": [{"message": "m", "input_id": "reads"}]})[0]["input_id"] == "reads"


def test_get_many_reads_only_what_a_wait_needs():
    def answer(call: Call):
        return {"items": [{"resource": {"id": one, "status": "RUNNING"}} for one in call.json["task_ids"]]}

    session = FakeSession(always=answer)
    ids = [uuid(i) for i in range(1000)]
    found = tasks(session).get_many(ids)
    assert [entry.sent for entry in found] == ids
    assert session.calls == 10
    assert {(c.path, c.safe, c.timeout) for c in session.sent} == {("/bulk/tasks/get", True, 60.0)}
    asked = session.last.query["fields"].split(",")
    assert {"resource.id", "error", "resource.status", "resource.execution_status"} <= set(asked)
    assert not {"resource.inputs", "resource.outputs"} & set(asked)


def test_list_is_ordered_so_that_new_tasks_do_not_move_the_pages():
    session = FakeSession({"items": [], "links": []})
    moment = datetime(2026, 3, 4, 10, 11, 12, 999, tzinfo=UTC)
    list(tasks(session).list(project="o/p", status="RUNNING", batch=True, created_from=moment, ended_to="2026-01-01"))
    assert session.last.query == {
        "project": "o/p",
        "status": "RUNNING",
        "batch": "true",
        "created_from": "2026-03-04T10:11:12Z",
        "ended_to": "2026-01-01",
        "order_by": "created_time",
        "order": "asc",
        "fields": ",".join(STATUS_FIELDS),
        "offset": 0,
        "limit": 100,
    }


def test_children():
    session = FakeSession({"items": [{"id": uuid(1)}, {"id": uuid(1)}], "links": []})
    assert list(tasks(session).children(TASK)) == [{"id": uuid(1)}]
    assert {"parent": TASK, "order_by": "created_time"}.items() <= session.last.query.items()


@pytest.mark.parametrize(
    "arguments",
    [
        {"status": "DONE"},
        {"order_by": "size"},
        {"order": "up"},
        {"parent": "x"},
        {"project": "p"},
        {"created_from": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"created_from": 5},
        {"created_from": " "},
    ],
)
def test_bad_filters(arguments):
    with pytest.raises(InvalidInputError):
        tasks(FakeSession()).list(**arguments)


@pytest.mark.parametrize(
    ("call", "method", "path", "query", "safe"),
    [
        (lambda t: t.get(TASK, fields=None), "GET", "", {}, None),
        (lambda t: t.run(TASK, batch=False, fields=None), "POST", "/actions/run", {"batch": False}, None),
        (lambda t: t.abort(TASK, fields=("id",)), "POST", "/actions/abort", {"fields": "id"}, True),
        (lambda t: t.clone(TASK, fields=None), "POST", "/actions/clone", {}, None),
        (lambda t: t.clone(TASK, run=True, fields=None), "POST", "/actions/clone", {"action": "run"}, None),
        (lambda t: t.update(TASK, {"name": "n"}, fields=None), "PATCH", "", {}, None),
        (lambda t: t.inputs(TASK), "GET", "/inputs", {}, None),
        (lambda t: t.update_inputs(TASK, {"a": 1}), "PATCH", "/inputs", {}, None),
        (lambda t: t.execution_details(TASK), "GET", "/execution_details", {}, None),
    ],
)
def test_single_calls(call, method, path, query, safe):
    session = FakeSession({"id": TASK})
    assert call(tasks(session)) == {"id": TASK}
    sent = session.last
    assert (sent.method, sent.path, sent.query, sent.safe) == (method, f"/tasks/{TASK}{path}", query, safe)


def test_delete_needs_no_answer():
    session = FakeSession(b"")
    tasks(session).delete(TASK)
    assert (session.last.method, session.last.path) == ("DELETE", f"/tasks/{TASK}")


@pytest.mark.parametrize("task_id", ["", "x", TASK[:-1], TASK + "\n", None, 5, f"../{TASK}"])
def test_ids_that_are_no_uuid(task_id):
    client = tasks(FakeSession())
    for call in (client.get, client.run, client.abort, client.clone, client.delete, client.children):
        with pytest.raises(InvalidInputError):
            call(task_id)
    with pytest.raises(InvalidInputError):
        client.get_many([TASK, task_id])
