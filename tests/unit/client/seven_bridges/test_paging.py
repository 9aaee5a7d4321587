"""No page is loaded twice, no address of the server is followed, no object comes twice."""

from __future__ import annotations

from itertools import islice
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import paging
from airflow_src_provider.exceptions import BadAnswerError, InvalidInputError
from tests.unit.client.fakes import Call, FakeSession

FOREIGN = {"href": "https://evil.example/v2/files?offset=7&limit=3", "rel": "NEXT", "method": "GET"}


def page(ids, more):
    return {"href": "x", "items": [{"id": i} for i in ids], "links": [FOREIGN] if more else []}


def server(ids, clamp=100):
    """An offset list of the given ids that gives at most ``clamp`` of them at once."""

    def answer(call: Call):
        start, limit = call.query["offset"], min(call.query["limit"], clamp)
        return page(ids[start : start + limit], start + limit < len(ids))

    return FakeSession(always=answer)


@given(total=st.integers(0, 420), clamp=st.sampled_from([1, 7, 50, 100]))
def test_every_object_once_with_the_fewest_calls(total, clamp):
    ids = [f"f{i}" for i in range(total)]
    session = server(ids, clamp)
    assert [item["id"] for item in paging.items(session, "/files")] == ids
    assert session.calls == max(1, -(-total // clamp))


def test_offsets_are_counted_here_and_the_limit_is_always_100():
    session = server([f"f{i}" for i in range(250)])
    list(paging.items(session, "/files", {"project": "o/p"}))
    assert [(c.path, c.query["offset"], c.query["limit"]) for c in session.sent] == [
        ("/files", 0, 100),
        ("/files", 100, 100),
        ("/files", 200, 100),
    ]
    assert all(c.query["project"] == "o/p" for c in session.sent)


def test_a_page_is_only_loaded_when_it_is_needed():
    session = server([f"f{i}" for i in range(1000)])
    assert len(list(islice(paging.items(session, "/files"), 100))) == 100
    assert session.calls == 1


def test_rows_that_moved_to_the_next_page_come_once_and_still_count_for_the_offset():
    session = FakeSession(page(["a", "b", "c"], True), page(["c", "d"], True), page(["e"], False))
    assert [i["id"] for i in paging.items(session, "/tasks")] == ["a", "b", "c", "d", "e"]
    assert [c.query["offset"] for c in session.sent] == [0, 3, 5]


def test_an_empty_page_ends_the_list_whatever_its_next_says():
    session = FakeSession(page(["a"], True), page([], True))
    assert [i["id"] for i in paging.items(session, "/tasks")] == ["a"]


def test_a_server_that_ignores_the_offset_is_no_endless_loop():
    session = FakeSession(always=lambda call: page(["a", "b"], True))
    with pytest.raises(BadAnswerError):
        list(paging.items(session, "/tasks"))
    assert session.calls == 2


@pytest.mark.parametrize("links", [None, {}, "next", [None, 7], [{"rel": "prev", "href": "x"}], [{"next": "x"}]])
def test_odd_links_mean_the_last_page(links):
    session = FakeSession({"items": [{"id": "a"}], "links": links})
    assert [i["id"] for i in paging.items(session, "/tasks")] == ["a"]


def test_objects_without_an_id_are_all_kept():
    session = FakeSession({"items": [{"name": "x"}, {"name": "x"}, {"id": None}], "links": []})
    assert len(list(paging.items(session, "/tasks"))) == 3


@pytest.mark.parametrize("body", [None, [], {"results": []}, {"items": {}}, {"items": [{"id": "a"}, "odd"]}])
def test_an_answer_that_is_no_list_of_objects_is_an_error(body):
    with pytest.raises(BadAnswerError):
        list(paging.items(FakeSession(body), "/tasks"))


@pytest.mark.parametrize("entry", [{"name": "x"}, {"id": None}, {"id": 7}])
def test_an_entry_without_the_id_that_was_asked_for_is_not_left_out_in_silence(entry):
    session = FakeSession({"items": [{"id": "a"}, entry], "links": []})
    with pytest.raises(BadAnswerError):
        list(paging.items(session, "/tasks", {"fields": "id,name"}))


def test_repeated_filters_booleans_and_none():
    session = FakeSession(page([], False))
    list(paging.items(session, "/tasks", {"name": ["a", "b"], "batch": False, "status": None}))
    assert session.last.values("name") == ["a", "b"]
    assert session.last.query["batch"] == "false"
    assert "status" not in session.last.query


def test_a_query_too_long_for_a_url_is_refused_at_once():
    session = FakeSession()
    with pytest.raises(InvalidInputError, match="6000"):
        paging.items(session, "/files", {"name": ["x" * 90] * 100})
    assert session.calls == 0


@given(st.lists(st.text(min_size=1, max_size=40), max_size=80))
def test_what_passes_the_length_check_fits_with_the_longest_base_url(names):
    pairs = paging.pairs_of({"name": names})
    if paging.url_room("/files", pairs) >= 0:
        query = urlencode([*pairs, ("offset", 10**9), ("limit", 100)])
        assert len(f"https://api.sb.biodatacatalyst.nhlbi.nih.gov/v2/files?{query}") <= 6000


def volume(locations, prefixes=(), token=None):
    links = [{"next": f"https://evil.example/list?prefix=x/&continuation_token={token}"}] if token else []
    return {
        "items": [{"location": one, "volume": "o/v", "type": "s3"} for one in locations],
        "prefixes": [{"prefix": one, "volume": "o/v"} for one in prefixes],
        "links": links,
    }


def test_volume_pages_take_only_the_token_from_next():
    session = FakeSession(volume(["a"], ["p/"], "t%2F1"), volume(["a", "b"], ["p/", "q/"]))
    found = list(paging.volume_pages(session, "/storage/volumes/o/v/list", {"prefix": "x/"}))
    assert [[o["location"] for o in page.objects] for page in found] == [["a"], ["b"]]
    assert [page.prefixes for page in found] == [("p/",), ("q/",)]
    assert [c.path for c in session.sent] == ["/storage/volumes/o/v/list"] * 2
    assert session.sent[1].query == {"prefix": "x/", "limit": 100, "continuation_token": "t/1"}


def test_volume_pages_go_on_over_an_empty_page_and_stop_at_a_token_that_comes_again():
    session = FakeSession(volume(["a"], token="1"), volume([], token="2"), volume(["b"], token="1"))
    assert [o["location"] for p in paging.volume_pages(session, "/v") for o in p.objects] == ["a", "b"]


@pytest.mark.parametrize("prefixes", [None, {}, "p/", [None, 3, {"href": "x"}]])
def test_odd_prefixes_are_none(prefixes):
    session = FakeSession({"items": [], "prefixes": prefixes, "links": [{"next": 5}]})
    assert [p.prefixes for p in paging.volume_pages(session, "/v")] == [()]


def test_scroll_takes_only_the_token_from_next():
    def scroll(ids, token):
        href = f"https://evil.example/v2/files/scroll?token={token}"
        return {"items": [{"id": i} for i in ids], "links": [{"rel": "next", "href": href}] if token else []}

    session = FakeSession(scroll(["a"], "t1"), scroll(["a", "b"], "t2"), scroll(["c"], None))
    assert [i["id"] for i in paging.scroll(session, "/files/scroll", {"project": "o/p"})] == ["a", "b", "c"]
    assert [c.query["token"] for c in session.sent] == ["init", "t1", "t2"]
    assert {c.path for c in session.sent} == {"/files/scroll"}
    assert all("offset" not in c.query for c in session.sent)
