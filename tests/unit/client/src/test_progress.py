"""Every row of the waiting rules: success, failure, keep waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.src.progress import action_ids, in_transition, judge
from airflow_src_provider.exceptions import InvalidInputError

T0 = datetime(2026, 10, 7, 8, 15, tzinfo=UTC)
EARLY, LATE = 20.0, 61.0
TARGETS = ("create", "resume", "pause", "delete", "reboot", "update_nsgs", "update_storages")


def at(seconds):
    return (T0 + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def action(kind, status, seconds=2.0, entry_id="new", error=None, reason="API"):
    result = {"error": error} if error else {}
    return {
        "id": entry_id,
        "type": kind,
        "status": status,
        "time_created": at(seconds),
        "reason": reason,
        "result": result,
    }


def workspace(status, *actions, kind="Compute"):
    return {"status": status, "workspace_actions": list(actions), "meta": {"application_type": kind} if kind else {}}


def verdict(found, target, after=EARLY, **more):
    return judge(found, target, t0=T0.timestamp(), now=T0.timestamp() + after, **more)


OLD_FAILURE = action("resume", "failed", -3600, "old", "Timeout waiting for VM to resume.")
NO_GPU = action("resume", "failed", 600, "new", "Timeout waiting for VM to resume.")
SEEN = {"seen_transition": True}

ROWS = [
    # create
    ("create", workspace("running"), EARLY, {}, "done"),
    ("create", workspace("available", kind="Storage"), EARLY, {}, "done"),
    ("create", workspace("available", kind="IP"), EARLY, {}, "done"),
    ("create", workspace("available", kind="Network"), EARLY, {}, "done"),
    ("create", workspace("in-use", kind="Storage"), EARLY, {}, "done"),
    ("create", workspace("running", kind=None), EARLY, {}, "done"),
    ("create", workspace("available", kind=None), EARLY, {}, "done"),
    ("create", workspace("available", kind=None), EARLY, {"application_type": "Compute"}, "waiting"),
    ("create", workspace("failed"), EARLY, {}, "failed"),
    ("create", workspace("unhealthy"), EARLY, {}, "failed"),
    ("create", workspace("unaccounted"), EARLY, {}, "failed"),
    ("create", workspace("deleting"), EARLY, {}, "failed"),
    ("create", workspace("deleted"), EARLY, {}, "failed"),
    ("create", None, EARLY, {}, "waiting"),
    ("create", None, LATE, {}, "waiting"),
    ("create", None, LATE, {"skew": 0.0}, "failed"),
    ("create", None, 100.0, {}, "failed"),
    ("create", workspace("paused", action("pause", "success", reason="DEPLETED_WALLET")), LATE, {}, "failed"),
    ("create", workspace("creating"), LATE, {}, "waiting"),
    ("create", workspace("updating"), LATE, {}, "waiting"),
    ("create", workspace("unknown"), LATE, {}, "waiting"),
    ("create", workspace("some new word"), LATE, SEEN, "waiting"),
    # resume
    ("resume", workspace("running"), EARLY, {}, "done"),
    ("resume", workspace("running", NO_GPU), LATE, {}, "done"),
    ("resume", workspace("paused", NO_GPU), LATE, SEEN, "failed"),
    ("resume", workspace("paused", NO_GPU), EARLY, {}, "failed"),
    ("resume", workspace("resuming", NO_GPU), LATE, SEEN, "failed"),
    ("resume", workspace("paused", action("resume", "cancelled")), EARLY, {}, "failed"),
    ("resume", workspace("paused"), LATE, SEEN, "failed"),
    ("resume", workspace("failed"), EARLY, {}, "failed"),
    ("resume", workspace("unhealthy"), EARLY, {}, "failed"),
    ("resume", workspace("deleting"), EARLY, {}, "failed"),
    ("resume", workspace("deleted"), EARLY, {}, "failed"),
    ("resume", None, EARLY, {}, "failed"),
    ("resume", workspace("resuming"), LATE, {}, "waiting"),
    ("resume", workspace("paused"), EARLY, {}, "waiting"),
    ("resume", workspace("paused"), EARLY, SEEN, "waiting"),
    ("resume", workspace("paused"), LATE, {}, "waiting"),
    ("resume", workspace("paused", action("resume", "initialized")), LATE, {}, "waiting"),
    ("resume", workspace("paused", OLD_FAILURE), EARLY, {}, "waiting"),
    ("resume", workspace("paused", action("pause", "failed")), EARLY, {}, "waiting"),
    ("resume", workspace("paused", NO_GPU, action("resume", "pending", 900, "newer")), LATE, {}, "waiting"),
    # pause
    ("pause", workspace("paused"), EARLY, {}, "done"),
    ("pause", workspace("running", action("pause", "failed")), EARLY, {}, "failed"),
    ("pause", workspace("running", action("pause", "cancelled")), EARLY, {}, "failed"),
    ("pause", workspace("running"), EARLY, SEEN, "failed"),
    ("pause", workspace("deleted"), EARLY, {}, "failed"),
    ("pause", None, EARLY, {}, "failed"),
    ("pause", workspace("pausing"), LATE, {}, "waiting"),
    ("pause", workspace("running"), EARLY, {}, "waiting"),
    ("pause", workspace("unknown"), LATE, SEEN, "waiting"),
    # delete
    ("delete", workspace("deleted"), EARLY, {}, "done"),
    ("delete", None, EARLY, {}, "done"),
    ("delete", workspace("running", action("delete", "failed")), EARLY, {}, "failed"),
    ("delete", workspace("paused", action("delete", "cancelled")), EARLY, {}, "failed"),
    ("delete", workspace("deleting"), LATE, {}, "waiting"),
    ("delete", workspace("failed"), LATE, {}, "waiting"),
    # reboot: a pause and a resume
    ("reboot", workspace("running"), EARLY, SEEN, "done"),
    ("reboot", workspace("running", action("reboot", "success")), EARLY, {}, "done"),
    ("reboot", workspace("running"), LATE, {}, "done"),
    ("reboot", workspace("running"), EARLY, {}, "waiting"),
    ("reboot", workspace("running", action("reboot", "pending")), LATE, SEEN, "waiting"),
    ("reboot", workspace("rebooting"), LATE, {}, "waiting"),
    ("reboot", workspace("paused", action("reboot", "pending")), LATE, SEEN, "waiting"),
    ("reboot", workspace("paused"), LATE, SEEN, "failed"),
    ("reboot", workspace("paused", action("reboot", "failed")), EARLY, SEEN, "failed"),
    # firewall and storages: ends where it was
    ("update_nsgs", workspace("running", action("update_nsgs", "success")), EARLY, {}, "done"),
    ("update_nsgs", workspace("paused"), EARLY, SEEN, "done"),
    ("update_storages", workspace("paused"), LATE, {}, "done"),
    ("update_storages", workspace("paused"), EARLY, {}, "waiting"),
    ("update_storages", workspace("updating"), LATE, {}, "waiting"),
    ("update_storages", workspace("paused", action("update_storages", "failed")), EARLY, {}, "failed"),
    ("update_nsgs", workspace("unhealthy"), EARLY, {}, "failed"),
]


@pytest.mark.parametrize(("target", "found", "after", "more", "state"), ROWS)
def test_every_row(target, found, after, more, state):
    assert verdict(found, target, after, **more).state == state


def test_a_failure_is_told_in_the_services_own_words():
    assert "Timeout waiting for VM to resume." in verdict(workspace("paused", NO_GPU), "resume").reason
    depleted = workspace("paused", action("pause", "success", reason="DEPLETED_WALLET"))
    assert "DEPLETED_WALLET" in verdict(depleted, "create").reason


def test_old_and_new_entries_are_told_apart_by_id_when_it_is_known():
    recent = action("resume", "failed", -5, "recent")
    found = workspace("paused", recent)
    before = action_ids(found)
    assert before == {"recent"}
    # Within the clock skew its time does not tell, its id does.
    assert verdict(found, "resume", baseline_action_ids=before).state == "waiting"
    assert verdict(found, "resume").state == "failed"
    assert verdict(workspace("paused", recent, NO_GPU), "resume", baseline_action_ids=before).state == "failed"


def test_the_newest_of_the_baseline_is_enough():
    found = workspace("paused", OLD_FAILURE, action("resume", "failed", -60, "newest"))
    assert verdict(found, "resume", baseline_action_ids=["newest"]).state == "waiting"


@pytest.mark.parametrize(("skew", "state"), [(0.0, "waiting"), (30.0, "failed")])
def test_the_clock_of_the_server_may_be_behind(skew, state):
    found = workspace("paused", action("resume", "failed", -10))
    assert verdict(found, "resume", skew=skew).state == state


def test_what_counts_as_being_on_the_way():
    assert in_transition(workspace("resuming"), "resume")
    assert in_transition(workspace("pausing"), "reboot")
    assert not in_transition(workspace("pausing"), "resume")
    assert not in_transition(None, "resume")


def test_an_unknown_target():
    with pytest.raises(InvalidInputError, match="resume"):
        verdict(workspace("running"), "start")


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["failed", "resume", "running", at(1)]),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "status", "time_created", "result", "error", "reason"]), x, max_size=5
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(TARGETS),
    st.dictionaries(st.sampled_from(["status", "workspace_actions", "meta", "resource_meta", "id"]), ANYTHING),
    st.booleans(),
    st.lists(st.text(max_size=3), max_size=2),
)
def test_no_workspace_makes_it_fail(target, found, seen, baseline):
    result = verdict(found, target, seen_transition=seen, baseline_action_ids=baseline)
    assert result.state in ("done", "failed", "waiting")
    assert result.reason
