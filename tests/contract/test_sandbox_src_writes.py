"""Bodies of writes: what is accepted, what is refused and how the refusal reads."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.src_client import CO, GPU_BOX, SECOND_CO, WALLET, Src

SECOND_WALLET = "3c9a1f65-7d9f-4b2a-8e8d-0a4a6c2d5b33"


def refusal(src: Src, body: Any) -> str:
    before = len(src.world.workspaces)
    response = src.call("POST", "workspaces/", json=body)
    assert response.status_code == 400, response.text
    assert len(src.world.workspaces) == before
    answer = response.json()
    assert (answer["code"], answer["status"]) == (400, "Bad Request")
    return " ".join(answer["message"])


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    *outer, key = path.split(".")
    del (changed[outer[0]] if outer else changed)[key]
    return changed


def test_creation_keeps_what_was_ordered(src: Src) -> None:
    order = src.order(
        size="A10 - 1 GPU",
        storages=[{"id": src.id_of("reference-data"), "name": "reference-data", "type": "Workspace"}],
        networks=[{"id": src.id_of("lab-network"), "name": "lab-network", "type": "network"}],
        ips=[{"id": src.id_of("lab-ip"), "name": "lab-ip", "type": "ip"}],
        interactive_parameters=[{"key": "username", "value": "course"}],
        application_name="a wrong name beside a right id",
    )
    made = src.call("POST", "workspaces/", json=order | {"unknown_key": 1}).json()

    assert made["status"] == "creating"
    assert (made["name"], made["description"], made["co_id"]) == ("new-box", "made by a test", CO)
    assert made["meta"]["interactive_parameters"] == [{"key": "username", "value": "course"}]
    assert [each["name"] for each in made["meta"]["flavours"]] == ["Ubuntu 22.04", "A10 - 1 GPU"]
    assert made["meta"]["storages"][0]["name"] == "reference-data"
    assert made["meta"]["networks"][0]["name"] == "lab-network"
    assert made["resource_meta"] == {}
    assert src.status("reference-data") == "in-use"
    assert src.world.effects[made["id"]] == {"create": 1}
    assert src.world.created_names["new-box"] == 1


@pytest.mark.parametrize("size", ["A10 - 2 GPU"])
def test_creation_without_capacity_fails_and_removes_itself(src: Src, size: str) -> None:
    workspace_id = src.create(size=size).json()["id"]
    src.advance(600)
    assert src.get(workspace_id)["status"] == "failed"
    src.advance(120)
    assert src.get(workspace_id)["status"] == "deleted"


@pytest.mark.parametrize(
    "path",
    [
        "co_id",
        "wallet_id",
        "name",
        "description",
        "end_time",
        "meta",
        "meta.application_offering_id",
        "meta.application_name",
        "meta.application_icon",
        "meta.application_type",
        "meta.subscription_tag",
        "meta.subscription_name",
        "meta.subscription_group_id",
        "meta.subscription_resource_type",
        "meta.co_name",
        "meta.host_name",
        "meta.wallet_name",
        "meta.wallet_id",
    ],
)
def test_missing_field_is_named(src: Src, path: str) -> None:
    assert path in refusal(src, without(src.order(), path))


def test_every_missing_field_is_named_at_once(src: Src) -> None:
    found = refusal(src, {"meta": {}})
    assert all(key in found for key in ("co_id", "name", "meta.host_name", "meta.wallet_id"))


def test_icon_and_cloud_name_can_be_made_optional(src: Src) -> None:
    src.configure(strict_create=False)
    order = without(without(src.order(), "meta.application_icon"), "meta.subscription_name")
    assert src.call("POST", "workspaces/", json=order).status_code == 201


OTHER_ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("top", "meta", "word"),
    [
        ({"co_id": OTHER_ID}, {}, "co_id"),
        ({"wallet_id": OTHER_ID}, {}, "wallet_id"),
        ({"wallet_id": SECOND_WALLET}, {"wallet_id": SECOND_WALLET}, "wallet_id"),
        ({"name": ""}, {}, "name"),
        ({"description": None}, {}, "description"),
        ({"end_time": "tomorrow"}, {}, "end_time"),
        ({"end_time": "2020-01-01T00:00:00Z"}, {}, "end_time"),
        ({"end_time": "2030-01-01T00:00:00"}, {}, "end_time"),
        ({}, {"application_offering_id": OTHER_ID}, "application_offering_id"),
        ({}, {"application_type": "Car"}, "application_type"),
        ({}, {"subscription_group_id": OTHER_ID}, "subscription_group_id"),
        ({}, {"subscription_tag": "rsc-other"}, "subscription_tag"),
        ({}, {"subscription_resource_type": "Private-Network"}, "subscription_resource_type"),
        ({}, {"wallet_id": SECOND_WALLET}, "wallet_id"),
        ({}, {"host_name": "Not A Host"}, "host_name"),
        ({}, {"flavours": []}, "flavours"),
        ({}, {"flavours": [{"id": OTHER_ID}]}, "flavours"),
        ({}, {"flavours": "small"}, "flavours"),
        ({}, {"storages": ["f1a2b3c4"]}, "storages"),
        ({}, {"storages": [{"id": GPU_BOX, "type": "Workspace"}]}, "Storage"),
        ({}, {"ips": [{"id": OTHER_ID, "type": "Workspace"}]}, "IP"),
        ({}, {"interactive_parameters": [{"key": "n", "value": 3}]}, "interactive_parameters"),
        ({}, {"interactive_parameters": [{"key": "n", "value": "two\nlines"}]}, "interactive_parameters"),
        ({}, {"interactive_parameters": [["n", "v"]]}, "interactive_parameters"),
        ({"additional_actions": [{"action": "fly"}]}, {}, "additional_actions"),
    ],
)
def test_wrong_value_is_refused(src: Src, top: dict[str, Any], meta: dict[str, Any], word: str) -> None:
    assert word in refusal(src, src.order(**meta) | top)


def test_attached_storage_and_disabled_or_unpaid_flavour_are_refused(src: Src) -> None:
    course = {"id": src.id_of("course-data"), "type": "Workspace"}
    assert "course-data" in refusal(src, src.order(storages=[course]))
    assert "disabled" in refusal(src, src.order(size="RTX2080 - 1 GPU (disabled)"))
    second = {"co_id": SECOND_CO, "wallet_id": SECOND_WALLET}
    assert "daphne-gpu" in refusal(src, src.order(size="A10 - 1 GPU", wallet_id=SECOND_WALLET) | second)


def test_parameters_of_a_storage_may_be_one_object(src: Src) -> None:
    parameters = {"key": "label", "value": "reads"}
    assert src.create("Storage", interactive_parameters=parameters).status_code == 201


@pytest.mark.parametrize("kind", ["Storage", "Network", "IP"])
def test_only_machines_end(src: Src, kind: str) -> None:
    assert "end_time" in refusal(src, src.order(kind) | {"end_time": src.iso_in(60)})


def test_plain_text_is_no_order(src: Src) -> None:
    response = src.call("POST", "workspaces/", data="{broken")
    assert (response.status_code, response.json()["message"]) == (400, ["JSON parse error"])
    assert src.call("POST", "workspaces/", json=[]).status_code == 400


def test_lifetime_can_be_limited(src: Src) -> None:
    src.configure(max_lifetime_days=28.0)
    assert "28 days" in refusal(src, src.order() | {"end_time": src.iso_in(29 * 86400)})


def test_additional_actions_follow_the_creation(src: Src) -> None:
    src.configure(stale_seconds=0)
    src.call("POST", "workspaces/", json=src.order() | {"additional_actions": [{"action": "pause"}]})
    src.advance(720)
    assert src.status("new-box") == "pausing"
    src.advance(45)
    assert src.status("new-box") == "paused"


def test_empty_wallet_buys_nothing(src: Src) -> None:
    src.world.deplete_wallet(WALLET)
    assert "budget" in refusal(src, src.order())


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gpu-box", {}),
        ("gpu-box", {"description": "not changeable"}),
        ("gpu-box", []),
        ("gpu-box", {"name": " "}),
        ("gpu-box", {"end_time": None}),
        ("gpu-box", {"end_time": "2020-01-01T00:00:00Z"}),
        ("course-data", {"end_time": "2030-01-01T00:00:00Z"}),
        ("old-box", {"name": "risen"}),
    ],
)
def test_patch_is_refused(src: Src, name: str, body: Any) -> None:
    workspace_id = src.id_of(name)
    before = src.get(workspace_id)
    assert src.call("PATCH", f"workspaces/{workspace_id}/", json=body).status_code == 400
    assert src.get(workspace_id) == before


def test_past_end_time_can_be_allowed_and_ends_it(src: Src) -> None:
    src.configure(allow_past_end_time=True, stale_seconds=0)
    src.call("PATCH", f"workspaces/{GPU_BOX}/", json={"end_time": src.iso_in(-60)})
    assert src.status("gpu-box") == "deleting"


@pytest.mark.parametrize("body", ["", "null", "[]", '"x"'])
def test_action_needs_an_object(src: Src, body: str) -> None:
    path = f"workspaces/{GPU_BOX}/actions/resume/"
    assert src.call("POST", path, data=body).status_code == 400
    src.configure(require_action_body=False)
    assert src.call("POST", path, data=body).status_code == (200 if body in ("", "null") else 400)


def test_unknown_action_is_400(src: Src) -> None:
    assert src.act("gpu-box", "explode").status_code == 400
    assert src.act("gpu-box", "delete").status_code == 400


IMMUTABLE = "in tcp 22 22 0.0.0.0/0 immutable"


def rules_of(src: Src) -> list[str]:
    return list(src.get(GPU_BOX)["network_security_group_rules"])


@pytest.mark.parametrize(
    "rule",
    [
        "in tcp 8080 8080",
        "up tcp 8080 8080 0.0.0.0/0",
        "in icmp 8080 8080 0.0.0.0/0",
        "in tcp 8081 8080 0.0.0.0/0",
        "in tcp 0 70000 0.0.0.0/0",
        "in tcp a b 0.0.0.0/0",
        "in tcp 8080 8080 everywhere",
        "in tcp 8080 8080 0.0.0.0/0 perhaps",
        "in tcp 8080 8080 0.0.0.0/0 immutable",
        8080,
    ],
)
def test_wrong_rule_is_refused(src: Src, rule: Any) -> None:
    body = {"network_security_group_rules": [*rules_of(src), rule]}
    assert src.act("gpu-box", "update_nsgs", body).status_code == 400


def test_immutable_rules_cannot_be_dropped(src: Src) -> None:
    rest = [rule for rule in rules_of(src) if rule != IMMUTABLE]
    response = src.act("gpu-box", "update_nsgs", {"network_security_group_rules": rest})
    assert response.status_code == 400
    assert IMMUTABLE in response.json()["message"][0]
    src.configure(refuse_dropping_immutable_rules=False)
    assert src.act("gpu-box", "update_nsgs", {"network_security_group_rules": rest}).status_code == 200
    src.advance(30)
    assert IMMUTABLE in rules_of(src)


ports = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(sorted)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.tuples(st.sampled_from(["in", "out"]), st.sampled_from(["tcp", "udp"]), ports), max_size=6))
def test_rules_that_are_set_are_the_rules_that_are_read(src: Src, wanted: list[Any]) -> None:
    src.configure(update_seconds=0.0, stale_seconds=0)
    rules = [f"{way} {protocol} {low} {high} 192.0.2.0/24" for way, protocol, (low, high) in wanted]
    kept = [rule for rule in rules_of(src) if rule.endswith(" immutable")]
    assert src.act("gpu-box", "update_nsgs", {"network_security_group_rules": kept + rules}).status_code == 200
    assert set(rules_of(src)) == {*kept, *(f"{rule} mutable" for rule in rules)}
    assert len(rules_of(src)) == len(set(rules_of(src)))


@pytest.mark.parametrize(
    "body", [{}, {"storages": "all"}, {"storages": [{"id": OTHER_ID, "type": "Workspace"}]}, {"storages": [{"id": 1}]}]
)
def test_wrong_storages_are_refused(src: Src, body: Any) -> None:
    assert src.act("gpu-box", "update_storages", body).status_code == 400


def test_change_wallet(src: Src) -> None:
    path = f"workspaces/{GPU_BOX}/change_wallet/"
    assert src.call("PATCH", path, json={}).status_code == 400
    assert src.call("PATCH", path, json={"wallet_id": SECOND_WALLET}).status_code == 400
    src.world.wallets[SECOND_WALLET].co_ids.append(CO)
    changed = src.call("PATCH", path, json={"wallet_id": SECOND_WALLET, "wallet_name": "any"}).json()
    assert (changed["wallet_id"], changed["meta"]["wallet_id"]) == (SECOND_WALLET, SECOND_WALLET)
    assert src.world.effects[GPU_BOX] == {"change_wallet": 1}


def test_claim_ownership_is_for_admins(src: Src) -> None:
    path = f"workspaces/{src.id_of('Training box 3')}/claim_ownership/"
    assert src.call("PATCH", path, json={}).status_code == 403
    src.world.users["1d0c6a35-5a0e-4f7b-9a39-0b9f2a6f6a10"].roles[CO].add("src_ws_admin")
    claimed = src.call("PATCH", path, json={}).json()
    assert claimed["owner_id"] == "1d0c6a35-5a0e-4f7b-9a39-0b9f2a6f6a10"
