"""Whatever the service leaves out, adds or turns around, the operators do their work or say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_src_provider.exceptions import (
    InvalidInputError,
    RemoteWorkError,
    ServiceUnavailableError,
    TokenRejectedError,
)
from airflow_src_provider.operators.src import (
    SrcCreateWorkspaceOperator,
    SrcDeleteWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcResumeWorkspaceOperator,
    SrcUpdateFirewallOperator,
)
from tests.unit.src_world import GPU_BOX, NO_GPU, SrcWorld

ODD: list[dict[str, Any]] = [
    {"empty_resource_meta": True},
    {"empty_meta": True},
    {"hide_ip": True},
    {"null_issuer": True},
    {"history_as_object": True},
    {"null_end_time": True},
    {"wallets_as_page": True},
    {"co_id_differs": True},
    {"optional_parameters_object": True},
    {"typed_content_type": True},
    {"next_host": "internal.example"},
    {"list_order": "newest", "max_page_size": 3},
    {"stale_seconds": 60.0, "stale_history": True},
    {"empty_meta": True, "empty_resource_meta": True, "history_as_object": True, "stale_seconds": 60.0},
    {"deleted_is_404": True, "not_found_form": "html"},
]


@pytest.mark.parametrize("switches", ODD, ids=lambda switches: "+".join(switches))
def test_the_whole_life_of_a_machine(src: SrcWorld, switches: dict[str, Any]) -> None:
    src.sandbox.configure(src=switches)
    made = src.run(
        SrcCreateWorkspaceOperator(
            task_id="create",
            name="box",
            collaboration="Example Project",
            wallet="SRC account for Example Project",
            catalog_item="Ubuntu 22.04",
            size="2 Core- 16 GB RAM",
            lifetime=86400,
        )
    )
    assert made["status"] == "running"
    for operator, status in (
        (SrcPauseWorkspaceOperator, "paused"),
        (SrcResumeWorkspaceOperator, "running"),
        (SrcDeleteWorkspaceOperator, "deleted"),
    ):
        result = src.run(operator(task_id=status, workspace_id=made["id"]))
        assert (result["status"], result["changed"]) == (status, True)
    assert src.effects("box") == {"create": 1, "pause": 1, "resume": 1, "delete": 1}


@pytest.mark.parametrize("history", [False, True])
def test_a_resume_without_room_is_noticed_even_without_a_history(src: SrcWorld, history: bool) -> None:
    src.sandbox.configure(history_as_object=history)
    with pytest.raises(RemoteWorkError, match="big-gpu-box: resume failed"):
        src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace=NO_GPU))


def test_a_status_that_nobody_knows_is_waited_for(src: SrcWorld) -> None:
    src.world.by_name("gpu-box").overrides = {"status": "defragmenting"}
    src.world.later(60, lambda: src.world.by_name("gpu-box").overrides.clear())
    assert src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box"))["status"] == "running"


@pytest.mark.parametrize("form", ["json", "text", "html"])
@pytest.mark.parametrize("retry_after", [None, 30])
def test_a_full_queue_in_every_form(src: SrcWorld, form: str, retry_after: int | None) -> None:
    src.sandbox.configure(
        src={"queue_working": 1, "queue_waiting": 1, "queue_full_form": form, "queue_full_retry_after": retry_after}
    )
    src.world.add_workspaces(5)
    task = SrcPauseWorkspaceOperator(task_id="pause", workspace={"name": "bulk-*"}, at_once=5)
    task.client.session._sleep = src.sleep
    assert len(src.run(task)["changed"]) == 5
    assert src.sandbox.counters()["statuses"]["503"] > 0


def test_a_queue_that_stays_full_ends_the_task_with_the_services_words(src: SrcWorld) -> None:
    answer = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
    src.sandbox.fault(service="src", method="POST", action="status", status=503, json=answer, times=None)
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box")
    task.client.session._max_wait = 0.0
    with pytest.raises(ServiceUnavailableError, match="Queue is full"):
        src.run(task)
    assert src.effects("gpu-box") == {}


def test_a_token_that_expires_during_a_wait(src: SrcWorld) -> None:
    token = next(one for one in src.world.tokens.values() if "researcher1" in one.value)
    token.expires_at = src.now() + 40
    with pytest.raises(TokenRejectedError, match="expired"):
        src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box"))


def test_a_wallet_that_runs_empty_during_a_resume(src: SrcWorld) -> None:
    src.world.later(60, lambda: src.world.deplete_wallet(src.world.by_name("gpu-box").wallet_id))
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box", poll_interval=600)
    with pytest.raises(RemoteWorkError, match="DEPLETED_WALLET"):
        src.run(task)


def test_a_machine_that_expires_while_it_is_resumed(src: SrcWorld) -> None:
    src.world.by_name("gpu-box").end_time = src.now() + 50
    src.world.watch_end(src.world.by_name("gpu-box"))
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box", poll_interval=600)
    with pytest.raises(RemoteWorkError, match="WORKSPACE_EXPIRED"):
        src.run(task)


@pytest.mark.parametrize("form", ["service", "drf", "not_found"])
def test_a_missing_right_is_reported_and_nothing_is_sent_twice(src: SrcWorld, form: str) -> None:
    src.sandbox.configure(forbidden_form=form)
    src.world.by_name("login-box").overrides = {"allowed_actions": ["pause"]}
    task = SrcPauseWorkspaceOperator(task_id="pause", workspace="login-box", src_conn_id="src_other")
    with pytest.raises(RemoteWorkError, match="login-box"):
        src.run(task)
    assert src.calls()["POST workspaces/<id>/actions/pause/"] == 1


def test_immutable_rules_are_kept_where_the_service_drops_them_silently(src: SrcWorld) -> None:
    src.sandbox.configure(refuse_dropping_immutable_rules=False)
    before = list(src.world.by_name("login-box").rules)
    src.run(SrcUpdateFirewallOperator(task_id="firewall", workspace="login-box", replace=[]))
    assert src.world.by_name("login-box").rules == before


def test_a_name_in_two_collaborations_can_be_narrowed_down(src: SrcWorld) -> None:
    src.world.add_workspace("gpu-box", co="Second Project", wallet="SRC account for Second Project", status="paused")
    with pytest.raises(InvalidInputError, match="2 have this name"):
        src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box"))
    chosen = {"name": "gpu-box", "collaboration": "Example Project"}
    result = src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace=chosen))
    assert result["ids"] == [GPU_BOX]
