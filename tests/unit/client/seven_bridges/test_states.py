"""State words and the verdict on a batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import states
from airflow_src_provider.client.seven_bridges.states import ASYNC_JOB, STORAGE_JOB, TASK

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("kind", "terminal", "successful"),
    [
        (TASK, {"COMPLETED", "ABORTED", "FAILED"}, {"COMPLETED"}),
        (STORAGE_JOB, {"COMPLETED", "FAILED"}, {"COMPLETED"}),
        (ASYNC_JOB, {"FINISHED"}, set()),
    ],
)
def test_words(kind, terminal, successful):
    assert {word for word in kind.known if kind.is_terminal(word)} == terminal
    assert {word for word in kind.known if kind.is_successful(word)} == successful
    assert kind.is_terminal(f" {next(iter(terminal)).lower()} ")


@given(ANYTHING)
def test_unknown_words_are_not_terminal(word):
    for kind in (TASK, STORAGE_JOB, ASYNC_JOB):
        if kind.name(word) not in kind.known:
            assert not kind.is_known(word)
            assert not kind.is_terminal(word)
            assert not kind.is_successful(word)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        ("3", 3),
        ("3.0", 3),
        (" 4 ", 4),
        (True, None),
        (None, None),
        ("x", None),
        ("nan", None),
        ("1e999", None),
        ([], None),
    ],
)
def test_numbers_may_be_text(value, number):
    assert states.as_int(value) == number


def test_an_async_job_is_finished_even_when_everything_failed():
    finished = {"state": "FINISHED", "failed_files": 0, "result": [{"resource": {"id": "a"}}]}
    error = {"status": 404, "code": 5002}
    assert states.async_job_succeeded(finished)
    assert not states.async_job_succeeded({**finished, "failed_files": "1"})
    assert not states.async_job_succeeded({**finished, "result": [{"error": error}]})
    assert not states.async_job_succeeded({**finished, "state": "RUNNING"})
    assert states.async_job_errors({"result": [{"resource": {}}, {"error": error}, None]}) == [error]
    assert states.async_job_succeeded({"state": "finished"})


def parent(status="COMPLETED", **counters):
    return {"status": status, "batch": True, "execution_status": {"message": "m", **counters}}


def children(**counts):
    return [{"id": f"{status}{i}", "status": status} for status, count in counts.items() for i in range(count)]


@pytest.mark.parametrize(
    ("batch", "listed", "expected"),
    [
        # Both ways a platform may show a batch with failed children.
        (parent("COMPLETED", completed=2, failed=1), children(COMPLETED=2, FAILED=1), "failed"),
        (parent("FAILED", completed=2, failed=1), children(COMPLETED=2, FAILED=1), "failed"),
        # A parent that says FAILED although every child completed, and the other way round.
        (parent("FAILED", completed=2), children(COMPLETED=2), "succeeded"),
        (parent("COMPLETED", completed=1, aborted=1), children(COMPLETED=1, ABORTED=1), "failed"),
        (parent("COMPLETED", completed="2", failed="0"), children(COMPLETED=2), "succeeded"),
        # Not over yet.
        (parent("RUNNING", running=1, completed=1), children(COMPLETED=2), "waiting"),
        (parent("CREATING"), [], "waiting"),
        (parent("SOMETHING NEW", completed=2), children(COMPLETED=2), "waiting"),
        (parent("COMPLETED", queued=1, completed=1), children(COMPLETED=1), "waiting"),
        (parent("COMPLETED", running="1", completed="1"), children(COMPLETED=1), "waiting"),
        (parent("COMPLETED", completed=1), children(COMPLETED=1, RUNNING=1), "waiting"),
        (parent("COMPLETED", completed=1), children(COMPLETED=1, NEWSTATE=1), "waiting"),
        # Lists that lag behind the counters, counters that are missing.
        (parent("COMPLETED", completed=1, failed=1), children(COMPLETED=1), "failed"),
        (parent("COMPLETED", completed=3), children(COMPLETED=2), "succeeded"),
        (parent("COMPLETED"), children(COMPLETED=2), "succeeded"),
        (parent("ABORTED"), [], "failed"),
        (parent("COMPLETED"), [], "failed"),
        ({"status": None}, [], "waiting"),
    ],
)
def test_a_batch_is_judged_by_children_and_counters(batch, listed, expected):
    assert states.judge_batch(batch, listed).state == expected


def test_the_failed_children_are_named():
    verdict = states.judge_batch(parent(completed=1, failed=1), children(COMPLETED=1, FAILED=1))
    assert [child["id"] for child in verdict.failed] == ["FAILED0"]
    assert "1 of 2" in verdict.reason


def test_counters():
    counts = states.batch_counts(parent(queued=1, running="2", completed=3, failed=None, aborted=-1))
    assert (counts.total, counts.unfinished) == (6, 3)
    assert states.batch_counts({"execution_status": {"steps_completed": 1}}) is None
    assert states.batch_settled(parent("ABORTED", aborted=3))
    assert not states.batch_settled(parent("ABORTING", aborted=3))


@given(ANYTHING, ANYTHING, st.lists(st.dictionaries(st.sampled_from(["status", "id"]), ANYTHING)))
def test_nothing_makes_it_fail(status, execution_status, listed):
    batch = {"status": status, "execution_status": execution_status, "result": status, "state": status}
    assert states.judge_batch(batch, listed).state in ("waiting", "succeeded", "failed")
    states.async_job_succeeded(batch)
