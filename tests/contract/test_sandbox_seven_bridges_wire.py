"""What all Seven Bridges calls of the sandbox share: wire forms, pages, fields, budget, errors."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.sb_client import ARCHIVE, BUCKET, COHORT, RESULTS, Sb

same_sandbox = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


# Who is calling


def test_only_the_entry_point_needs_no_token(sb: Sb) -> None:
    entry = sb.session.get(f"{sb.sandbox.sb_url}/", timeout=5)
    assert entry.json()["files_url"] == f"{sb.sandbox.sb_url}/files"
    assert sb.session.get(f"{sb.sandbox.sb_url}/user", timeout=5).status_code == 401
    assert sb.refused("GET", "/user", headers={"X-SBG-Auth-Token": "wrong"}) == (401, 90001)


@pytest.mark.parametrize("name", ["X-SBG-Auth-Token", "x-sbg-session-id", "Authorization"])
def test_three_headers_can_carry_the_token(sb: Sb, name: str) -> None:
    token = sb.sandbox.tokens["labuser"]
    value = f"Bearer {token}" if name == "Authorization" else token
    answer = sb.session.get(f"{sb.sandbox.sb_url}/user", headers={name: value}, timeout=5)
    assert answer.json()["username"] == "labuser"


def test_users_see_themselves_only(sb: Sb) -> None:
    assert sb.ok("GET", "/users/labuser")["email"] == "labuser@example.org"
    assert sb.refused("GET", "/users/guest") == (403, 2001)


# Oddities of real clients


def test_null_bodies_and_python_booleans_are_accepted(sb: Sb) -> None:
    json_type = {"Content-Type": "application/json"}
    assert sb.ok("GET", "/user", data="null", headers=json_type)["username"] == "labuser"
    draft = sb.ok("POST", "/tasks", sb.batch_body(sb.ids(ARCHIVE, 4)))
    path = f"/tasks/{draft['id']}/actions/run?batch=False&use_interruptible_instances=True"
    ran = sb.ok("POST", path, data="null", headers=json_type)
    assert (ran["batch"], ran["use_interruptible_instances"]) == (False, True)
    gone = sb.send("DELETE", f"/files/{sb.ids(ARCHIVE, 1)[0]}", {})
    assert (gone.status_code, gone.content) == (204, b"")


def test_slashes(sb: Sb) -> None:
    assert sb.ok("GET", "/projects/")["items"] == sb.ok("GET", "/projects")["items"]
    assert len(sb.ok("GET", "/files?project=labuser%2Ffastq-archive&limit=3")["items"]) == 3
    assert sb.ok("GET", f"/projects/{COHORT.replace('/', '%2F')}")["id"] == COHORT


def test_every_answer_carries_the_budget_and_an_id(sb: Sb) -> None:
    answers = [sb.send("GET", "/user"), sb.send("GET", "/nothing"), sb.send("GET", "/files/x")]
    answers.append(sb.send("GET", "/user", headers={"X-SBG-Auth-Token": "wrong"}))
    for answer in answers:
        assert answer.headers["X-RateLimit-Limit"] == "1000"
        assert answer.headers["X-RateLimit-Remaining"].isdigit()
        assert 0 < int(answer.headers["X-RateLimit-Reset"]) - time.time() < 302
        assert "Retry-After" not in answer.headers
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


# Pages


@pytest.mark.parametrize(
    "path",
    ["/projects", f"/files?project={ARCHIVE}", "/tasks", "/apps", "/storage/volumes", "/storage/imports",
     "/storage/exports", "/async/files", "/billing/groups", f"/projects/{COHORT}/members"],
)  # fmt: skip
def test_all_lists_have_the_same_form(sb: Sb, path: str) -> None:
    answer = sb.send("GET", path)
    body = answer.json()
    assert int(answer.headers["X-Total-Matching-Query"]) >= len(body["items"])
    assert body["href"] == sb.sandbox.sb_url + path
    assert isinstance(body["links"], list)
    assert all(item["href"].startswith(sb.sandbox.sb_url) for item in body["items"])


def test_fifty_per_page_when_nothing_is_said(sb: Sb) -> None:
    page = sb.ok("GET", f"/files?project={ARCHIVE}&tag=x&name=a")
    assert page["links"] == []
    page = sb.ok("GET", f"/files?project={ARCHIVE}&fields=id")
    assert len(page["items"]) == 50
    following = parse_qs(urlsplit(page["links"][0]["href"]).query)
    assert following == {"project": [ARCHIVE], "fields": ["id"], "offset": ["50"], "limit": ["50"]}
    second = sb.ok("GET", page["links"][0]["href"])
    assert [link["rel"] for link in second["links"]] == ["next", "prev"]


@same_sandbox
@given(limit=st.integers(17, 100), reverse=st.booleans())
def test_walking_pages_finds_everything_once_in_a_stable_order(sb: Sb, limit: int, reverse: bool) -> None:
    sb.configure(limits=False, list_order="reversed" if reverse else "created")
    ids = [item["id"] for item in sb.files(ARCHIVE, limit=limit, fields="id")]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids, reverse=reverse)


@pytest.mark.parametrize("query", ["limit=101", "limit=0", "limit=many", "offset=-1", "limit=-5"])
def test_impossible_pages_are_refused(sb: Sb, query: str) -> None:
    assert sb.refused("GET", f"/projects?{query}") == (400, 90000)


def test_a_long_page_can_be_cut_instead(sb: Sb) -> None:
    sb.configure(clamp_limit=True)
    assert len(sb.ok("GET", f"/files?project={ARCHIVE}&limit=500")["items"]) == 100


# Fields


def test_lists_are_thin_and_details_are_full(sb: Sb) -> None:
    item = sb.ok("GET", f"/files?project={ARCHIVE}&limit=1")["items"][0]
    assert set(item) == {"href", "id", "name", "project", "parent", "type"}
    full = sb.ok("GET", item["href"])
    assert set(full) > {"size", "storage", "origin", "tags", "metadata"}
    assert sb.ok("GET", f"/files?project={ARCHIVE}&limit=1&fields=_all")["items"][0] == full


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("id,name", {"id", "name"}),
        ("metadata.sample_id", {"metadata"}),
        ("!metadata,!storage", {"href", "id", "name", "project", "parent", "type", "created_on", "modified_on",
                                "size", "origin", "tags"}),
        ("nothing", set()),
        ("_all,!href,!metadata,!storage,!origin,!tags,!size,!created_on,!modified_on", {"id", "name", "project",
                                                                                        "parent", "type"}),
    ],
)  # fmt: skip
def test_fields_pick_parts(sb: Sb, fields: str, expected: set[str]) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    assert set(sb.ok("GET", f"/files/{file_id}?fields={fields}")) == expected


def test_dotted_fields_reach_inside_and_start_at_the_item_in_bulk(sb: Sb) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    assert sb.ok("GET", f"/files/{file_id}?fields=metadata.sample_id") == {"metadata": {"sample_id": "S0001"}}
    body = {"file_ids": [file_id, "0" * 24]}
    good, bad = sb.ok("POST", "/bulk/files/get?fields=resource.id,resource.metadata.paired_end", body)["items"]
    assert good == {"resource": {"id": file_id, "metadata": {"paired_end": "1"}}}
    assert bad["error"]["code"] == 5002


# Budget


def test_the_budget_ends_with_429_and_comes_back_all_at_once(sb: Sb) -> None:
    sb.configure(limit=3, limit_clock="virtual")
    left = [sb.send("GET", "/user").headers["X-RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = sb.send("GET", "/user")
    assert (refused.status_code, refused.json()["code"]) == (429, 1000)
    reset = int(refused.headers["X-RateLimit-Reset"])
    assert abs(reset - (sb.sandbox.clock.now() + 300)) <= 1
    assert "Retry-After" not in refused.headers
    sb.sandbox.advance(301)
    assert sb.send("GET", "/user").headers["X-RateLimit-Remaining"] == "2"


def test_the_budget_counts_by_token(sb: Sb) -> None:
    sb.configure(limit=1)
    assert sb.send("GET", "/user").status_code == 200
    assert sb.send("GET", "/user").status_code == 429
    sb.user = "guest"
    assert sb.send("GET", "/user").status_code == 200


def test_asking_for_the_budget_is_free_and_always_answered(sb: Sb) -> None:
    sb.configure(limit=2)
    assert sb.ok("GET", "/rate_limit")["rate"]["remaining"] == 2
    assert [sb.send("GET", "/user").status_code for _ in range(3)] == [200, 200, 429]
    limits = sb.ok("GET", "/rate_limit")
    assert (limits["rate"]["limit"], limits["rate"]["remaining"]) == (2, 0)
    assert limits["rate"]["reset"] > time.time()
    assert limits["instance_limit"] == {"limit": -1, "remaining": 9223372036854775807}
    sb.configure(rate_limit_counted=True)
    assert sb.refused("GET", "/rate_limit") == (429, 1000)


def test_client_errors_count_unless_switched(sb: Sb) -> None:
    sb.configure(limit=10)
    sb.send("GET", "/files/missing")
    assert sb.ok("GET", "/rate_limit")["rate"]["remaining"] == 9
    sb.configure(count_client_errors=False)
    sb.send("GET", "/files/missing")
    assert sb.ok("GET", "/rate_limit")["rate"]["remaining"] == 9


def test_the_forms_of_reset(sb: Sb) -> None:
    plain = int(sb.send("GET", "/user").headers["X-RateLimit-Reset"])
    sb.configure(reset_in_ms=True)
    assert int(sb.send("GET", "/user").headers["X-RateLimit-Reset"]) == plain * 1000
    sb.configure(reset_in_ms=False, reset_skew=-600.0)
    assert int(sb.send("GET", "/user").headers["X-RateLimit-Reset"]) == plain - 600
    honest = sb.send("GET", "/user").headers["Date"]
    sb.configure(reset_skew=0.0, clock_skew=-600.0)
    skewed = sb.send("GET", "/user")
    assert int(skewed.headers["X-RateLimit-Reset"]) == plain - 600
    assert skewed.headers["Date"] != honest
    sb.configure(limit=1, retry_after=True)
    assert 0 < int(sb.send("GET", "/user").headers["Retry-After"]) <= 300


# Trouble


def test_maintenance_is_503_with_code_0_for_all(sb: Sb) -> None:
    sb.configure(maintenance=True)
    assert sb.refused("GET", "/user") == (503, 0)
    assert sb.refused("POST", "/tasks", {}) == (503, 0)


def test_a_long_url_looks_like_maintenance(sb: Sb) -> None:
    names = "&".join(f"name=S{number:04d}_R1.fastq.gz" for number in range(400))
    assert sb.refused("GET", f"/files?project={ARCHIVE}&{names}") == (503, 0)
    short = names[:5000].rsplit("&", 1)[0]
    assert sb.ok("GET", f"/files?project={ARCHIVE}&limit=100&{short}")["items"]


def test_unknown_routes_and_methods(sb: Sb) -> None:
    for method, path in (("GET", "/nothing"), ("POST", "/files/paths"), ("POST", "/bulk/tasks/create")):
        answer = sb.send(method, path, {})
        assert (answer.status_code, answer.json()["status"]) == (404, "NOT_FOUND")
        assert "code" not in answer.json()
    assert sb.refused("DELETE", "/projects") == (405, 90006)


def test_bodies_that_are_not_json(sb: Sb) -> None:
    json_type = {"Content-Type": "application/json"}
    assert sb.refused("POST", "/tasks", data="{", headers=json_type) == (500, 90009)
    assert sb.refused("POST", "/tasks", data="<p>", headers={"Content-Type": "text/html"}) == (415, 90008)
    assert sb.refused("POST", "/tasks", data="[]", headers=json_type) == (400, 90000)


@pytest.mark.parametrize(
    ("method", "path", "body", "error"),
    [
        ("GET", "/projects/labuser/none", None, (404, 3002)),
        ("GET", "/billing/groups/none", None, (404, 4002)),
        ("GET", "/files/none", None, (404, 5002)),
        ("GET", "/files", None, (400, 5029)),
        ("GET", f"/files?project={COHORT}&parent=x", None, (400, 5031)),
        ("GET", "/files?project=nothing", None, (400, 5005)),
        ("GET", "/files?parent=none", None, (404, 5026)),
        ("GET", "/apps/labuser/rnaseq-cohort/none", None, (404, 6002)),
        ("GET", "/apps?visibility=SOME", None, (400, 6012)),
        ("GET", "/tasks/none", None, (400, 7005)),
        ("GET", "/tasks/00000000-0000-4000-8000-000000000000", None, (404, 7002)),
        ("GET", "/tasks?status=BROKEN", None, (400, 7006)),
        ("GET", "/storage/volumes/labuser/none", None, (404, 9007)),
        ("GET", "/storage/imports/none", None, (404, 9008)),
        ("GET", "/async/files/copy/1", None, (404, 57039)),
        ("POST", "/projects", {}, (400, 3007)),
        ("POST", "/projects", {"name": "x"}, (400, 3008)),
        ("POST", "/projects", {"name": "x", "billing_group": "y"}, (404, 4002)),
    ],
)
def test_each_unknown_thing_has_its_code(sb: Sb, method: str, path: str, body: Any, error: tuple[int, int]) -> None:
    assert sb.refused(method, path, body) == error


def test_early_features_can_insist_on_their_header(sb: Sb) -> None:
    scroll = f"/files/scroll?project={COHORT}&token=init"
    export = sb.export_body(sb.ids(COHORT)[0], "out/x")
    assert sb.ok("GET", scroll)["items"]
    sb.configure(require_advance_access=True)
    assert sb.refused("GET", scroll) == (403, 90002)
    assert sb.refused("POST", "/storage/exports?copy_only=true", export) == (403, 90002)
    header = {"X-Sbg-Advance-Access": "Advance"}
    assert sb.ok("GET", scroll, headers=header)["items"]
    assert sb.ok("POST", "/storage/exports?copy_only=true", export, headers=header)["state"] == "PENDING"


# Projects and rights


def test_project_names_match_in_part_and_ids_stay(sb: Sb) -> None:
    assert [item["id"] for item in sb.ok("GET", "/projects?name=rnaSEQ")["items"]] == [COHORT, RESULTS]
    assert set(sb.ok("GET", "/projects")["items"][0]) == {"href", "id", "name"}
    group = sb.ok("GET", "/billing/groups")["items"][0]["id"]
    ids = [sb.ok("POST", "/projects", {"name": "My New_Project!", "billing_group": group})["id"] for _ in range(2)]
    assert ids == ["labuser/my-new-project", "labuser/my-new-project_1"]
    renamed = sb.ok("PATCH", f"/projects/{ids[0]}", {"name": "Other"})
    assert (renamed["id"], renamed["name"]) == (ids[0], "Other")
    assert sb.send("DELETE", f"/projects/{ids[0]}").status_code == 204
    assert sb.refused("GET", f"/projects/{ids[0]}") == (404, 3002)


def test_rights_of_a_guest(sb: Sb) -> None:
    file_id = sb.ids(COHORT)[0]
    sb.user = "guest"
    assert [item["id"] for item in sb.ok("GET", "/projects")["items"]] == [RESULTS]
    assert sb.refused("GET", f"/projects/{COHORT}") == (403, 3001)
    assert sb.refused("GET", f"/files/{file_id}") == (403, 5001)
    folder = {"name": "x", "type": "folder", "project": RESULTS}
    assert sb.refused("POST", "/files", folder) == (403, 3001)
    assert sb.refused("GET", f"/storage/volumes/{BUCKET}") == (403, 9020)
    public = sb.ok("GET", "/projects?category=PUBLIC")["items"]
    assert [item["id"] for item in public] == ["sandbox-public/reference"]


def test_members_get_rights(sb: Sb) -> None:
    member = {"username": "guest", "permissions": {"read": True, "write": True}}
    assert sb.ok("POST", f"/projects/{COHORT}/members", member)["permissions"]["write"] is True
    rights = sb.ok("PATCH", f"/projects/{COHORT}/members/guest/permissions", {"write": False})
    assert (rights["read"], rights["write"]) == (True, False)
    assert sb.send("DELETE", f"/projects/{COHORT}/members/guest").status_code == 204
    assert sb.refused("GET", f"/projects/{COHORT}/members/guest") == (404, 3002)
    assert sb.ok("POST", f"/storage/volumes/{BUCKET}/members", member)["username"] == "guest"
    sb.user = "guest"
    assert sb.ok("GET", f"/storage/volumes/{BUCKET}")["id"] == BUCKET
