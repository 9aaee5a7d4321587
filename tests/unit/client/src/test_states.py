"""Words of a workspace, known and unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.src import states
from airflow_src_provider.client.src.states import Status, StatusClass


@pytest.mark.parametrize(
    ("status", "status_class"),
    [
        ("creating", "transitional"),
        ("running", "stable"),
        ("pausing", "transitional"),
        ("paused", "stable"),
        ("resuming", "transitional"),
        ("rebooting", "transitional"),
        ("updating", "transitional"),
        ("available", "stable"),
        ("in-use", "stable"),
        ("full", "stable"),
        ("deleting", "transitional"),
        ("deleted", "final"),
        ("failed", "failed"),
        ("unhealthy", "failed"),
        ("unaccounted", "failed"),
        ("unknown", "indeterminate"),
        ("hibernating", "indeterminate"),
    ],
)
def test_classes(status, status_class):
    assert states.class_of(states.status_of({"status": status})) == status_class


def test_every_known_status_has_a_place_in_the_table():
    indeterminate = {status for status in Status if states.class_of(status) is StatusClass.INDETERMINATE}
    assert indeterminate == {Status.UNKNOWN, Status.UNKNOWN_TO_CLIENT}


def test_an_unknown_status_keeps_its_text():
    found = {"status": "hibernating"}
    assert states.status_of(found) is Status.UNKNOWN_TO_CLIENT
    assert states.raw_status(found) == "hibernating"


@given(
    st.dictionaries(
        st.sampled_from(["status", "meta", "resource_meta"]),
        st.none() | st.integers() | st.text() | st.lists(st.text()),
    )
)
def test_odd_workspaces(found):
    states.status_of(found)
    assert states.kind_of(found) is None


def test_the_newest_action_is_found_by_its_time_and_not_by_its_place():
    old = {"id": 1, "type": "resume", "time_created": "2026-10-06T21:00:01.000000Z"}
    new = {"id": 2, "type": "resume", "time_created": "2026-10-07T08:15:02.410000+00:00"}
    pause = {"id": 3, "type": "pause", "time_created": "2026-10-08T08:15:02Z"}
    broken = {"id": 4, "type": "resume", "time_created": None}
    found = {"workspace_actions": [new, old, pause, broken, "odd", None]}
    assert states.newest_action(found, "resume") == new
    assert states.newest_action(found) == pause
    assert [entry["id"] for entry in states.actions_of(found, "resume")] == [4, 1, 2]


@pytest.mark.parametrize("history", [None, {}, "x", [], [5]])
def test_no_history(history):
    assert states.newest_action({"workspace_actions": history}) is None


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"error": "no GPU"}, "no GPU"),
        ({"error": ["a"]}, "['a']"),
        ({"error": ""}, None),
        ({}, None),
        (None, None),
        ("x", None),
    ],
)
def test_the_error_of_an_action(result, text):
    assert states.action_error({"result": result, "reason": "API"}) == text


def test_no_action_has_no_error():
    assert states.action_error(None) is None


@pytest.mark.parametrize(
    ("workspace", "action", "expected"),
    [
        ({"actions": ["pause"], "allowed_actions": ["pause"]}, "pause", True),
        ({"actions": ["pause"], "allowed_actions": []}, "pause", False),
        ({"actions": [], "allowed_actions": ["pause"]}, "pause", False),
        ({"actions": ["pause"]}, "pause", True),
        ({"allowed_actions": ["resume"]}, "pause", False),
        ({"actions": None, "allowed_actions": {}}, "pause", True),
        ({"deletable": False, "actions": ["pause"]}, "delete", False),
        ({"deletable": True, "actions": []}, "delete", True),
        ({}, "delete", True),
        ({"editable": False}, "update", False),
    ],
)
def test_possible(workspace, action, expected):
    assert states.possible(workspace, action) is expected


@pytest.mark.parametrize("value", [None, 5, "", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_times_that_cannot_be_read(value):
    assert states.parse_time(value) is None
