"""Somebody else works on the same machines: nothing of what a task was asked for is lost, nothing of theirs is hit."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.exceptions import RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators.src import (
    SrcDeleteWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcRebootWorkspaceOperator,
    SrcResumeWorkspaceOperator,
    SrcUpdateFirewallOperator,
    SrcUpdateStoragesOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import SrcWorld

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])
RULES = ["in tcp 8080 8080 0.0.0.0/0", "in tcp 9090 9090 0.0.0.0/0"]


def resume(workspace: Any = "gpu-box", **options: Any) -> SrcResumeWorkspaceOperator:
    return SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, **options)


def pause(workspace: Any = "gpu-box", **options: Any) -> SrcPauseWorkspaceOperator:
    return SrcPauseWorkspaceOperator(task_id="pause", workspace=workspace, **options)


def firewall(rule: str, **options: Any) -> SrcUpdateFirewallOperator:
    return SrcUpdateFirewallOperator(task_id="firewall", workspace="login-box", add=rule, **options)


def taken_back(src: SrcWorld, seconds: float) -> None:
    src.world.later(seconds, lambda: src.world.platform(src.world.by_name("gpu-box"), "pause", "API"))


@BOTH_MODES
@pytest.mark.parametrize("history", [True, False])
def test_two_tasks_open_a_port_at_once_and_both_are_open(src: SrcWorld, deferrable: bool, history: bool) -> None:
    src.sandbox.configure(history_as_object=not history)
    src.run(firewall(RULES[0], wait_for_completion=False), make_context(task_id="one"))
    src.sandbox.advance(6)
    assert src.run(firewall(RULES[1], deferrable=deferrable), make_context(task_id="two"))["changed"]
    assert [rule for rule in src.world.by_name("login-box").rules if "90 " in rule or "80 " in rule][-2:] == [
        f"{rule} mutable" for rule in RULES
    ]
    assert src.effects("login-box") == {"update_nsgs": 2}


@BOTH_MODES
def test_two_tasks_attach_a_volume_at_once_and_both_are_attached(src: SrcWorld, deferrable: bool) -> None:
    volumes = [src.world.add_workspaces(1, name, kind="Storage", status="available")[0].id for name in ("va", "vb")]
    for volume, waits in zip(volumes, (False, True), strict=True):
        task = SrcUpdateStoragesOperator(
            task_id="attach", workspace="gpu-box", attach=volume, wait_for_completion=waits, deferrable=deferrable
        )
        src.run(task, make_context(task_id=volume))
        src.sandbox.advance(6)
    assert set(volumes) <= set(src.world.by_name("gpu-box").storages)


@BOTH_MODES
def test_a_rule_that_another_change_has_replaced_is_sent_again(src: SrcWorld, deferrable: bool) -> None:
    box = src.world.by_name("login-box")
    before = list(box.rules)
    src.world.later(40, lambda: setattr(box, "rules", before))
    task = firewall(RULES[0], deferrable=deferrable, poll_interval=60)
    assert src.run(task)["changed"]
    assert box.rules == [*before, f"{RULES[0]} mutable"]
    assert src.effects("login-box") == {"update_nsgs": 2}


def test_a_rule_that_never_comes_fails_in_the_end(src: SrcWorld) -> None:
    box = src.world.by_name("login-box")
    box.overrides = {"network_security_group_rules": list(box.rules)}
    with pytest.raises(RemoteWorkError, match="login-box: update_nsgs is over, but what it asked for is not there"):
        src.run(firewall(RULES[0]))
    assert src.effects("login-box") == {"update_nsgs": 3}


def test_a_change_that_is_over_costs_no_call_more(src: SrcWorld) -> None:
    src.run(firewall(RULES[0], poll_interval=35))
    assert sum(src.calls().values()) == 3


@pytest.mark.parametrize("history", [True, False])
def test_a_reboot_comes_after_somebody_elses_resume(src: SrcWorld, history: bool) -> None:
    src.sandbox.configure(history_as_object=not history)
    src.run(resume(wait_for_completion=False), make_context(task_id="resume"))
    src.sandbox.advance(10)
    reboot = SrcRebootWorkspaceOperator(task_id="reboot", workspace="gpu-box")
    assert src.run(reboot)["status"] == "running"
    assert src.effects("gpu-box") == {"resume": 1, "reboot": 1}


@BOTH_MODES
def test_a_joined_resume_that_its_asker_takes_back_is_asked_for_again(src: SrcWorld, deferrable: bool) -> None:
    """The asker was killed, and its machine is paused as soon as it has come up."""
    src.run(resume(wait_for_completion=False), make_context(run_id="killed"))
    taken_back(src, 85)
    src.sandbox.advance(10)
    result = src.run(resume(deferrable=deferrable, poll_interval=70), make_context(run_id="new"))
    assert (result["status"], result["changed"], src.status("gpu-box")) == ("running", True, "running")
    assert src.effects("gpu-box") == {"resume": 2, "pause:API": 1}


@BOTH_MODES
def test_a_joined_resume_that_is_paused_before_the_next_look_is_asked_for_again(
    src: SrcWorld, deferrable: bool
) -> None:
    src.run(resume(wait_for_completion=False), make_context(run_id="killed"))
    taken_back(src, 80)
    src.sandbox.advance(10)
    result = src.run(resume(deferrable=deferrable, poll_interval=150), make_context(run_id="new"))
    assert (result["status"], result["changed"], src.status("gpu-box")) == ("running", True, "running")


@BOTH_MODES
def test_a_pause_that_somebody_else_asked_for_and_that_failed_is_asked_for_again(
    src: SrcWorld, deferrable: bool
) -> None:
    src.world.plan("pause", outcome="failed", seconds=40.0)
    src.run(pause("login-box", wait_for_completion=False), make_context(run_id="other"))
    src.sandbox.advance(10)
    result = src.run(pause("login-box", deferrable=deferrable))
    assert (result["status"], result["changed"]) == ("paused", True)
    assert src.effects("login-box") == {"pause": 2}


@BOTH_MODES
def test_what_does_not_fit_the_filter_any_more_is_not_deleted(src: SrcWorld, deferrable: bool) -> None:
    ids = [one.id for one in src.world.add_workspaces(2, "z-", status="paused")]
    names = [src.world.workspaces[id_].name for id_ in ids]
    src.world.later(30, lambda: src.world.platform(src.world.workspaces[ids[1]], "resume", "API"))
    filter_ = {"status": "paused", "name": "z-*"}
    task = SrcDeleteWorkspaceOperator(
        task_id="delete", workspace=filter_, at_once=1, deferrable=deferrable, poll_interval=150
    )
    result = src.run(task)
    assert (result["ids"], result["changed"]) == ([ids[0]], [ids[0]])
    assert [src.status(name) for name in names] == ["deleted", "running"]


def test_a_status_that_nobody_knows_is_waited_out_before_a_pause(src: SrcWorld) -> None:
    box = src.world.by_name("login-box")
    box.overrides = {"status": "migrating", "actions": [], "allowed_actions": []}
    src.world.later(600, box.overrides.clear)
    assert src.run(pause("login-box"))["status"] == "paused"
    assert src.effects("login-box") == {"pause": 1}


def test_a_status_that_nobody_knows_is_no_hindrance_where_the_action_is_offered(src: SrcWorld) -> None:
    src.world.by_name("login-box").overrides = {"status": "dozing"}
    src.world.later(90, src.world.by_name("login-box").overrides.clear)
    src.run(pause("login-box", wait_for_completion=False))
    assert src.effects("login-box") == {"pause": 1}


def test_a_status_that_is_older_than_the_history_is_not_believed(src: SrcWorld) -> None:
    src.sandbox.configure(stale_seconds=60.0, resume_seconds=20.0)
    src.run(resume(wait_for_completion=False), make_context(task_id="resume"))
    src.sandbox.advance(30)
    assert src.run(pause())["changed"]
    assert src.status("gpu-box") == "paused"


@pytest.mark.parametrize("wait", [True, False])
def test_a_teardown_right_after_its_setup_is_not_deceived_by_old_reads(src: SrcWorld, wait: bool) -> None:
    src.sandbox.configure(stale_seconds=60.0, stale_history=True)
    run = SimpleNamespace(start_date=datetime.fromtimestamp(src.now(), UTC))
    src.run(resume(wait_for_completion=wait), make_context(task_id="resume", dag_run=run))
    src.sandbox.advance(3)
    last = pause()
    last.is_teardown = True
    began = src.now()
    src.run(last, make_context(task_id="pause", dag_run=run))
    src.sandbox.advance(600)
    assert src.status("gpu-box") == "paused"
    assert src.effects("gpu-box") == {"resume": 1, "pause": 1}
    assert wait is False or src.now() - began < 700


@pytest.mark.parametrize("teardown", [True, False])
def test_what_was_paused_by_somebody_costs_neither_time_nor_calls(src: SrcWorld, teardown: bool) -> None:
    run = SimpleNamespace(start_date=datetime.fromtimestamp(src.now(), UTC))
    src.sandbox.advance(10)
    src.run(pause("login-box"), make_context(task_id="somebody"))
    calls, began = sum(src.calls().values()), src.now()
    last = pause("login-box")
    last.is_teardown = teardown
    assert not src.run(last, make_context(dag_run=run))["changed"]
    assert (sum(src.calls().values()) - calls, src.now() - began) == (1, 0)


@pytest.mark.parametrize("timeout", [3600.0, 60.0])
def test_a_resume_that_is_refused_because_somebody_else_was_faster_is_theirs(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    task = resume(timeout=timeout)
    send = task.send

    def late(id_: str) -> Any:
        src.world.platform(src.world.by_name("gpu-box"), "resume", "API")
        return send(id_)

    monkeypatch.setattr(task, "send", late)
    if timeout > 100:
        assert src.run(task)["changed"] is False
    else:
        with pytest.raises(WaitTimeoutError):
            src.run(task)
    src.sandbox.advance(300)
    assert (src.status("gpu-box"), src.effects("gpu-box")) == ("running", {"resume:API": 1})


@pytest.mark.parametrize("context", [{"try_number": 2}, {"try_number": 2, "max_tries": 3}])
def test_what_somebody_has_resumed_after_this_task_is_theirs(src: SrcWorld, context: dict[str, int]) -> None:
    store, box = FakeStore(), src.world.by_name("gpu-box")
    assert src.run(resume(), make_context(store))["changed"]
    src.world.platform(box, "pause", "API")
    src.sandbox.advance(86400)
    src.world.platform(box, "resume", "API")
    src.sandbox.advance(300)
    # A retry, and a clear.
    assert src.run(resume(), make_context(store, **context))["changed"] is False


def test_what_somebody_has_resumed_after_there_was_no_room_is_theirs(src: SrcWorld) -> None:
    store = FakeStore()
    src.world.plan("resume", outcome="failed")
    with pytest.raises(RemoteWorkError):
        src.run(resume(), make_context(store))
    src.world.plans.clear()
    src.sandbox.advance(60)
    src.world.platform(src.world.by_name("gpu-box"), "resume", "API")
    src.sandbox.advance(300)
    assert src.run(resume(), make_context(store, try_number=2))["changed"] is False


def test_a_clear_goes_on_with_the_resume_and_it_is_its_own(src: SrcWorld) -> None:
    store = FakeStore()
    with pytest.raises(TaskDeferred):
        resume(deferrable=True).execute(make_context(store))
    src.sandbox.advance(10)
    with pytest.raises(TaskDeferred) as deferred:
        resume(deferrable=True).execute(make_context(store, try_number=2, max_tries=3))
    # Nobody else pauses it, should this try be killed as well.
    assert deferred.value.trigger.serialize()[1]["wait"]["undo_ids"] == [src.id_of("gpu-box")]
    assert src.effects("gpu-box") == {"resume": 1}
