"""Lists, pages and filters of the four services, and the forms of what they show."""

from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.src_client import CO, GPU_BOX, SECOND_CO, WALLET, Src


def names(found: list[dict[str, object]]) -> set[str]:
    return {str(each["name"]) for each in found}


def test_ten_per_page_when_no_limit_is_given(src: Src) -> None:
    page = src.call("GET", "workspaces/").json()
    assert page["count"] == 14
    assert len(page["results"]) == 10
    assert page["previous"] is None
    assert parse_qs(urlsplit(page["next"]).query) == {"limit": ["10"], "offset": ["10"]}
    last = src.call("GET", "workspaces/?limit=10&offset=10").json()
    assert (len(last["results"]), last["next"]) == (4, None)
    assert parse_qs(urlsplit(last["previous"]).query) == {"limit": ["10"]}


def test_next_keeps_the_filter_and_can_name_another_host(src: Src) -> None:
    src.configure(next_host="internal.example.org")
    link = urlsplit(src.call("GET", "workspaces/?deleted=false&limit=3").json()["next"])
    assert link.netloc == "internal.example.org"
    assert parse_qs(link.query) == {"deleted": ["false"], "limit": ["3"], "offset": ["3"]}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 130), order=st.sampled_from(["id", "newest", "oldest"]))
def test_walking_pages_finds_everything_once(src: Src, limit: int, order: str) -> None:
    src.configure(list_order=order, limits=False)
    if len(src.world.workspaces) == 14:
        src.world.add_workspaces(111)
    seen: list[str] = []
    while True:
        page = src.call("GET", "workspaces/", params={"limit": limit, "offset": len(seen)}).json()
        seen += [each["id"] for each in page["results"]]
        if page["next"] is None:
            break
    assert len(seen) == len(set(seen)) == page["count"] == 125


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=many", "limit=", "offset=-3"])
def test_senseless_paging_is_ignored(src: Src, query: str) -> None:
    assert len(src.call("GET", f"workspaces/?{query}").json()["results"]) == 10


def test_offset_behind_the_end_is_an_empty_page(src: Src) -> None:
    page = src.call("GET", "workspaces/?offset=500").json()
    assert (page["results"], page["next"], page["count"]) == ([], None, 14)


def test_filters(src: Src) -> None:
    assert names(src.listing(application_type="Storage")) == {"reference-data", "course-data"}
    assert names(src.listing(application_type="Network")) == {"lab-network"}
    assert names(src.listing(name="training")) == {"Training box 1", "Training box 2", "Training box 3"}
    assert names(src.listing(status="in-use")) == {"course-data"}
    assert names(src.listing(co_id=SECOND_CO)) == {"second-box"}
    assert names(src.listing(id=GPU_BOX)) == {"gpu-box"}
    assert names(src.listing(deleted="true")) == {"old-box"}
    assert "old-box" in names(src.listing())
    assert "old-box" not in names(src.listing(deleted="false"))
    assert "Training box 3" not in names(src.listing(by_owner="true"))
    assert len(src.listing(wallet_id=WALLET)) == 13
    assert names(src.listing(name="gpu", status="paused", deleted="false")) == {"gpu-box", "big-gpu-box"}


def test_filter_that_is_no_uuid_is_400(src: Src) -> None:
    response = src.call("GET", "workspaces/?co_id=Example")
    assert (response.status_code, response.json()["code"]) == (400, 400)


def test_order_can_be_by_age(src: Src) -> None:
    src.world.add_workspace("youngest", created_ago=5)
    src.configure(list_order="newest")
    assert src.listing()[0]["name"] == "youngest"
    src.configure(list_order="oldest")
    assert src.listing()[0]["name"] == "old-box"


def test_times_have_microseconds_and_zone(src: Src) -> None:
    box = src.get(GPU_BOX)
    for key in ("time_created", "end_time"):
        assert box[key].endswith("Z")
        assert len(box[key]) == len("2026-10-07T10:20:30.123456Z")
        assert datetime.fromisoformat(box[key]).tzinfo is not None
    assert box["time_deleted"] is None


def test_compute_has_every_documented_key(src: Src) -> None:
    box = src.get(GPU_BOX)
    assert {"vm_id", "workspace_fqdn", "flavor_name", "instance_user", "ip", "application_type"} <= set(
        box["resource_meta"]
    )
    assert "gpu" in box["resource_meta"]["flavor_name"]
    assert box["resource_meta"]["workspace_fqdn"] == "gpu-box.example-project.src.surf-hosted.nl"
    assert box["meta"]["wallet_name"] == "SRC account for Example Project"
    assert [each["category"] for each in box["meta"]["flavours"]] == ["os", "size"]
    assert box["meta"]["storages"][0]["type"] == "Workspace"


def test_other_kinds_show_what_they_have(src: Src) -> None:
    network, ip, storage = (src.get(src.id_of(name)) for name in ("lab-network", "lab-ip", "course-data"))
    assert network["meta"]["subscription_name"] == "SURF HPC Cloud Network"
    assert {"network_id", "subnet_id", "subnet_cidr"} <= set(network["resource_meta"])
    assert ip["resource_meta"]["address"]
    assert storage["resource_meta"]["resource_type"] == "Storage-Volume"
    assert storage["end_time"] is network["end_time"] is ip["end_time"] is None
    assert storage["actions"] == storage["allowed_actions"] == []


def test_users_self(src: Src) -> None:
    me = src.call("GET", "users/self/", "user").json()
    assert [(co["co_name"], co["id"] == co["co_id"]) for co in me["COs"]] == [
        ("Example Project", True),
        ("Second Project", True),
    ]
    src.configure(co_id_differs=True)
    co = src.call("GET", "users/self/", "user").json()["COs"][0]
    assert (co["id"], co["id"] == co["co_id"]) == (CO, False)


def test_login_gate_of_a_collaboration(src: Src) -> None:
    inside = src.call("GET", f"users/cos/{CO}/?co_role=src_co_wallet", "user")
    assert (inside.status_code, inside.headers["username"]) == (200, "researcher1")
    assert src.call("GET", f"users/cos/{CO}/?co_role=src_ws_admin", "user").status_code == 401
    src.user = "researcher2"
    assert src.call("GET", f"users/cos/{SECOND_CO}/", "user").status_code == 401


def test_own_tokens_are_listed_without_their_value(src: Src) -> None:
    response = src.call("GET", "users/tokens/", "user")
    assert len(response.json()) == 1
    assert src.sandbox.tokens["researcher1"] not in response.text


def test_wallets_are_an_array_or_a_page(src: Src) -> None:
    wallets = src.call("GET", "wallets/", "wallet").json()
    assert [wallet["name"] for wallet in wallets] == [
        "SRC account for Example Project",
        "SRC account for Second Project",
    ]
    assert "daphne-gpu" not in wallets[0]["budgets"][0]["products"]
    assert "daphne-gpu" in wallets[0]["budgets"][1]["products"]
    src.configure(wallets_as_page=True)
    assert src.call("GET", "wallets/", "wallet").json()["results"] == wallets
    src.user = "researcher2"
    assert src.call("GET", "wallets/", "wallet").json()["count"] == 1


def catalog(src: Src, path: str, *products: str, co: str = CO, **query: str) -> dict[str, object]:
    response = src.call("GET", path, "catalog", params={"co": co, "product": products, **query})
    assert response.status_code == 200, response.text
    found: dict[str, object] = response.json()
    return found


def test_catalog_items_depend_on_collaboration_type_and_products(src: Src) -> None:
    path = "catalog_items/offerings/"
    everything = catalog(src, path, "daphne-compute", "daphne-gpu", "hpcc-hdd")
    assert everything["count"] == 6
    assert catalog(src, path, "daphne-compute", co=SECOND_CO, type="Compute")["count"] == 2
    assert [each["name"] for each in catalog(src, path, "hpcc-hdd", type="Storage")["results"]] == ["Storage volume"]
    assert catalog(src, path, "something-else", type="Compute")["count"] == 0
    assert catalog(src, path)["count"] == 0


def test_offerings_show_flavours_that_the_products_pay_for(src: Src) -> None:
    item = catalog(src, "catalog_items/offerings/", "daphne-compute", type="Compute")["results"][0]
    path = f"catalog_items/{item['id']}/offerings/"
    cpu_only, both = catalog(src, path, "daphne-compute"), catalog(src, path, "daphne-gpu")
    assert [each["subscription"]["name"] for each in cpu_only["results"]] == ["SURF HPC Cloud", "Oracle Cloud"]
    assert not [each for each in cpu_only["results"][0]["flavours"] if "GPU" in each["name"]]
    flavours = {each["name"]: each for each in both["results"][0]["flavours"]}
    assert flavours["Ubuntu 22.04"]["available"] is None
    assert flavours["A10 - 1 GPU"]["available"] is True
    assert flavours["A10 - 2 GPU"]["available"] is False
    assert flavours["RTX2080 - 1 GPU (disabled)"]["status"] == "disabled"
    tags = {tag["key"]: tag["value"] for tag in flavours["A10 - 2 GPU"]["tags"]}
    assert (tags["GPU"], tags["Cost RCCS (credits/day)"]) == ("2", "1008")
    assert both["results"][0]["overridable_parameters"] == [{"key": "username"}]
    src.configure(optional_parameters_object=True)
    assert catalog(src, path, "daphne-gpu")["results"][0]["optional_parameters"] == {"username": {}}


def test_availability_follows_capacity(src: Src) -> None:
    def available() -> bool:
        item = catalog(src, "catalog_items/offerings/", "daphne-gpu", type="Compute")["results"][0]
        offering = catalog(src, f"catalog_items/{item['id']}/offerings/", "daphne-gpu")["results"][0]
        return bool(next(each for each in offering["flavours"] if each["name"] == "A10 - 1 GPU")["available"])

    src.world.set_free(src.world.pick(src.world.flavours.values(), "name", "A10 - 1 GPU"), 1)
    assert available()
    src.act("gpu-box", "resume")
    assert not available()
    src.advance(75)
    src.act("gpu-box", "pause")
    src.advance(44)
    assert not available()
    src.advance(1)
    assert available()


@pytest.mark.parametrize("query", ["", "?co=nobody", "?type=Car&co=" + CO])
def test_wrong_catalog_query_is_400(src: Src, query: str) -> None:
    assert src.call("GET", f"catalog_items/offerings/{query}", "catalog").status_code == 400


def test_components_are_for_developers(src: Src) -> None:
    assert src.call("PUT", "components/abc/", "catalog", json={"name": "role"}).status_code == 403
    src.world.users["1d0c6a35-5a0e-4f7b-9a39-0b9f2a6f6a10"].developer = True
    assert src.call("PUT", "components/abc/", "catalog", json={"name": "role"}).json()["name"] == "role"
    assert src.call("PUT", "components/abc/versions/1.2/promote/", "catalog").json()["live_version"] == "1.2"


def test_paths_work_without_the_version(src: Src) -> None:
    url = f"{src.sandbox.url}/workspace/workspaces/?limit=2"
    page = src.session.get(url, headers={"authorization": src.sandbox.tokens["researcher1"]}, timeout=5).json()
    assert len(page["results"]) == 2
    assert urlsplit(page["next"]).path == "/workspace/workspaces/"


def test_missing_slash_redirects_a_read_and_loses_a_write(src: Src) -> None:
    read = src.call("GET", "workspaces?limit=1")
    assert (read.status_code, read.headers["location"]) == (301, "/v1/workspace/workspaces/?limit=1")
    for method, path in [
        ("POST", "workspaces"),
        ("PATCH", f"workspaces/{GPU_BOX}"),
        ("DELETE", f"workspaces/{GPU_BOX}"),
        ("POST", f"workspaces/{GPU_BOX}/actions/resume"),
    ]:
        assert src.call(method, path, json={}).status_code == 404
    assert not src.world.effects


@pytest.mark.parametrize("path", ["catalog/", "storage/", "co/", "wallets/", "nothing"])
def test_invented_paths_do_not_exist(src: Src, path: str) -> None:
    response = src.call("GET", path)
    assert (response.status_code, response.text) == (404, "Not Found")


def test_known_path_with_another_method(src: Src) -> None:
    response = src.call("PUT", f"workspaces/{GPU_BOX}/", json={})
    assert (response.status_code, response.json()) == (405, {"detail": 'Method "PUT" not allowed.'})


@pytest.mark.parametrize("accept", ["application/json", "application/json;Compute", "*/*"])
def test_documented_media_types_are_accepted(src: Src, accept: str) -> None:
    response = src.call(
        "POST",
        f"workspaces/{GPU_BOX}/actions/resume/",
        data="{}",
        headers={"accept": accept, "content-type": "application/json;resume", "X-CSRFTOKEN": "ignored"},
    )
    assert response.status_code == 200


def test_content_type_can_name_the_kind(src: Src) -> None:
    assert src.call("GET", f"workspaces/{GPU_BOX}/").headers["content-type"] == "application/json"
    src.configure(typed_content_type=True)
    assert src.call("GET", f"workspaces/{GPU_BOX}/").headers["content-type"] == "application/json;Compute"


def test_logs(src: Src) -> None:
    response = src.call("GET", f"workspaces/{GPU_BOX}/logs/")
    assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, "text/plain")
    missing = src.call("GET", f"workspaces/{src.id_of('old-box')}/logs/")
    assert missing.status_code == 404
    assert isinstance(missing.json()["message"], str)
    src.configure(logs_survive_delete=True)
    assert src.call("GET", f"workspaces/{src.id_of('old-box')}/logs/").status_code == 200
