"""The state machine of a workspace: every way in, through and out, with its duration and its history."""

import pytest

from tests.contract.src_client import GPU_BOX, Src


@pytest.fixture
def src(served_src: Src) -> Src:
    served_src.configure(stale_seconds=0)
    return served_src


@pytest.mark.parametrize(
    ("name", "action", "via", "seconds", "end"),
    [
        ("login-box", "pause", "pausing", 45, "paused"),
        ("gpu-box", "resume", "resuming", 75, "running"),
        ("login-box", "reboot", "rebooting", 120, "running"),
    ],
)
def test_action_passes_through_its_state(src: Src, name: str, action: str, via: str, seconds: int, end: str) -> None:
    response = src.act(name, action)

    assert response.status_code == 200
    assert response.json()["id"] == src.id_of(name)
    src.advance(seconds - 1)
    assert src.status(name) == via
    assert src.newest(name)["status"] == "pending"
    src.advance(1)
    assert src.status(name) == end
    newest = src.newest(name)
    assert (newest["type"], newest["status"], newest["reason"]) == (action, "success", "API")
    assert newest["issuer_display_name"] == "Example Researcher"


def test_only_a_running_machine_is_active(src: Src) -> None:
    assert src.get(GPU_BOX)["active"] is False
    src.act("gpu-box", "resume")
    assert src.get(GPU_BOX)["active"] is False
    src.advance(75)
    assert src.get(GPU_BOX)["active"] is True


def test_pause_says_when_and_keeps_the_address(src: Src) -> None:
    before = src.get(src.id_of("login-box"))
    src.act("login-box", "pause")
    src.advance(45)
    after = src.get(before["id"])
    assert after["workspace_actions"][0]["result"]["paused_at"].endswith("Z")
    assert after["resource_meta"]["ip"] == before["resource_meta"]["ip"]


@pytest.mark.parametrize("name", ["login-box", "gpu-box"])
@pytest.mark.parametrize("action", ["update_nsgs", "update_storages"])
def test_update_returns_to_where_it_was(src: Src, name: str, action: str) -> None:
    before = src.get(src.id_of(name))
    body = {
        "network_security_group_rules": [*before["network_security_group_rules"], "in tcp 8080 8080 0.0.0.0/0"],
        "storages": [{"id": src.id_of("reference-data"), "type": "Workspace"}],
    }

    assert src.act(name, action, body).status_code == 200
    src.advance(29)
    assert src.status(name) == "updating"
    src.advance(1)

    after = src.get(before["id"])
    assert after["status"] == before["status"]
    if action == "update_nsgs":
        assert "in tcp 8080 8080 0.0.0.0/0 mutable" in after["network_security_group_rules"]
    else:
        assert [each["name"] for each in after["meta"]["storages"]] == ["reference-data"]


def test_storages_are_replaced_as_a_set(src: Src) -> None:
    reference, course = src.id_of("reference-data"), src.id_of("course-data")
    assert src.get(course)["status"] == "in-use"
    assert src.get(course)["meta"]["attached_to"] == [{"id": GPU_BOX, "type": "Workspace"}]

    src.act("gpu-box", "update_storages", {"storages": [{"id": reference, "type": "Workspace"}]})
    src.advance(30)

    assert (src.get(course)["status"], src.get(reference)["status"]) == ("available", "in-use")
    result = src.newest("gpu-box")["result"]
    assert result == {"attached_storages": [reference], "detached_storages": [course]}


def test_storage_on_two_machines_is_refused_even_before_the_first_has_it(src: Src) -> None:
    wanted = {"storages": [{"id": src.id_of("reference-data"), "type": "Workspace"}]}
    assert src.act("login-box", "update_storages", wanted).status_code == 200
    assert src.act("gpu-box", "update_storages", wanted).status_code == 400


def test_failed_update_of_storages_gives_them_back(src: Src) -> None:
    src.plan("update_storages")
    src.act("login-box", "update_storages", {"storages": [{"id": src.id_of("reference-data"), "type": "Workspace"}]})
    assert src.status("reference-data") == "in-use"
    src.advance(30)
    assert (src.status("login-box"), src.status("reference-data")) == ("running", "available")


def test_storage_of_a_running_oracle_machine_cannot_change(src: Src) -> None:
    item = next(each for each in src.world.items.values() if len(each.offerings) == 2)
    oracle = src.world.add_workspace("oracle-box")
    oracle.offering = item.offerings[1]
    assert "update_storages" not in src.get(oracle.id)["actions"]
    assert src.act("oracle-box", "update_storages", {"storages": []}).status_code == 400


@pytest.mark.parametrize(
    ("kind", "seconds", "end"),
    [("Compute", 720, "running"), ("Storage", 30, "available"), ("Network", 30, "available"), ("IP", 30, "available")],
)
def test_creation(src: Src, kind: str, seconds: int, end: str) -> None:
    response = src.create(kind)

    assert response.status_code == 201, response.text
    assert response.json()["status"] == "creating"
    src.advance(seconds - 1)
    assert src.status("new-box") == "creating"
    src.advance(1)
    assert src.status("new-box") == end
    assert src.newest("new-box")["type"] == "create"


def test_address_appears_during_creation(src: Src) -> None:
    workspace_id = src.create().json()["id"]
    src.advance(179)
    assert "ip" not in src.get(workspace_id)["resource_meta"]
    src.advance(1)
    assert src.get(workspace_id)["status"] == "creating"
    assert src.get(workspace_id)["resource_meta"]["ip"]


def test_failed_creation_of_a_machine_removes_itself(src: Src) -> None:
    src.plan("create", error="component failed", seconds=300)
    workspace_id = src.create().json()["id"]
    src.advance(300)
    assert src.get(workspace_id)["status"] == "failed"
    assert "component failed" in src.call("GET", f"workspaces/{workspace_id}/logs/").text
    src.advance(60)
    assert src.get(workspace_id)["status"] == "deleting"
    src.advance(60)
    assert src.get(workspace_id)["status"] == "deleted"
    assert workspace_id not in [each["id"] for each in src.listing(deleted="false")]
    assert src.call("GET", f"workspaces/{workspace_id}/logs/").status_code == 404


def test_failed_creation_of_a_storage_stays(src: Src) -> None:
    src.plan("create")
    src.create("Storage")
    src.advance(86400)
    assert src.status("new-box") == "failed"


def test_resume_without_capacity_falls_back_to_paused(src: Src) -> None:
    src.act("big-gpu-box", "resume")
    src.advance(599)
    assert src.status("big-gpu-box") == "resuming"
    src.advance(1)
    assert src.status("big-gpu-box") == "paused"
    newest = src.newest("big-gpu-box")
    assert newest["status"] == "failed"
    assert newest["reason"] == "API"
    assert newest["result"]["error"] == "Timeout waiting for VM to resume."


def test_resume_goes_on_when_capacity_turns_up(src: Src) -> None:
    src.act("big-gpu-box", "resume")
    src.advance(300)
    src.world.set_free(src.world.pick(src.world.flavours.values(), "name", "A10 - 2 GPU"), 1)
    src.advance(75)
    assert src.status("big-gpu-box") == "running"
    src.advance(600)
    assert src.status("big-gpu-box") == "running"


def test_reboot_can_lose_its_machine(src: Src) -> None:
    src.plan("reboot", error="no GPU")
    src.act("login-box", "reboot")
    src.advance(120)
    assert src.status("login-box") == "paused"
    assert src.newest("login-box")["result"]["error"] == "no GPU"


@pytest.mark.parametrize(
    ("operation", "end"), [("pause", "running"), ("delete", "running"), ("update_nsgs", "running")]
)
def test_planned_failure_leaves_the_old_state(src: Src, operation: str, end: str) -> None:
    src.plan(operation, error="planned")
    if operation == "delete":
        src.delete("login-box")
    else:
        rules = src.get(src.id_of("login-box"))["network_security_group_rules"]
        src.act("login-box", operation, {"network_security_group_rules": rules})
    src.advance(120)
    assert src.status("login-box") == end
    assert src.newest("login-box")["result"] == {"error": "planned"}


@pytest.mark.parametrize("name", ["login-box", "gpu-box", "reference-data", "broken-box"])
def test_delete(src: Src, name: str) -> None:
    workspace_id = src.id_of(name)
    assert src.delete(name).status_code == 204
    src.advance(59)
    assert src.get(workspace_id)["status"] == "deleting"
    src.advance(1)
    gone = src.get(workspace_id)
    assert gone["status"] == "deleted"
    assert gone["time_deleted"] is not None
    assert gone["editable"] is False


def test_delete_frees_storages(src: Src) -> None:
    src.delete("gpu-box")
    src.advance(60)
    assert src.status("course-data") == "available"


@pytest.mark.parametrize("name", ["course-data", "old-box"])
def test_delete_is_refused(src: Src, name: str) -> None:
    assert src.get(src.id_of(name))["deletable"] is False
    assert src.delete(name).status_code == 400


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("gpu-box", "pause"),
        ("gpu-box", "reboot"),
        ("login-box", "resume"),
        ("lab-network", "pause"),
        ("broken-box", "resume"),
    ],
)
def test_impossible_action_is_400_and_counted_as_refused(src: Src, name: str, action: str) -> None:
    response = src.act(name, action)
    assert response.status_code == 400
    body = response.json()
    assert (body["code"], body["status"]) == (400, "Bad Request")
    assert isinstance(body["message"][0], str)
    assert src.world.refused[src.id_of(name)][action] == 1
    assert not src.world.effects[src.id_of(name)]


def test_second_action_during_the_first_is_refused(src: Src) -> None:
    assert src.act("gpu-box", "resume").status_code == 200
    assert src.act("gpu-box", "resume").status_code == 400
    assert src.delete("gpu-box").status_code == 400
    assert src.world.effects[GPU_BOX] == {"resume": 1}


def test_several_actions_run_in_order(src: Src) -> None:
    response = src.call(
        "POST",
        f"workspaces/{src.id_of('login-box')}/actions/",
        json=[{"action": "pause", "parameters": {}}, {"action": "resume"}],
    )
    assert response.status_code == 200
    actions = {each["type"]: each for each in src.get(response.json()["id"])["workspace_actions"]}
    assert actions["pause"]["next_action"] == actions["resume"]["id"]
    src.advance(45)
    assert src.status("login-box") == "resuming"
    src.advance(75)
    assert src.status("login-box") == "running"


def test_workspace_stays_busy_while_its_second_action_queues(src: Src) -> None:
    src.configure(queue_working=1)
    src.call("POST", f"workspaces/{src.id_of('login-box')}/actions/", json=[{"action": "pause"}, {"action": "resume"}])
    src.act("Training box 1", "pause")
    src.advance(45)
    assert (src.status("login-box"), src.status("Training box 1")) == ("paused", "pausing")
    assert src.act("login-box", "resume").status_code == 400
    src.advance(45 + 75)
    assert src.status("login-box") == "running"


def test_deleted_machine_gives_its_capacity_back(src: Src) -> None:
    flavour = src.world.pick(src.world.flavours.values(), "name", "A10 - 1 GPU")
    src.act("gpu-box", "resume")
    assert flavour.free == 3
    src.advance(75)
    src.delete("gpu-box")
    src.advance(60)
    assert flavour.free == 4


def test_long_pause_counts_from_the_last_one(src: Src) -> None:
    src.configure(long_paused_seconds=1000.0)
    src.advance(500)
    src.act("gpu-box", "resume")
    src.advance(75)
    src.act("gpu-box", "pause")
    src.advance(45 + 999)
    assert (src.status("gpu-box"), src.status("big-gpu-box")) == ("paused", "deleted")
    src.advance(1)
    assert src.status("gpu-box") == "deleting"


def test_log_of_a_creation_with_a_secret_is_censored(src: Src) -> None:
    src.plan("create", error="password was wrong")
    secret = {"key": "password", "value": '{"key": "course-password", "sensitive": 1}'}
    workspace_id = src.create(interactive_parameters=[secret]).json()["id"]
    src.advance(720)
    log = src.call("GET", f"workspaces/{workspace_id}/logs/").text
    assert "hidden" in log
    assert "password was wrong" not in log


def test_failure_cancels_what_should_follow(src: Src) -> None:
    src.plan("pause")
    path = f"workspaces/{src.id_of('login-box')}/actions/"
    src.call("POST", path, json=[{"action": "pause"}, {"action": "resume"}])
    src.advance(45)
    assert {each["type"]: each["status"] for each in src.get(src.id_of("login-box"))["workspace_actions"]} == {
        "pause": "failed",
        "resume": "cancelled",
    }
    assert src.act("login-box", "pause").status_code == 200


@pytest.mark.parametrize(
    "wanted",
    [[], {}, [{"action": "purge"}], [{"action": "fly"}], [{"action": "pause"}, {"action": "pause"}], ["pause"]],
)
def test_several_actions_are_refused_together(src: Src, wanted: object) -> None:
    assert src.call("POST", f"workspaces/{src.id_of('login-box')}/actions/", json=wanted).status_code == 400
    src.advance(300)
    assert src.status("login-box") == "running"


def test_possible_actions(src: Src) -> None:
    assert src.get(GPU_BOX)["actions"] == ["resume", "update_nsgs", "update_storages"]
    assert src.get(src.id_of("login-box"))["allowed_actions"][0] == "pause"
    assert src.call("GET", f"workspaces/{GPU_BOX}/actions/").json() == ["resume", "update_nsgs", "update_storages"]


def test_expiry_deletes(src: Src) -> None:
    src.advance(172799)
    assert src.status("ends-soon") == "paused"
    src.advance(1)
    assert src.status("ends-soon") == "deleting"
    assert src.newest("ends-soon")["reason"] == "WORKSPACE_EXPIRED"
    src.advance(60)
    assert src.status("ends-soon") == "deleted"


def test_late_expiry_leaves_a_machine_past_its_end(src: Src) -> None:
    src.configure(expiry_delay=3600.0)
    src.advance(172800 + 3599)
    assert src.status("ends-soon") == "paused"
    src.advance(1)
    assert src.status("ends-soon") == "deleting"


def test_extended_end_prevents_expiry(src: Src) -> None:
    response = src.call(
        "PATCH", f"workspaces/{src.id_of('ends-soon')}/", json={"end_time": src.iso_in(259200), "name": "stays"}
    )
    assert response.status_code == 200
    assert response.json()["name"] == "stays"
    src.advance(259199)
    assert src.status("stays") == "paused"
    src.advance(1)
    assert src.status("stays") == "deleting"


def test_empty_wallet_pauses_what_runs(src: Src) -> None:
    src.world.deplete_wallet(src.world.by_name("login-box").wallet_id)
    src.advance(45)
    assert src.status("login-box") == "paused"
    newest = src.newest("login-box")
    assert (newest["reason"], newest["issuer_display_name"]) == ("DEPLETED_WALLET", None)
    assert src.status("second-box") == "running"
    assert src.act("gpu-box", "resume").status_code == 400


def test_wallet_that_runs_empty_during_a_resume(src: Src) -> None:
    src.act("gpu-box", "resume")
    src.world.deplete_wallet(src.world.by_name("gpu-box").wallet_id)
    src.advance(75)
    assert src.status("gpu-box") == "pausing"
    assert src.newest("gpu-box")["reason"] == "DEPLETED_WALLET"


def test_no_valid_wallet_is_unaccounted_and_removed(src: Src) -> None:
    src.world.wallets[src.world.by_name("login-box").wallet_id].valid = False
    src.create()
    assert src.status("new-box") == "unaccounted"
    src.advance(60)
    assert src.status("new-box") == "deleting"
    assert src.newest("new-box")["reason"] == "UNACCOUNTED"


def test_long_pause_ends_in_deletion(src: Src) -> None:
    src.configure(long_paused_seconds=86400.0)
    src.act("login-box", "pause")
    src.advance(45 + 86399)
    assert src.status("login-box") == "paused"
    src.advance(1)
    assert src.status("login-box") == "deleting"
    assert src.newest("login-box")["reason"] == "LONG_PAUSED"


def test_one_large_step_equals_many_small_ones(src: Src) -> None:
    def story(steps: list[float]) -> list[tuple[str, str]]:
        src.reset()
        src.configure(stale_seconds=0)
        start = src.sandbox.clock.now()
        src.act("big-gpu-box", "resume")
        src.act("login-box", "pause")
        src.plan("create")
        src.create()
        for step in steps:
            src.advance(step)
        return sorted(
            (action.type, f"{action.updated - start:.3f}")
            for name in ("big-gpu-box", "login-box", "new-box", "ends-soon")
            for action in src.world.by_name(name).history
        )

    assert story([200000.0]) == story([7.0] * 150 + [200000.0 - 1050])
