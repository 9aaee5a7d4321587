"""Resume, pause, reboot and delete: by state, once, politely, and with the service's own words when it fails."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators.src import (
    SrcDeleteWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcRebootWorkspaceOperator,
    SrcResumeWorkspaceOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import GPU_BOX, NO_GPU, SrcWorld

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])


def resume(workspace: Any = "gpu-box", **options: Any) -> SrcResumeWorkspaceOperator:
    return SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, **options)


def pause(workspace: Any = "gpu-box", **options: Any) -> SrcPauseWorkspaceOperator:
    return SrcPauseWorkspaceOperator(task_id="pause", workspace=workspace, **options)


@BOTH_MODES
@pytest.mark.parametrize("workspace", ["gpu-box", GPU_BOX, GPU_BOX.upper()])
def test_a_paused_workspace_is_resumed_and_paused_again(src: SrcWorld, deferrable: bool, workspace: str) -> None:
    result = src.run(resume(workspace, deferrable=deferrable))
    assert {key: result[key] for key in ("id", "name", "status", "user", "changed")} == {
        "id": GPU_BOX, "name": "gpu-box", "status": "running", "user": "ubuntu", "changed": True,
    }  # fmt: skip
    assert result["ip"].startswith("198.18.")
    assert result["fqdn"].endswith(".src.surf-hosted.nl")
    assert result["url"].startswith("https://")
    # One to find it, one to act, two or three looks in 75 seconds.
    assert result["api_calls"] <= 2 + 4 * (not deferrable)
    assert src.deferrals == (1 if deferrable else 0)

    result = src.run(pause(workspace, deferrable=deferrable))
    assert (result["status"], result["changed"]) == ("paused", True)
    assert src.effects("gpu-box") == {"resume": 1, "pause": 1}


@BOTH_MODES
def test_what_is_there_already_is_no_effect_and_no_failure(src: SrcWorld, deferrable: bool) -> None:
    for _ in range(2):
        result = src.run(pause(deferrable=deferrable))
        assert (result["status"], result["changed"], result["api_calls"] > 0) == ("paused", False, True)
        src.run(resume("login-box", deferrable=deferrable))
    assert src.effects("gpu-box") == {}
    assert not any(call.startswith("POST") for call in src.calls())
    assert src.deferrals == 0


@BOTH_MODES
def test_a_resume_without_a_free_gpu_fails_with_the_services_words(src: SrcWorld, deferrable: bool) -> None:
    src.sandbox.configure(stale_seconds=60.0)
    started = src.now()
    with pytest.raises(RemoteWorkError, match=r"Timeout waiting for VM to resume\. .*no GPU of this size was free"):
        src.run(resume(NO_GPU, deferrable=deferrable))
    assert 600 <= src.now() - started < 700
    assert src.effects(NO_GPU) == {"resume": 1}


@BOTH_MODES
def test_an_old_failure_is_not_taken_for_a_new_one(src: SrcWorld, deferrable: bool) -> None:
    src.world.plan("resume", outcome="failed", seconds=1.0)
    with pytest.raises(RemoteWorkError):
        src.run(resume(deferrable=deferrable))
    src.sandbox.configure(stale_seconds=50.0, stale_history=True)
    assert src.run(resume(deferrable=deferrable))["status"] == "running"


def test_stale_reads_of_a_minute_are_waited_out(src: SrcWorld) -> None:
    src.sandbox.configure(stale_seconds=60.0, stale_history=True)
    assert src.run(resume(poll_interval=5))["status"] == "running"
    assert src.run(pause(poll_interval=5))["status"] == "paused"


def test_a_pause_right_after_an_unfinished_resume_comes_after_it(src: SrcWorld) -> None:
    src.sandbox.configure(stale_seconds=60.0)
    src.run(resume(wait_for_completion=False))
    assert src.status("gpu-box") == "resuming"
    result = src.run(pause())
    assert (result["status"], result["changed"]) == ("paused", True)
    assert src.effects("gpu-box") == {"resume": 1, "pause": 1}


@BOTH_MODES
def test_a_pause_of_what_cannot_resume_has_nothing_left_to_do(src: SrcWorld, deferrable: bool) -> None:
    src.run(resume(NO_GPU, wait_for_completion=False))
    result = src.run(pause(NO_GPU, deferrable=deferrable))
    assert (result["status"], result["changed"]) == ("paused", False)


def test_a_resume_that_is_under_way_is_joined(src: SrcWorld) -> None:
    src.run(resume(wait_for_completion=False))
    src.sandbox.advance(20)
    result = src.run(resume())
    assert (result["status"], result["changed"]) == ("running", False)
    assert src.effects("gpu-box") == {"resume": 1}


@pytest.mark.parametrize("fault", ["lost", "never sent", "html"])
def test_an_unclear_answer_is_resolved_by_looking(src: SrcWorld, fault: str) -> None:
    when = "before" if fault == "never sent" else "after"
    action = "html" if fault == "html" else "close"
    src.sandbox.fault(service="src", method="POST", path="actions/", action=action, when=when, status=502)
    assert src.run(resume())["status"] == "running"
    assert src.effects("gpu-box") == {"resume": 1}
    assert src.calls()["POST workspaces/<id>/actions/resume/"] == (2 if fault == "never sent" else 1)


def test_a_worker_that_died_after_sending_does_not_send_again(src: SrcWorld) -> None:
    src.sandbox.configure(stale_seconds=60.0, stale_history=True)
    store = FakeStore()
    task = resume()
    task.check()
    carry = task.submit(make_context(store))
    task._next_wave(make_context(store), carry)
    assert src.effects("gpu-box") == {"resume": 1}

    src.sandbox.advance(10)
    result = src.run(resume(), make_context(store, try_number=2))
    # The run has started it, so a group of tasks will not take it for a machine that ran before.
    assert (result["status"], result["changed"]) == ("running", True)
    assert src.effects("gpu-box") == {"resume": 1}
    assert src.calls()["POST workspaces/<id>/actions/resume/"] == 1


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(st.sampled_from(["before", "after", "503"]), max_size=3), lag=st.sampled_from([0.0, 20.0, 55.0]))
def test_whatever_happens_to_the_answers_it_is_resumed_once(src: SrcWorld, faults: list[str], lag: float) -> None:
    src.sandbox.reset()
    src.sandbox.clear_faults()
    src.sandbox.configure(stale_seconds=lag, stale_history=True)
    for fault in faults:
        rule: dict[str, Any] = {"service": "src", "method": "POST", "path": "resume"}
        if fault == "503":
            rule |= {"action": "status", "status": 503, "json": {"code": 503, "message": ["Queue is full"]}}
        else:
            rule |= {"action": "close", "when": fault}
        src.sandbox.fault(**rule)
    store = FakeStore()
    for number in range(1, 4):
        task = resume()
        task.client.session._sleep = src.sleep
        try:
            result = src.run(task, make_context(store, try_number=number))
            break
        except RemoteWorkError:
            src.sandbox.advance(300)
    assert (result["status"], result["changed"]) == ("running", True)
    assert src.effects("gpu-box") == {"resume": 1}


def test_a_retry_after_a_failed_resume_tries_again(src: SrcWorld) -> None:
    store = FakeStore()
    src.world.plan("resume", outcome="failed", seconds=30.0)
    with pytest.raises(RemoteWorkError):
        src.run(resume(), make_context(store))
    assert src.run(resume(), make_context(store, try_number=2))["changed"]
    assert src.effects("gpu-box") == {"resume": 2}


def test_a_reboot_happens_once_per_run_and_again_after_a_clear(src: SrcWorld) -> None:
    def reboot() -> SrcRebootWorkspaceOperator:
        return SrcRebootWorkspaceOperator(task_id="reboot", workspace="login-box")

    store = FakeStore()
    for number in (1, 2):
        assert src.run(reboot(), make_context(store, try_number=number))["changed"]
    assert src.effects("login-box") == {"reboot": 1}
    assert src.run(reboot(), make_context(store, try_number=2, max_tries=4))["changed"]
    assert src.effects("login-box") == {"reboot": 2}


def test_a_reboot_with_an_end_that_nobody_understands_is_waited_for_and_not_asked_for_again(src: SrcWorld) -> None:
    src.world.plan("reboot", outcome="success", action_status="hibernating")
    store = FakeStore()
    for number in (1, 2):
        with pytest.raises(WaitTimeoutError):
            src.run(
                SrcRebootWorkspaceOperator(task_id="reboot", workspace="login-box", timeout=600),
                make_context(store, try_number=number),
            )
    assert src.effects("login-box") == {"reboot": 1}


@BOTH_MODES
@pytest.mark.parametrize("answer", [200, 204])
def test_a_deleted_workspace_stays_deleted(src: SrcWorld, deferrable: bool, answer: int) -> None:
    src.sandbox.configure(delete_status=answer)
    id_ = src.id_of("Training box 2")
    delete = SrcDeleteWorkspaceOperator(task_id="delete", workspace_id=id_, deferrable=deferrable)
    assert src.run(delete)["status"] == "deleted"
    again = SrcDeleteWorkspaceOperator(task_id="delete", workspace_id=id_, deferrable=deferrable)
    assert not src.run(again)["changed"]
    assert src.effects("Training box 2") == {"delete": 1}


def test_somebody_without_the_right_is_told_so_before_anything_is_sent(src: SrcWorld) -> None:
    task = pause("login-box", src_conn_id="src_other")
    with pytest.raises(RemoteWorkError, match="login-box: pause is not possible: status is running"):
        src.run(task)
    assert not any(call.startswith("POST") for call in src.calls())


def test_a_full_queue_is_waited_for_and_nothing_happens_twice(src: SrcWorld) -> None:
    src.world.add_workspaces(50)
    task = pause({"name": "bulk-*"}, at_once=50)
    task.client.session._sleep = src.sleep
    result = src.run(task)
    assert (result["count"], len(result["changed"]), result["failed"]) == (50, 50, {})
    assert {src.status(f"bulk-{number:04}") for number in range(1, 51)} == {"paused"}
    assert {tuple(src.effects(f"bulk-{number:04}").items()) for number in range(1, 51)} == {(("pause", 1),)}
    assert src.sandbox.counters()["statuses"].get("503", 0) > 0


def test_a_worker_does_not_wait_for_a_queue_that_stays_full(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_src_provider.triggers.pause.time", SimpleNamespace(time=src.now))
    src.world.add_workspaces(6)
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
    rule = {"service": "src", "method": "POST", "action": "status", "status": 503, "json": answer}
    src.sandbox.fault(**rule, skip=3, times=10)
    task = pause({"name": "bulk-*"}, at_once=6, deferrable=True)
    task.client.session._sleep = src.sleep
    result = src.run(task)
    assert src.deferrals > 1
    assert (result["count"], len(result["changed"])) == (6, 6)
    assert {tuple(src.effects(f"bulk-{number:04}").items()) for number in range(1, 7)} == {(("pause", 1),)}


@BOTH_MODES
def test_many_are_paused_four_at_a_time_one_write_per_second(src: SrcWorld, deferrable: bool) -> None:
    src.world.add_workspaces(10)
    most, started = 0, src.now()
    result = src.run(pause({"name": "bulk-*"}, deferrable=deferrable))
    history = [
        (action.created, 1) for number in range(1, 11) for action in src.world.by_name(f"bulk-{number:04}").history
    ]
    ends = [
        (action.updated, -1) for number in range(1, 11) for action in src.world.by_name(f"bulk-{number:04}").history
    ]
    unfinished = 0
    for _, change in sorted(history + ends):
        unfinished += change
        most = max(most, unfinished)
    starts = sorted(moment for moment, _ in history)
    assert most <= 4
    assert min(b - a for a, b in itertools.pairwise(starts)) >= 0.999
    assert (result["count"], len(result["changed"])) == (10, 10)
    assert src.now() - started < 600


def test_one_failure_does_not_keep_the_others(src: SrcWorld) -> None:
    src.world.plan("pause", workspace="Training box 1", outcome="failed", error="The cloud says no.")
    names = ["login-box", "Training box 1", "gpu-box"]
    with pytest.raises(
        RemoteWorkError, match=r"1 of 3 workspaces failed:\n- .*: Training box 1: pause failed: The clo"
    ):
        src.run(pause(names))
    assert (src.status("login-box"), src.status("Training box 1")) == ("paused", "running")
    src.world.plan("pause", workspace="Training box 1", outcome="failed")
    result = src.run(pause(names, on_item_failure="skip"))
    assert (result["count"], list(result["failed"])) == (2, [src.id_of("Training box 1")])


@BOTH_MODES
def test_the_time_is_over_and_what_was_resumed_is_paused(src: SrcWorld, deferrable: bool) -> None:
    src.world.plan("resume", outcome="stuck")
    with pytest.raises(WaitTimeoutError, match="1 unfinished"):
        src.run(resume(deferrable=deferrable, timeout=120))
    assert src.calls()["POST workspaces/<id>/actions/pause/"] > 1
    src.sandbox.reset()
    with pytest.raises(WaitTimeoutError):
        src.run(resume(deferrable=deferrable, timeout=40, poll_interval=15))
    assert src.effects("gpu-box") == {"resume": 1, "pause": 1}


def test_a_kill_pauses_only_what_this_task_resumed(src: SrcWorld) -> None:
    src.run(resume("Training box 2", wait_for_completion=False))
    waits = []
    for task in (resume(), resume("Training box 2")):
        carry = task.submit(make_context())
        task._next_wave(make_context(), carry)
        waits.append((task, task.waits_for(carry)))
    src.sandbox.advance(100)
    for task, wait in waits:
        assert wait is not None
        wait.cancel(task.client)
    assert src.effects("gpu-box") == {"resume": 1, "pause": 1}
    assert src.effects("Training box 2") == {"resume": 1}


def test_a_kill_says_when_a_machine_may_be_left_running(src: SrcWorld) -> None:
    task = resume()
    carry = task.submit(make_context())
    task._next_wave(make_context(), carry)
    wait, client = task.waits_for(carry), task.client
    assert wait is not None
    started = src.now()
    (line,) = wait.cancel(type(client)(client.session.urgent()))
    assert "cannot be paused at this moment, so it may be left running" in line
    assert src.now() == started
    # Where there is time, it is paused as soon as it runs.
    (line,) = wait.cancel(client)
    assert line.startswith("Asked to pause")
    assert src.effects("gpu-box") == {"resume": 1, "pause": 1}


BAD = [
    ({"workspace": None}, "exactly one"),
    ({"workspace": "gpu-box", "workspace_id": GPU_BOX}, "exactly one"),
    ({"workspace": " "}, "not empty"),
    ({"workspace": []}, "must not be empty"),
    ({"workspace": {}}, "at least one of"),
    ({"workspace": {"colaboration": "x"}}, "at least one of"),
    ({"workspace": {"mine": "yes"}}, "True or False"),
    ({"workspace": 7}, "an id, an exact name"),
    ({"workspace_id": "gpu-box"}, "a UUID"),
    ({"workspace_id": [GPU_BOX, "gpu-box"]}, "a UUID"),
    ({"workspace": "gpu-box", "at_once": 0}, "1 or more"),
    ({"workspace": "gpu-box", "on_item_failure": "ignore"}, "fail, skip"),
    ({"workspace": "gpu-box", "poll_interval": 0}, "above 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_refused_before_the_first_call(src: SrcWorld, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        SrcResumeWorkspaceOperator(task_id="task", **options)
    assert src.sandbox.journal() == []


def test_a_rendered_template_is_checked_before_the_first_call(src: SrcWorld) -> None:
    task = SrcResumeWorkspaceOperator(task_id="task", workspace_id="{{ params.id }}")
    task.workspace_id = "gpu-box"
    with pytest.raises(InvalidInputError, match="UUID"):
        src.run(task)
    assert src.sandbox.journal() == []


def test_a_name_that_fits_nothing_or_several_lists_the_choices(src: SrcWorld) -> None:
    src.world.add_workspace("gpu-box")
    with pytest.raises(InvalidInputError, match=f"2 have this name; give an id: .*{GPU_BOX}"):
        src.run(resume())
    with pytest.raises(InvalidInputError, match="one of: .*'login-box'"):
        src.run(resume("gpu-bax"))
    with pytest.raises(InvalidInputError, match="exist"):
        src.run(resume("00000000-0000-4000-8000-000000000000"))


def test_a_filter_selects_all_but_the_exceptions(src: SrcWorld) -> None:
    chosen = {"status": "running", "mine": True, "collaboration": "Example Project", "except": ["login-*"]}
    result = src.run(pause(chosen))
    assert [one["name"] for one in result["workspaces"]] == ["Training box 1"]
    assert src.status("login-box") == src.status("second-box") == src.status("Training box 3") == "running"
    nothing = src.run(pause(chosen))
    assert (nothing["count"], nothing["workspaces"]) == (0, [])


def test_a_pause_can_be_a_teardown() -> None:
    with DAG("group", schedule=None) as dag:
        machine, last = resume(), pause()
        work = SrcRebootWorkspaceOperator(task_id="work", workspace="gpu-box")
        machine >> work >> last.as_teardown(setups=machine)
    assert dag.get_task("pause").is_teardown
    assert dag.get_task("resume").is_setup


def test_the_link_leads_to_what_runs_there(src: SrcWorld) -> None:
    task = resume()
    (link,) = task.operator_extra_links
    result = src.run(task)
    assert link.get_link(task, ti_key=None) == result["url"]  # type: ignore[arg-type]
