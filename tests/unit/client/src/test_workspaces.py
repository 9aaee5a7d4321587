"""The workspace service, and the pages that all services share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_src_provider.client.src import SrcClient
from airflow_src_provider.exceptions import (
    BadAnswerError,
    BadRequestError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
)
from tests.unit.client.fakes import Answer, Call, FakeSession

WS = "0c5d2f1e-8b1a-4a57-9f0e-6e1f7a2b3c40"
CO = "7f1c2a9e-3b44-4d55-8e10-2a6d1c9b7e01"
WALLET = "2b8f0e54-6c8e-4a1f-9d7c-9f3f5b1c4a22"
STORAGE = "f1a2b3c4-5566-4777-8888-99aabbccddee"


GONE = NotFoundError("gone", status=404, body={"detail": "Not found."})


def client(session):
    return SrcClient(session)


def uuid(number):
    return f"00000000-0000-4000-8000-{number:012x}"


def server(total, most=100, foreign="https://internal.example/workspaces/?offset=1"):
    def answer(call: Call):
        start, size = call.query["offset"], min(call.query["limit"], most)
        ids = range(total)[start : start + size]
        more = start + size < total
        return {"count": total, "next": foreign if more else None, "results": [{"id": uuid(i)} for i in ids]}

    return FakeSession(always=answer)


@pytest.mark.parametrize(
    ("total", "most", "calls"), [(0, 100, 1), (100, 100, 1), (101, 100, 2), (1000, 100, 10), (25, 10, 3)]
)
def test_all_pages_with_offsets_counted_here(total, most, calls):
    session = server(total, most)
    assert len(client(session).workspaces.list()) == total
    assert session.calls == calls
    assert {(c.path, c.service, c.query["limit"]) for c in session.sent} == {("workspaces/", "workspace", 100)}


def test_objects_come_once_and_the_oldest_first():
    def entry(number, day):
        return {"id": uuid(number), "time_created": day}

    pages = [
        {"next": "x", "results": [entry(3, "2026-03-01T00:00:00Z"), entry(1, "2026-01-01T00:00:00Z")]},
        {"next": "x", "results": [entry(1, "2026-01-01T00:00:00Z"), entry(2, None), "odd"]},
        {"next": "x", "results": []},
    ]
    session = FakeSession(*pages)
    assert [w["id"] for w in client(session).workspaces.list()] == [uuid(2), uuid(1), uuid(3)]
    assert [c.query["offset"] for c in session.sent] == [0, 2, 5]


def test_a_server_that_ignores_the_offset_is_no_endless_loop():
    session = FakeSession(always=lambda call: {"next": "x", "results": [{"id": WS}]})
    with pytest.raises(BadAnswerError):
        client(session).workspaces.list()
    assert session.calls == 2


@pytest.mark.parametrize("answer", [None, {}, {"results": None}, "x"])
def test_an_answer_that_is_no_list(answer):
    with pytest.raises(BadAnswerError):
        client(FakeSession(answer)).workspaces.list()


def test_every_filter():
    session = FakeSession({"results": []}, {"results": []})
    client(session).workspaces.list()
    assert session.last.query == {"deleted": False, "limit": 100, "offset": 0}
    client(session).workspaces.list(
        application_type="Storage",
        deleted=None,
        by_owner=True,
        co_id=CO,
        name="data",
        status="available",
        wallet_id=WALLET,
        workspace_id=WS.upper(),
    )
    assert session.last.query == {
        "application_type": "Storage",
        "by_owner": True,
        "co_id": CO,
        "name": "data",
        "status": "available",
        "wallet_id": WALLET,
        "id": WS,
        "limit": 100,
        "offset": 0,
    }


@pytest.mark.parametrize(
    ("total", "wanted", "calls"),
    [(3, [1], 1), (50, range(40), 1), (1000, range(1000), 10), (1000, [5], 1), (1000, [1, 999], 2)],
)
def test_a_look_costs_the_fewest_calls(total, wanted, calls):
    listed = server(total)

    def answer(call: Call):
        number = call.path.removeprefix("workspaces/").rstrip("/")
        return {"id": number} if number else listed.request("GET", call.path, params=list(call.pairs)).json()

    session = FakeSession(always=answer)
    ids = [uuid(i) for i in wanted]
    assert set(client(session).workspaces.look(ids)) == set(ids)
    assert session.calls <= calls


def test_a_look_survives_odd_entries_and_leaves_out_what_is_gone():
    session = FakeSession({"next": None, "results": [{"id": []}, {"id": None}, {"id": WS}, 5]}, GONE)
    assert set(client(session).workspaces.look([WS, CO])) == {WS}


def test_what_a_list_does_not_show_yet_is_asked_for_by_itself():
    session = FakeSession({"next": None, "results": [{"id": WS}]}, {"id": CO}, GONE)
    assert set(client(session).workspaces.look([WS, CO, STORAGE])) == {WS, CO}
    assert [call.path for call in session.sent] == ["workspaces/", f"workspaces/{CO}/", f"workspaces/{STORAGE}/"]


def test_what_was_about_to_be_deleted_needs_no_second_look():
    def page(*entries):
        return {"next": None, "results": list(entries)}

    going = {"id": CO, "status": "deleting"}
    session = FakeSession(page({"id": WS}, going), page({"id": WS}))
    workspaces = client(session).workspaces
    assert set(workspaces.look([WS, CO])) == {WS, CO}
    assert set(workspaces.look([WS, CO])) == {WS}
    assert session.calls == 2


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["box", "box"], ["2 workspaces", uuid(0), "paused"]),
        (["Box", "box 2"], ["'Box'", "'box 2'"]),
        ([], ["none"]),
    ],
)
def test_several_or_no_workspace_is_an_error_that_lists_the_choices(names, told):
    found = [{"id": uuid(i), "name": name, "status": "paused"} for i, name in enumerate(names)]
    with pytest.raises(InvalidInputError) as caught:
        client(FakeSession({"results": found})).workspaces.find("box", co_id=CO)
    assert all(part in str(caught.value) for part in told)


def test_find_compares_the_whole_name():
    found = [{"id": uuid(1), "name": "box 2"}, {"id": uuid(2), "name": "box"}]
    session = FakeSession({"results": found})
    assert client(session).workspaces.find("box")["id"] == uuid(2)
    assert session.last.query["name"] == "box"


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (lambda w: w.get(WS.upper()), "GET", "", None),
        (lambda w: w.update(WS, name="n"), "PATCH", "", {"name": "n"}),
        (
            lambda w: w.update(WS, end_time=datetime(2026, 12, 31, 23, 59, 59, 5, tzinfo=UTC)),
            "PATCH",
            "",
            {"end_time": "2026-12-31T23:59:59Z"},
        ),
        (
            lambda w: w.update(WS, end_time="2026-12-31T23:59:59+01:00"),
            "PATCH",
            "",
            {"end_time": "2026-12-31T22:59:59Z"},
        ),
        (lambda w: w.pause(WS), "POST", "actions/pause/", {}),
        (lambda w: w.resume(WS), "POST", "actions/resume/", {}),
        (lambda w: w.reboot(WS), "POST", "actions/reboot/", {}),
        (
            lambda w: w.update_nsgs(WS, ["in tcp 1 1 0.0.0.0/0 mutable"]),
            "POST",
            "actions/update_nsgs/",
            {"network_security_group_rules": ["in tcp 1 1 0.0.0.0/0 mutable"]},
        ),
        (
            lambda w: w.update_storages(WS, [STORAGE, STORAGE]),
            "POST",
            "actions/update_storages/",
            {"storages": [{"id": STORAGE, "type": "Workspace"}]},
        ),
        (lambda w: w.update_storages(WS, []), "POST", "actions/update_storages/", {"storages": []}),
        (
            lambda w: w.actions(WS, ["pause", {"action": "resume", "parameters": {"a": 1}}]),
            "POST",
            "actions/",
            [{"action": "pause", "parameters": {}}, {"action": "resume", "parameters": {"a": 1}}],
        ),
        (lambda w: w.change_wallet(WS, WALLET), "PATCH", "change_wallet/", {"wallet_id": WALLET}),
        (
            lambda w: w.change_wallet(WS, WALLET, "grant"),
            "PATCH",
            "change_wallet/",
            {"wallet_id": WALLET, "wallet_name": "grant"},
        ),
        (lambda w: w.claim_ownership(WS), "PATCH", "claim_ownership/", {}),
    ],
)
def test_single_calls(call, method, path, body):
    session = FakeSession({"id": WS})
    assert call(client(session).workspaces) == {"id": WS}
    sent = session.last
    assert (sent.service, sent.method, sent.path, sent.json) == ("workspace", method, f"workspaces/{WS}/{path}", body)
    assert sent.safe is None


def test_create_is_an_effect():
    session = FakeSession({"id": WS}, None)
    assert client(session).workspaces.create({"name": "n"})["id"] == WS
    assert (session.last.method, session.last.path, session.last.safe) == ("POST", "workspaces/", None)
    with pytest.raises(OutcomeUnknownError):
        client(session).workspaces.create({"name": "n"})


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        ({"id": WS}, {"id": WS}),
        (Answer(b"", 204), None),
        (b"<html>", None),
        (["x"], None),
    ],
)
def test_deletes_in_all_forms(reply, result):
    session = FakeSession(reply)
    assert client(session).workspaces.delete(WS) == result
    assert (session.last.method, session.last.path) == ("DELETE", f"workspaces/{WS}/")


def test_what_is_not_there_need_not_be_deleted():
    session = FakeSession(GONE, GONE)
    assert client(session).workspaces.delete(WS) is None


def test_a_404_that_is_not_the_services_own_is_looked_at_twice():
    page = NotFoundError("Not Found", status=404)
    assert client(FakeSession(page, {"id": WS})).workspaces.look([WS]) == {WS: {"id": WS}}
    assert client(FakeSession(page, page)).workspaces.look([WS]) == {}


def test_a_gateway_that_does_not_find_the_service_deletes_nothing():
    session = FakeSession(NotFoundError("Not Found", status=404), {"id": WS, "status": "running"})
    with pytest.raises(NotFoundError):
        client(session).workspaces.delete(WS)


@pytest.mark.parametrize("answer", [{}, {"id": None}, {"id": 7}, {"id": ["x"]}, {"id": "new"}])
def test_a_creation_without_an_id_may_have_happened(answer):
    session = FakeSession(answer)
    with pytest.raises(OutcomeUnknownError):
        client(session).workspaces.create({"name": "n"})


@pytest.mark.parametrize(("status", "done"), [("deleting", True), ("deleted", True), ("creating", False)])
def test_a_delete_that_is_refused_may_have_been_done_before(status, done):
    session = FakeSession(BadRequestError("not possible", status=400), {"id": WS, "status": status})
    if done:
        assert client(session).workspaces.delete(WS) == {"id": WS, "status": status}
    else:
        with pytest.raises(BadRequestError):
            client(session).workspaces.delete(WS)
    assert [c.method for c in session.sent] == ["DELETE", "GET"]


@pytest.mark.parametrize(
    ("reply", "text"),
    [(b"line 1\nline 2", "line 1\nline 2"), (b"", None), (NotFoundError("none", status=404, code=404), None)],
)
def test_logs(reply, text):
    session = FakeSession(reply)
    assert client(session).workspaces.logs(WS) == text
    assert session.last.path == f"workspaces/{WS}/logs/"


@pytest.mark.parametrize(
    "call",
    [
        lambda w: w.get("box"),
        lambda w: w.get(None),
        lambda w: w.get(f"{WS}/actions"),
        lambda w: w.list(application_type="compute"),
        lambda w: w.list(co_id="x"),
        lambda w: w.find(" "),
        lambda w: w.update(WS),
        lambda w: w.update(WS, end_time="tomorrow"),
        lambda w: w.update(WS, end_time=datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda w: w.update(WS, end_time="2026-12-31T23:59:59"),
        lambda w: w.action(WS, "delete"),
        lambda w: w.actions(WS, []),
        lambda w: w.actions(WS, ["explode"]),
        lambda w: w.update_nsgs(WS, "in tcp 1 1 0.0.0.0/0"),
        lambda w: w.update_nsgs(WS, [5]),
        lambda w: w.update_storages(WS, ["data"]),
        lambda w: w.change_wallet(WS, "grant"),
    ],
)
def test_refused_before_any_call(call):
    session = FakeSession()
    with pytest.raises(InvalidInputError):
        call(client(session).workspaces)
    assert session.calls == 0
