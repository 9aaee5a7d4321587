"""Files one by one, by name, and whole trees."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.exceptions import InvalidInputError, NotFoundError
from tests.unit.client.fakes import Call, FakeSession

FILE = "65a1f1e4e4b0a77ec4fd2064"
FOLDER = "65a1f0c2e4b0a77ec4fd2000"
TASK = "bd5e95d9-12b3-489c-85b6-34d8696571a9"
EMPTY = {"items": [], "links": []}


def files(session):
    return SevenBridgesClient(session).files


def test_filters_become_the_query_of_one_level():
    session = FakeSession(EMPTY)
    query = {"metadata": {"sample_id": ["S1", "S2"], "type": "fq"}, "tag": "raw", "origin_task": TASK}
    assert list(files(session).list(project="o/p", name=["a", "b"], **query)) == []
    assert session.last.values("name") == ["a", "b"]
    assert session.last.values("metadata.sample_id") == ["S1", "S2"]
    wanted = {"project": "o/p", "metadata.type": "fq", "tag": "raw", "origin.task": TASK, "limit": 100}
    assert wanted.items() <= session.last.query.items()
    assert session.last.query["fields"] == "id,name,type,project,parent"


@pytest.mark.parametrize(
    "place", [{}, {"project": "o/p", "parent": FOLDER}, {"project": "p"}, {"parent": "p"}, {"project": "o/../p"}]
)
def test_exactly_one_usable_place(place):
    session = FakeSession()
    for call in (files(session).list, files(session).walk, lambda **p: files(session).resolve_names(["n"], **p)):
        with pytest.raises(InvalidInputError):
            call(**place)
    assert session.calls == 0


def test_a_walk_costs_one_call_per_folder_and_knows_the_paths():
    sub, deep = "a" * 24, "b" * 24
    tree = {
        "o/p": [{"id": FILE, "name": "x", "type": "file"}, {"id": sub, "name": "sub", "type": "FOLDER"}],
        sub: [{"id": deep, "name": "deep", "type": "folder"}, {"id": sub, "name": "again", "type": "folder"}],
        deep: [{"id": "c" * 24, "name": "y", "type": "file"}],
    }

    def answer(call: Call):
        return {"items": tree[call.query.get("project") or call.query["parent"]], "links": []}

    session = FakeSession(always=answer)
    walked = [entry.path for entry in files(session).walk(project="o/p", fields=("size",))]
    assert walked == ["x", "sub", "sub/deep", "sub/again", "sub/deep/y"]
    assert session.calls == 3
    assert {c.query["fields"] for c in session.sent} == {"id,name,type,size"}


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=300).filter(lambda s: s.strip()), min_size=1, max_size=350, unique=True))
def test_names_are_asked_for_in_groups_that_fit(names):
    stored = {name: {"id": f"{i:024x}", "name": name} for i, name in enumerate(names) if i % 2 == 0}

    def answer(call: Call):
        return {"items": [stored[n] for n in call.values("name") if n in stored], "links": []}

    session = FakeSession(always=answer)
    found = files(session).resolve_names([*names, names[0]], project="o/p")
    assert found == {name: [stored[name]] if name in stored else [] for name in names}
    for call in session.sent:
        assert len(call.values("name")) <= 100
        assert len("https://api.sb.biodatacatalyst.nhlbi.nih.gov/v2/files?" + urlencode(call.pairs)) <= 6000
    assert sorted(n for c in session.sent for n in c.values("name")) == sorted(names)


def test_a_thousand_short_names_cost_ten_calls():
    session = FakeSession(always=lambda call: EMPTY)
    files(session).resolve_names([f"S{i:04}.fq" for i in range(1000)], parent=FOLDER)
    assert session.calls == 10


def test_a_name_that_fits_into_no_url_is_refused():
    session = FakeSession()
    with pytest.raises(InvalidInputError, match="6000"):
        files(session).resolve_names(["ok", "é" * 1200], project="o/p")
    assert session.calls == 0


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda f: f.get(FILE), ("GET", f"/files/{FILE}", None)),
        (lambda f: f.update(FILE, {"name": "n"}), ("PATCH", f"/files/{FILE}", {"name": "n"})),
        (lambda f: f.copy(FILE, project="o/p"), ("POST", f"/files/{FILE}/actions/copy", {"project": "o/p"})),
        (
            lambda f: f.move(FILE, FOLDER, name="n"),
            ("POST", f"/files/{FILE}/actions/move", {"parent": FOLDER, "name": "n"}),
        ),
        (
            lambda f: f.create_folder("out", parent=FOLDER),
            ("POST", "/files", {"name": "out", "type": "folder", "parent": FOLDER}),
        ),
        (lambda f: f.metadata(FILE), ("GET", f"/files/{FILE}/metadata", None)),
        (lambda f: f.merge_metadata(FILE, {"a": None}), ("PATCH", f"/files/{FILE}/metadata", {"a": None})),
        (lambda f: f.replace_metadata(FILE, {"a": "b"}), ("PUT", f"/files/{FILE}/metadata", {"a": "b"})),
        (lambda f: f.download_info(FILE), ("GET", f"/files/{FILE}/download_info", None)),
    ],
)
def test_single_calls(call, expected):
    session = FakeSession({"id": FILE})
    assert call(files(session)) == {"id": FILE}
    assert (session.last.method, session.last.path, session.last.json) == expected


def test_tags_are_a_list_in_both_directions():
    session = FakeSession(["raw"], ["raw", 5])
    assert files(session).set_tags(FILE, ["raw"]) == ["raw"]
    assert files(session).tags(FILE) == ["raw"]
    assert (session.sent[0].method, session.sent[0].json) == ("PUT", ["raw"])


def test_folder_listing_and_scroll_paths():
    session = FakeSession(EMPTY, EMPTY, EMPTY)
    list(files(session).list_folder(FOLDER))
    list(files(session).scroll(project="o/p"))
    list(files(session).scroll(folder=FOLDER))
    assert [c.path for c in session.sent] == [f"/files/{FOLDER}/list", "/files/scroll", f"/files/{FOLDER}/scroll"]
    assert "project" not in session.last.query


@pytest.mark.parametrize(("code", "done"), [(5002, True), (90003, True), (None, False)])
def test_a_delete_is_done_when_the_file_is_gone_but_not_when_the_route_is(code, done):
    session = FakeSession(NotFoundError("gone", status=404, code=code))
    if done:
        files(session).delete(FILE)
    else:
        with pytest.raises(NotFoundError):
            files(session).delete(FILE)
    assert session.last.method == "DELETE"


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f.get("x"),
        lambda f: f.get(None),
        lambda f: f.get(FILE, fields=("", "a")),
        lambda f: f.update(FILE, {}),
        lambda f: f.update(FILE, {"metadata": {"k": 5}}),
        lambda f: f.create_folder("__x", project="o/p"),
        lambda f: f.set_tags(FILE, "raw"),
    ],
)
def test_refused_before_any_call(call):
    session = FakeSession()
    with pytest.raises(InvalidInputError):
        call(files(session))
    assert session.calls == 0
