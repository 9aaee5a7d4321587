"""What a client has to survive: lag, odd shapes, a full queue, two users, and a gateway in front."""

from collections import Counter

import pytest
import requests

from airflow_src_provider.sandbox import Sandbox
from tests.contract.src_client import CO, GPU_BOX, Src

# Lag.


def test_reads_lag_behind_an_action(src: Src) -> None:
    answer = src.act("gpu-box", "resume").json()
    assert answer["status"] == "paused"
    src.advance(4)
    assert src.status("gpu-box") == "paused"
    assert GPU_BOX in [each["id"] for each in src.listing(status="paused")]
    assert src.newest("gpu-box")["status"] == "pending"
    src.advance(1)
    assert src.status("gpu-box") == "resuming"


def test_lag_can_outlive_the_action_and_hide_its_history(src: Src) -> None:
    src.configure(stale_seconds=60.0, stale_history=True)
    src.act("login-box", "pause")
    src.advance(59)
    shown = src.get(src.id_of("login-box"))
    assert (shown["status"], shown["workspace_actions"]) == ("running", [])
    assert src.act("login-box", "pause").status_code == 400
    src.advance(1)
    assert src.status("login-box") == "paused"
    assert src.newest("login-box")["type"] == "pause"


# Odd shapes.


def test_missing_keys_and_odd_shapes(src: Src) -> None:
    src.act("gpu-box", "resume")
    src.configure(
        empty_resource_meta=True, empty_meta=True, history_as_object=True, null_end_time=True, stale_seconds=0
    )
    shown = src.get(GPU_BOX)
    assert shown["resource_meta"] == shown["meta"] == shown["workspace_actions"] == {}
    assert shown["end_time"] is None
    src.configure(empty_resource_meta=False, hide_ip=True, history_as_object=False, null_issuer=True)
    shown = src.get(GPU_BOX)
    assert "ip" not in shown["resource_meta"]
    assert shown["workspace_actions"][0]["issuer_display_name"] is None


def test_things_nobody_has_seen_yet(src: Src) -> None:
    src.configure(stale_seconds=0)
    src.plan("resume", status="hibernating", action_status="postponed", reason="MOON_PHASE")
    src.act("gpu-box", "resume")
    src.advance(600)
    assert src.status("gpu-box") == "hibernating"
    assert (src.newest("gpu-box")["status"], src.newest("gpu-box")["reason"]) == ("postponed", "MOON_PHASE")
    assert [each["name"] for each in src.listing(status="hibernating")] == ["gpu-box"]


def test_any_key_can_be_replaced_over_http(src: Src) -> None:
    control = f"{src.sandbox.url}/_sandbox/src/workspace/gpu-box"
    changes = {"overrides": {"actions": ["fly"], "colour": "red"}, "status": "full"}
    assert src.session.patch(control, json=changes, timeout=5).status_code == 200
    shown = src.get(GPU_BOX)
    assert (shown["actions"], shown["colour"], shown["status"]) == (["fly"], "red", "full")


def test_operation_can_hang(src: Src) -> None:
    src.plan("create", outcome="stuck")
    src.create()
    src.advance(86399)
    assert src.status("new-box") == "creating"


def test_plan_fits_by_name_and_is_used_up(src: Src) -> None:
    src.configure(stale_seconds=0)
    src.plan("pause", workspace="Training", times=1)
    for name in ("login-box", "Training box 1"):
        src.act(name, "pause")
    src.advance(45)
    assert (src.status("login-box"), src.status("Training box 1")) == ("paused", "running")
    src.act("Training box 1", "pause")
    src.advance(45)
    assert src.status("Training box 1") == "paused"


# Forms that vary.


def test_delete_answers_with_or_without_a_body(src: Src) -> None:
    bare = src.delete("Training box 1")
    assert (bare.status_code, bare.content) == (204, b"")
    src.configure(delete_status=200)
    full = src.delete("gpu-box")
    assert (full.status_code, full.json()["id"]) == (200, GPU_BOX)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("drf", '{"detail":"Not found."}'), ("service", '"code":404'), ("html", "<html>")],
)
def test_unknown_workspace(src: Src, form: str, expected: str) -> None:
    src.configure(not_found_form=form)
    response = src.call("GET", "workspaces/00000000-0000-4000-8000-000000000000/")
    assert response.status_code == 404
    assert expected in response.text


def test_deleted_workspace_can_be_404(src: Src) -> None:
    assert src.status("old-box") == "deleted"
    src.configure(deleted_is_404=True)
    assert src.call("GET", f"workspaces/{src.id_of('old-box')}/").status_code == 404
    assert "old-box" not in [each["name"] for each in src.listing()]


# The queue.


def fill(src: Src, count: int = 24) -> None:
    src.world.add_workspaces(count, "busy")
    for number in range(1, count + 1):
        assert src.act(f"busy-{number:04}", "pause").status_code == 200


def test_queued_action_keeps_the_old_status_until_it_starts(src: Src) -> None:
    src.configure(stale_seconds=0)
    fill(src, 6)
    assert [src.status(f"busy-{number:04}") for number in range(1, 7)] == ["pausing"] * 4 + ["running"] * 2
    assert src.newest("busy-0005")["status"] == "initialized"
    assert src.act("busy-0005", "pause").status_code == 400
    src.advance(45)
    assert src.status("busy-0005") == "pausing"
    src.advance(45)
    assert src.status("busy-0006") == "paused"


@pytest.mark.parametrize(
    ("form", "start", "media_type"),
    [
        ("json", '{"code":503,"status":"Service Unavailable","message":["Queue is full"]}', "application/json"),
        ("text", "Queue is full", "text/plain"),
        ("html", "<html>", "text/html"),
    ],
)
def test_full_queue(src: Src, form: str, start: str, media_type: str) -> None:
    src.configure(queue_full_form=form)
    fill(src)
    for response in (src.act("login-box", "pause"), src.delete("login-box"), src.create()):
        assert response.status_code == 503
        assert response.text.startswith(start)
        assert response.headers["content-type"].startswith(media_type)
        assert "retry-after" not in response.headers
    src.configure(queue_full_retry_after=30)
    assert src.act("login-box", "pause").headers["retry-after"] == "30"
    assert src.status("login-box") == "running"
    assert not src.world.effects[src.id_of("login-box")]
    assert "new-box" not in src.world.created_names
    src.advance(45)
    assert src.act("login-box", "pause").status_code == 200


def test_fifty_machines_through_a_full_queue_are_each_paused_once(src: Src) -> None:
    src.world.add_workspaces(50, "many")
    left = [f"many-{number:04}" for number in range(1, 51)]
    refused = 0
    for _ in range(50):
        accepted = [name for name in left if src.act(name, "pause").status_code == 200]
        refused += len(left) - len(accepted)
        left = [name for name in left if name not in accepted]
        src.advance(45)
    assert refused > 0
    assert {each["status"] for each in src.listing(name="many-")} == {"paused"}
    done = [report["accepted"] for report in src.world.effects_report().values()]
    assert done == [{"pause": 1}] * 50


def test_wider_queue_takes_effect_at_once(src: Src) -> None:
    src.configure(stale_seconds=0)
    fill(src, 10)
    src.configure(queue_working=10)
    assert src.status("busy-0010") == "pausing"


# Two users.


def test_owner_alone_may_act(src: Src) -> None:
    src.user = "researcher2"
    shown = src.get(GPU_BOX)
    assert shown["actions"] == ["resume", "update_nsgs", "update_storages"]
    assert shown["allowed_actions"] == []
    assert (shown["deletable"], shown["editable"]) == (False, False)
    for response in (
        src.act("gpu-box", "resume"),
        src.delete("gpu-box"),
        src.call("PATCH", f"workspaces/{GPU_BOX}/", json={"name": "mine"}),
        src.create(),
    ):
        assert response.status_code == 403
        assert response.json()["code"] == 403
    assert src.act("Training box 3", "pause").status_code == 200
    assert not src.world.effects[GPU_BOX]


def test_workspace_admin_may_act_for_others(src: Src) -> None:
    src.user = "researcher2"
    src.world.pick(src.world.users.values(), "username", "researcher2").roles[CO].add("src_ws_admin")
    assert src.get(GPU_BOX)["allowed_actions"] == ["resume", "update_nsgs", "update_storages"]
    assert src.act("gpu-box", "resume").status_code == 200
    assert src.newest("gpu-box")["issuer_display_name"] == "Other Researcher"


def test_foreign_collaboration_is_invisible(src: Src) -> None:
    src.user = "researcher2"
    assert src.call("GET", f"workspaces/{src.id_of('second-box')}/").status_code == 404
    assert "second-box" not in [each["name"] for each in src.listing()]


@pytest.mark.parametrize(("form", "status", "key"), [("drf", 403, "detail"), ("not_found", 404, "detail")])
def test_forms_of_a_missing_right(src: Src, form: str, status: int, key: str) -> None:
    src.configure(forbidden_form=form)
    src.user = "researcher2"
    response = src.act("gpu-box", "resume")
    assert response.status_code == status
    assert key in response.json()


# The gateway.


@pytest.mark.parametrize(
    ("token", "status", "error"),
    [
        (None, 401, "Authorization field missing"),
        ("", 401, "Authorization field missing"),
        ("nobody", 403, "Access to this API has been disallowed"),
        ("Bearer sandbox-src-researcher1", 403, "Access to this API has been disallowed"),
        ("Token sandbox-src-researcher1", 403, "Access to this API has been disallowed"),
    ],
)
@pytest.mark.parametrize("path", ["workspaces/", "no/such/path/"])
def test_stranger(src: Src, path: str, token: str | None, status: int, error: str) -> None:
    response = src.call("GET", path, token=token)
    assert (response.status_code, response.json()) == (status, {"error": error})
    assert response.headers["x-generator"] == "tyk.io"
    assert "x-ratelimit-limit" not in response.headers


def test_lenient_mode_strips_bearer_only(src: Src) -> None:
    src.configure(strict_auth=False)
    assert src.call("GET", "workspaces/", token="Bearer sandbox-src-researcher1").status_code == 200
    assert src.call("GET", "workspaces/", token="Token sandbox-src-researcher1").status_code == 403


def edit_token(src: Src, **changes: object) -> None:
    url = f"{src.sandbox.url}/_sandbox/src/token/researcher1"
    assert src.session.patch(url, json=changes, timeout=5).status_code == 200


def test_token_expires_during_a_run_and_is_replaced(src: Src) -> None:
    old = src.sandbox.tokens["researcher1"]
    edit_token(src, expires_in=60)
    assert src.call("GET", "workspaces/").status_code == 200
    src.advance(60)
    expired = src.call("GET", "workspaces/")
    assert (expired.status_code, expired.json()) == (401, {"error": "Key has expired, please renew"})
    edit_token(src, value="sandbox-src-renewed")
    assert src.sandbox.tokens["researcher1"] == "sandbox-src-renewed"
    assert src.call("GET", "workspaces/").status_code == 200
    assert src.call("GET", "workspaces/", token=old).status_code == 401


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"purged": True}, "Access to this API has been disallowed"),
        ({"active": False}, "Key is inactive, please renew"),
    ],
)
def test_revoked_token_is_403_with_the_gateways_body(src: Src, change: dict[str, bool], error: str) -> None:
    edit_token(src, **change)
    response = src.call("GET", "workspaces/")
    assert (response.status_code, response.json()) == (403, {"error": error})


def test_headers_describe_a_quota_that_does_not_exist(src: Src) -> None:
    headers = src.call("GET", "users/self/", "user").headers
    assert [headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["-1", "0", "0"]


def limited(src: Src, **switches: object) -> None:
    src.configure(limit=3, window=60.0, limit_clock="virtual", **switches)
    src.sandbox.state.src.limiter.reset()


def statuses(src: Src, count: int) -> list[int]:
    return [src.call("GET", "users/self/", "user").status_code for _ in range(count)]


def test_window_is_fixed_from_the_first_request_and_shared_by_services(src: Src) -> None:
    limited(src)
    assert statuses(src, 2) == [200, 200]
    src.advance(59)
    assert src.call("GET", "wallets/", "wallet").status_code == 200
    refused = src.call("GET", "workspaces/")
    assert (refused.status_code, refused.json()) == (429, {"error": "Rate Limit Exceeded"})
    assert not {"retry-after", "x-ratelimit-limit", "x-ratelimit-remaining"} & {key.lower() for key in refused.headers}
    src.advance(1)
    assert statuses(src, 4) == [200, 200, 200, 429]
    src.user = "researcher2"
    assert statuses(src, 1) == [200]


def test_sliding_window_counts_what_it_refuses(src: Src) -> None:
    limited(src, limit_mode="sliding", count_refused=True)
    assert statuses(src, 4) == [200, 200, 200, 429]
    src.advance(59)
    assert statuses(src, 3) == [429, 429, 429]
    src.advance(30)
    assert statuses(src, 1) == [429]
    src.advance(60)
    assert statuses(src, 1) == [200]


def test_gateway_can_tell_the_truth(src: Src) -> None:
    limited(src, real_headers=True, retry_after=True, old_limit_text=True)
    good = src.call("GET", "workspaces/")
    assert (good.headers["x-ratelimit-limit"], good.headers["x-ratelimit-remaining"]) == ("3", "2")
    statuses(src, 2)
    refused = src.call("GET", "workspaces/")
    assert refused.json() == {"error": "Rate limit exceeded"}
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 55 <= int(refused.headers["retry-after"]) <= 61


def test_services_can_be_counted_apart(src: Src) -> None:
    limited(src, limit_per_service=True)
    assert statuses(src, 4) == [200, 200, 200, 429]
    assert src.call("GET", "workspaces/").status_code == 200


# Answers that get lost or spoilt on the way.


def test_action_is_done_although_its_answer_is_lost(src: Src) -> None:
    src.sandbox.fault(service="src", method="POST", action="close", when="after")
    with pytest.raises(requests.ConnectionError):
        src.act("gpu-box", "resume")
    assert src.world.effects[GPU_BOX] == {"resume": 1}
    assert src.newest("gpu-box")["type"] == "resume"


def test_creation_is_done_although_its_answer_is_lost(src: Src) -> None:
    src.sandbox.fault(service="src", method="POST", action="close", when="after")
    with pytest.raises(requests.ConnectionError):
        src.create()
    assert src.world.created_names == Counter({"new-box": 1})
    assert len(src.listing(name="new-box", co_id=CO)) == 1


def test_gateway_page_instead_of_an_answer(src: Src) -> None:
    src.sandbox.fault(service="src", method="POST", action="html", status=504)
    response = src.act("gpu-box", "resume")
    assert response.status_code == 504
    assert "<html>" in response.text
    assert not src.world.effects


# Control.


def test_control_edits(src: Src) -> None:
    def patch(path: str, **changes: object) -> requests.Response:
        return src.session.patch(f"{src.sandbox.url}/_sandbox/src/{path}", json=changes, timeout=5)

    src.configure(stale_seconds=0)
    assert len(patch("add_workspaces/pool", count=3, size="A10 - 1 GPU", status="paused").json()["ids"]) == 3
    assert src.status("pool-0003") == "paused"
    assert patch("flavour/A10 - 2 GPU", free=1).json()["free"] == 1
    assert patch("platform/login-box", type="pause", reason="SCHEDULE").status_code == 200
    assert src.newest("login-box")["reason"] == "SCHEDULE"
    assert patch("platform/login-box", type="pause").status_code == 400
    assert patch("plan/resume", outcome="cancelled", error="").json()["type"] == "resume"
    src.act("gpu-box", "resume")
    src.advance(600)
    assert (src.newest("gpu-box")["status"], src.newest("gpu-box")["result"]) == ("cancelled", {})
    assert patch("wallet/SRC account for Second Project", empty=True).json()["empty"] is True
    assert src.status("second-box") == "pausing"
    assert patch("workspace/ends-soon", end_in=10).status_code == 200
    src.advance(10)
    assert src.status("ends-soon") == "deleting"
    assert patch("user/researcher2", roles={"Example Project": ["src_ws_admin"]}).status_code == 200
    assert patch("plan/resume", outcome="sideways").status_code == 400
    assert patch("workspace/gpu-box", colour="red").status_code == 400
    assert patch("workspace/no-box", status="paused").status_code == 404
    assert patch("weather/rain", wet=True).status_code == 404
    state = src.session.get(f"{src.sandbox.url}/_sandbox/state", timeout=5).json()["src"]
    assert state["effects"][GPU_BOX]["accepted"] == {"resume": 1}
    assert state["queue"] == {"working": 0, "waiting": 0}


def test_reset_gives_the_same_ids_again(src: Src) -> None:
    before = {each["name"]: each["id"] for each in src.listing()}
    src.act("gpu-box", "resume")
    src.sandbox.reset()
    assert {each["name"]: each["id"] for each in src.listing()} == before
    assert src.status("gpu-box") == "paused"
    assert src.sandbox.counters()["effects"].get("src", {}) == {}


def test_own_seed() -> None:
    seed = {
        "collaborations": [{"name": "Only", "short_name": "only"}],
        "users": [{"username": "me", "display_name": "Me", "token": "sandbox-src-me", "collaborations": {"Only": []}}],
        "wallets": [{"name": "purse", "collaborations": ["Only"], "budgets": [["cpu"]]}],
        "subscriptions": [{"name": "cloud", "tag": "tag", "group_id": "group"}],
        "flavours": [{"name": "os", "category": "os"}, {"name": "small", "category": "size", "product": "cpu"}],
        "items": [
            {"name": "box", "kind": "Compute", "offerings": [{"subscription": "cloud", "flavours": ["os", "small"]}]}
        ],
        "workspaces": [{"name": "mine"}],
    }
    with Sandbox(seed={"src": seed}) as sandbox:
        src = Src(sandbox)
        src.user = "me"
        assert [each["name"] for each in src.listing()] == ["mine"]


def test_thousand_workspaces_in_ten_calls(src: Src) -> None:
    src.world.add_workspaces(1000, "fleet")
    found = [each for offset in range(0, 1000, 100) for each in src.listing(name="fleet", offset=offset)]
    assert len({each["id"] for each in found}) == 1000
