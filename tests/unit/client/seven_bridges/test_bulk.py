"""For every entry of a bulk call it is known: done, failed, or unknown."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import SevenBridgesClient, bulk
from airflow_src_provider.client.seven_bridges.bulk import BulkItem, ItemError
from airflow_src_provider.exceptions import (
    BadAnswerError,
    ConnectionLostError,
    ForbiddenError,
    InvalidInputError,
    ServerError,
)
from tests.unit.client.fakes import FakeSession

ERROR = {"error": {"status": 404, "code": 5002, "message": "no such file", "more_info": "x"}}


def ok(one):
    return {"resource": {"id": one}}


def fits(one, resource):
    return resource.get("id") == one


def states(items):
    return [(item.sent, item.status) for item in items]


def test_partial_failure_by_position():
    items = bulk.match(["a", "b", "c"], {"items": [ok("a"), ERROR, ok("c")]}, fits)
    assert states(items) == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert items[1].error == ItemError(404, 5002, "no such file")
    assert items[2].resource == {"id": "c"}


def test_shuffled_answers_are_paired_by_content_and_errors_belong_to_nobody():
    items = bulk.match(["a", "b", "c"], {"items": [ok("c"), ERROR, ok("a")]}, fits)
    assert states(items) == [("a", "done"), ("b", "unknown"), ("c", "done")]


@pytest.mark.parametrize(
    "entries",
    [[ok("a")], [ok("a"), ERROR], [ok("a"), ok("a"), ok("a"), ok("a")], [ok("x"), ok("a"), ok("a")]],
)
def test_an_answer_of_the_wrong_length_or_content_leaves_the_rest_unknown(entries):
    items = bulk.match(["a", "b", "c"], {"items": entries}, fits)
    assert states(items) == [("a", "done"), ("b", "unknown"), ("c", "unknown")]


@pytest.mark.parametrize("answer", [None, [], {}, {"items": None}, {"items": "abc"}, "x"])
def test_an_answer_without_items_leaves_all_unknown(answer):
    assert {item.status for item in bulk.match(["a", "b"], answer, fits)} == {"unknown"}


def test_both_keys_present_count_by_the_error():
    answer = {"items": [{"resource": {"id": "a"}, "error": None}, {"resource": None, "error": {"message": "no"}}, {}]}
    items = bulk.match(["a", "b", "c"], answer, fits)
    assert states(items) == [("a", "done"), ("b", "failed"), ("c", "unknown")]


def test_two_entries_that_fit_the_same_resource_are_both_unknown():
    answer = {"items": [{"resource": {"id": "z"}}, {"resource": {"kind": 1}}]}
    items = bulk.match([1, 2], answer, lambda one, resource: resource.get("kind") == 1)
    assert {item.status for item in items} == {"unknown"}


@given(st.integers(0, 60), st.randoms(use_true_random=False), st.data())
def test_nothing_is_ever_claimed_that_did_not_happen(count, rng: random.Random, data):
    sent = [f"f{i}" for i in range(count)]
    failed = data.draw(st.sets(st.sampled_from(sent))) if sent else set()
    entries = [ERROR if one in failed else ok(one) for one in sent]
    rng.shuffle(entries)
    items = bulk.match(sent, {"items": entries[: data.draw(st.integers(0, count))]}, fits)
    assert [item.sent for item in items] == sent
    for item in items:
        assert item.status != "done" or (item.sent not in failed and item.resource == {"id": item.sent})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_answer_is_survived(answer):
    for shape in (answer, {"items": answer}, {"items": [answer]}, {"items": [{"error": answer}]}):
        assert len(bulk.match(["a"], shape, fits)) == 1


def test_nothing_is_concluded_from_an_answer_that_says_nothing():
    items = bulk.match(["a", "b"], {"items": [{"resource": {"id": "a"}}]}, lambda one, there: there["id"] == one)
    assert bulk.known(items[:1]) == items[:1]
    with pytest.raises(BadAnswerError, match=r"1 of 2 entries: b"):
        bulk.known(items)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"status": "NOT_FOUND", "message": "HTTP 404"}, ItemError(None, None, "HTTP 404")),
        ({"status": "404", "code": "5002"}, ItemError(404, 5002, "404")),
        ("went wrong", ItemError(None, None, "went wrong")),
        ({}, ItemError(None, None, "no reason given")),
    ],
)
def test_errors_of_any_shape(error, expected):
    assert ItemError.of(error) == expected


class Server:
    """Takes up to ``most`` entries at once."""

    def __init__(self, most, error):
        self.most, self.error, self.sizes = most, error, []

    def __call__(self, chunk):
        self.sizes.append(len(chunk))
        if len(chunk) > self.most:
            raise self.error
        return [BulkItem(one, "done") for one in chunk]


@pytest.mark.parametrize(
    "error", [ServerError("x", status=504), ServerError("x", status=502), ConnectionLostError("x")]
)
def test_a_chunk_that_is_too_much_is_halved_and_the_rest_stays_small(error):
    server = Server(30, error)
    done = [item.sent for part in bulk.repeatable(server, range(250)) for item in part]
    assert done == list(range(250))
    assert server.sizes == [100, 50] + [25] * 10


def test_a_single_entry_that_is_too_slow_is_an_error():
    server = Server(0, ServerError("x", status=504))
    with pytest.raises(ServerError):
        list(bulk.repeatable(server, range(4)))
    assert server.sizes == [4, 2, 1]


@pytest.mark.parametrize("error", [ServerError("x", status=500), ForbiddenError("x", status=403)])
def test_other_errors_are_not_answered_with_smaller_chunks(error):
    server = Server(10, error)
    with pytest.raises(type(error)):
        list(bulk.repeatable(server, range(20)))
    assert server.sizes == [20]


def test_chunks_are_sent_one_by_one_as_they_are_asked_for():
    server = Server(100, None)
    parts = bulk.repeatable(server, range(250))
    assert server.sizes == []
    next(parts)
    assert server.sizes == [100]


@pytest.mark.parametrize("size", [0, 101, -1, True, "5", None])
def test_chunk_sizes(size):
    with pytest.raises(InvalidInputError):
        bulk.check_chunk_size(size)


def test_doubles_are_dropped_but_not_contradictions():
    entries = [{"id": 1, "n": "a"}, {"id": 2, "n": "a"}, {"id": 1, "n": "a"}]
    assert bulk.unique(entries, lambda e: e["id"], "changes") == entries[:2]
    with pytest.raises(InvalidInputError, match="differs"):
        bulk.unique([*entries, {"id": 1, "n": "b"}], lambda e: e["id"], "changes")


@pytest.mark.parametrize(("count", "attempts"), [(1, 5), (2, 2), (100, 2)])
def test_many_entries_are_halved_soon_instead_of_sent_whole_again_and_again(count, attempts):
    session = FakeSession({"items": []})
    SevenBridgesClient(session).files.get_many([f"{i:024x}" for i in range(count)])
    assert session.last.attempts == attempts
