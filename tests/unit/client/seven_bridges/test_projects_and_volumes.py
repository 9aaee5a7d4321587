"""Projects by exact name, volumes level by level, and the small resources."""

from __future__ import annotations

import pytest

from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.client.seven_bridges.platforms import PLATFORMS, base_url
from airflow_src_provider.exceptions import BadAnswerError, InvalidInputError
from tests.unit.client.fakes import Call, FakeSession

FILE = "65a1f1e4e4b0a77ec4fd2064"
FOLDER = "65a1f0c2e4b0a77ec4fd2000"


def projects(*names):
    return {"items": [{"id": f"o/{i}", "name": name} for i, name in enumerate(names)], "links": []}


def test_a_project_is_found_by_its_exact_name_with_one_call():
    session = FakeSession(projects("rnaseq cohort 2", "RNAseq cohort", "RNAseq cohort 3"))
    assert SevenBridgesClient(session).projects.find("RNAseq cohort", fields=("settings",))["id"] == "o/1"
    assert session.last.query == {"name": "RNAseq cohort", "fields": "id,name,settings", "offset": 0, "limit": 100}
    assert session.calls == 1


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["cohort", "cohort"], ["2 projects", "o/0", "o/1"]),
        (["Cohort", "cohort 2"], ["'Cohort' (o/0)", "'cohort 2' (o/1)"]),
        ([], ["none"]),
    ],
)
def test_several_or_no_project_is_an_error_that_lists_the_choices(names, told):
    with pytest.raises(InvalidInputError) as caught:
        SevenBridgesClient(FakeSession(projects(*names))).projects.find("cohort")
    assert all(part in str(caught.value) for part in told)


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (lambda c: c.users.me(), "GET", "/user", None),
        (lambda c: c.users.get("lab user"), "GET", "/users/lab%20user", None),
        (lambda c: c.rate_limit.get(), "GET", "/rate_limit", None),
        (lambda c: c.projects.get("o/p"), "GET", "/projects/o/p", None),
        (
            lambda c: c.projects.create("n", billing_group="b", tags=[]),
            "POST",
            "/projects",
            {"name": "n", "billing_group": "b", "tags": []},
        ),
        (lambda c: c.projects.update("o/p", {"name": "n"}), "PATCH", "/projects/o/p", {"name": "n"}),
        (lambda c: c.projects.members.get("o/p", "u"), "GET", "/projects/o/p/members/u", None),
        (
            lambda c: c.projects.members.add("o/p", "u", {"read": True}),
            "POST",
            "/projects/o/p/members",
            {"username": "u", "permissions": {"read": True}},
        ),
        (
            lambda c: c.volumes.members.set_permissions("o/v", "u", {"read": True}),
            "PATCH",
            "/storage/volumes/o/v/members/u/permissions",
            {"read": True},
        ),
        (lambda c: c.volumes.get("o/v"), "GET", "/storage/volumes/o/v", None),
        (
            lambda c: c.volumes.create({"name": "v", "service": {"type": "s3"}}),
            "POST",
            "/storage/volumes",
            {"name": "v", "service": {"type": "s3"}},
        ),
        (lambda c: c.volumes.update("o/v", {"active": False}), "PATCH", "/storage/volumes/o/v", {"active": False}),
        (lambda c: c.volumes.get_object("o/v", "a/b"), "GET", "/storage/volumes/o/v/object", None),
        (lambda c: c.apps.raw("o/p/a/3"), "GET", "/apps/o/p/a/3/raw", None),
        (lambda c: c.apps.copy("o/p/a", "o/q"), "POST", "/apps/o/p/a/actions/copy", {"project": "o/q"}),
        (lambda c: c.apps.sync("o/p/a"), "POST", "/apps/o/p/a/actions/sync", None),
        (
            lambda c: c.async_jobs.copy([{"file": FILE, "project": "o/p", "name": "n"}]),
            "POST",
            "/async/files/copy",
            {"items": [{"file": FILE, "project": "o/p", "name": "n"}]},
        ),
        (
            lambda c: c.async_jobs.move([{"file": FILE, "parent": FOLDER}]),
            "POST",
            "/async/files/move",
            {"items": [{"file": FILE, "parent": FOLDER}]},
        ),
        (
            lambda c: c.async_jobs.delete([FILE, FILE]),
            "POST",
            "/async/files/delete",
            {"items": [{"file": FILE}]},
        ),
        (lambda c: c.async_jobs.get("copy", "56498"), "GET", "/async/files/copy/56498", None),
    ],
)
def test_single_calls(call, method, path, body):
    session = FakeSession({"id": "x"})
    assert call(SevenBridgesClient(session)) == {"id": "x"}
    assert (session.last.method, session.last.path, session.last.json) == (method, path, body)


@pytest.mark.parametrize(
    ("call", "path", "query"),
    [
        (lambda c: c.projects.list(owner="o", tags=["a", "b"]), "/projects/o", {"tags": "a,b", "fields": "id,name"}),
        (lambda c: c.projects.members.list("o/p"), "/projects/o/p/members", {}),
        (lambda c: c.volumes.list(), "/storage/volumes", {"fields": "id,name"}),
        (lambda c: c.billing.list(), "/billing/groups", {"fields": "id,name"}),
        (lambda c: c.async_jobs.list(), "/async/files", {}),
        (
            lambda c: c.apps.list(visibility="PUBLIC", query="salmon", fields=None),
            "/apps",
            {"visibility": "PUBLIC", "q": "salmon"},
        ),
    ],
)
def test_lists(call, path, query):
    session = FakeSession({"items": [{"id": "a"}], "links": []})
    assert list(call(SevenBridgesClient(session))) == [{"id": "a"}]
    assert session.last.path == path
    assert session.last.query == {**query, "offset": 0, "limit": 100}


def test_an_app_is_read_without_its_workflow():
    session = FakeSession({"id": "o/p/a"})
    SevenBridgesClient(session).apps.get("o/p/a")
    assert "raw" not in session.last.query["fields"]


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.projects.get("p"),
        lambda c: c.projects.update("o/p", {}),
        lambda c: c.projects.create(" "),
        lambda c: c.projects.find(""),
        lambda c: c.volumes.get("v"),
        lambda c: c.volumes.create({"name": "v"}),
        lambda c: c.volumes.update("o/v", {}),
        lambda c: c.billing.get("x"),
        lambda c: c.apps.get("o/p"),
        lambda c: c.apps.list(visibility="public"),
        lambda c: c.apps.copy("o/p/a", "o/q", strategy="x"),
        lambda c: c.async_jobs.get("erase", "1"),
        lambda c: c.async_jobs.copy([{"file": FILE}]),
        lambda c: c.async_jobs.copy([{"file": FILE, "project": "o/p", "parent": FOLDER}]),
        lambda c: c.async_jobs.copy([{"file": "x", "project": "o/p"}]),
        lambda c: c.async_jobs.move([5]),
        lambda c: c.async_jobs.delete([f"{i:024x}" for i in range(101)]),
    ],
)
def test_refused_before_any_call(call):
    session = FakeSession()
    with pytest.raises(InvalidInputError):
        call(SevenBridgesClient(session))
    assert session.calls == 0


def test_deletes_need_no_answer():
    session = FakeSession(b"", b"", b"")
    client = SevenBridgesClient(session)
    client.projects.delete("o/p")
    client.volumes.delete("o/v")
    client.volumes.members.remove("o/v", "u")
    assert [c.method for c in session.sent] == ["DELETE"] * 3


def test_a_read_that_is_no_object_is_an_error():
    with pytest.raises(BadAnswerError):
        SevenBridgesClient(FakeSession([])).users.me()


def test_a_volume_is_walked_level_by_level():
    levels = {
        None: (["top"], ["a/", "b/"]),
        "a/": (["a/1", "a/2"], ["a/x/", "a/"]),
        "b/": ([], []),
        "a/x/": (["a/x/3"], []),
    }

    def answer(call: Call):
        objects, prefixes = levels[call.query.get("prefix")]
        return {"items": [{"location": o} for o in objects], "prefixes": [{"prefix": p} for p in prefixes], "links": []}

    session = FakeSession(always=answer)
    volumes = SevenBridgesClient(session).volumes
    assert [o["location"] for o in volumes.list_objects("o/v", recursive=True)] == ["top", "a/1", "a/2", "a/x/3"]
    assert session.calls == 4
    assert [o["location"] for o in volumes.list_objects("o/v", prefix="a/")] == ["a/1", "a/2"]
    (page,) = volumes.pages("o/v", prefix="a/")
    assert page.prefixes == ("a/x/", "a/")


def test_platforms():
    assert base_url() == "https://cgc-api.sbgenomics.com/v2"
    assert set(PLATFORMS) == {"cgc", "sb-us", "sb-eu", "sb-cn", "cavatica", "biodata-catalyst"}
    with pytest.raises(InvalidInputError, match="cavatica"):
        base_url("gcp")
