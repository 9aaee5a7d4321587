"""From names to the body that creates a workspace, with as few calls as there are names."""

from __future__ import annotations

import copy

import pytest

from airflow_src_provider.client.src import SrcClient
from airflow_src_provider.client.src.bodies import body_from_workspace, create_body
from airflow_src_provider.client.src.catalog import Flavour, flavours_of, parameters_of
from airflow_src_provider.client.src.resolve import resolve_create
from airflow_src_provider.client.src.wallets import products_of
from airflow_src_provider.exceptions import InvalidInputError
from tests.unit.client.fakes import Call, FakeSession


def uuid(number):
    return f"00000000-0000-4000-8000-{number:012x}"


CO, WALLET, ITEM, OFFER, OS, SMALL, GPU, STORAGE, NET, OTHER = (uuid(i) for i in range(1, 11))
END = "2026-12-03T23:59:59Z"


def flavour(flavour_id, name, category, status="active", available=None, **tags):
    listed = [{"id": 1, "key": key, "value": value} for key, value in tags.items()]
    return {
        "id": flavour_id,
        "name": name,
        "category": category,
        "status": status,
        "available": available,
        "tags": listed,
    }


def offering(offering_id=OFFER, cloud="SURF HPC Cloud"):
    return {
        "id": offering_id,
        "application": {"name": "Ubuntu 22.04 (SUDO enabled)"},
        "subscription": {"name": cloud, "tag": "rsc-live_x", "subscription_group": {"id": uuid(50)}},
        "flavours": [
            flavour(OS, "Ubuntu 22.04", "os"),
            flavour(uuid(60), "Ubuntu 18.04", "os", status="disabled"),
            flavour(SMALL, "1 Core - 8 GB RAM", "size", available=True, CPU="1"),
            flavour(GPU, "A10 - 2 GPU", "size", available=False, GPU="2"),
        ],
        "overridable_parameters": [{"key": "username"}],
    }


class World:
    """Answers the four services; tests change what they hold."""

    def __init__(self):
        self.cos = [{"id": CO, "co_id": "other", "co_name": "Example Project"}, {"id": OTHER, "co_name": "Second"}]
        budgets = [{"products": ["cpu", "hdd"]}, {"products": ["gpu", "cpu", 5]}, {"products": None}, "odd"]
        self.wallets = [{"id": WALLET, "name": "grant", "budgets": budgets}]
        self.items = [{"id": ITEM, "name": "Ubuntu", "icon": "tux"}, {"id": OTHER, "name": "Jupyter"}]
        self.offerings = [offering(), offering(OTHER, "Azure")]
        self.spaces = [
            {"id": STORAGE, "name": "data", "status": "available", "kind": "Storage"},
            {"id": uuid(70), "name": "attached", "status": "in-use", "kind": "Storage"},
            {"id": NET, "name": "net", "status": "available", "kind": "Network"},
            {"id": uuid(71), "name": "ip", "status": "available", "kind": "IP"},
        ]
        self.session = FakeSession(always=self.answer)

    def answer(self, call: Call):
        if call.path == "users/self/":
            return {"COs": self.cos}
        if call.path == "wallets/":
            return self.wallets
        if call.path == "catalog_items/offerings/":
            return {"next": None, "results": self.items}
        if call.path == f"catalog_items/{ITEM}/offerings/":
            return {"next": None, "results": self.offerings}
        kind = call.query["application_type"]
        return {"next": None, "results": [space for space in self.spaces if space["kind"] == kind]}

    def resolve(self, **changes):
        wanted = {
            "collaboration": "Example Project",
            "wallet": "grant",
            "catalog_item": "Ubuntu",
            "name": "Training box 1",
            "size": "1 Core - 8 GB RAM",
            "end_time": END,
            **changes,
        }
        return resolve_create(SrcClient(self.session), **{k: v for k, v in wanted.items() if v is not ...})


def test_everything_by_name_costs_seven_calls():
    world = World()
    found = world.resolve(
        storages=["data"], networks="net", ips=["ip"], parameters={"username": "course"}, description="d"
    )
    assert world.session.calls == 7
    assert found.body == {
        "co_id": CO,
        "wallet_id": WALLET,
        "name": "Training box 1",
        "description": "d",
        "end_time": END,
        "meta": {
            "application_offering_id": OFFER,
            "application_name": "Ubuntu 22.04 (SUDO enabled)",
            "application_icon": "tux",
            "application_type": "Compute",
            "subscription_tag": "rsc-live_x",
            "subscription_name": "SURF HPC Cloud",
            "subscription_group_id": uuid(50),
            "subscription_resource_type": "VM",
            "co_name": "Example Project",
            "host_name": "training-box-1",
            "flavours": [
                {"id": OS, "name": "Ubuntu 22.04", "category": "os"},
                {"id": SMALL, "name": "1 Core - 8 GB RAM", "category": "size"},
            ],
            "storages": [{"id": STORAGE, "name": "data", "type": "Workspace"}],
            "ips": [{"id": uuid(71), "name": "ip", "type": "Workspace"}],
            "networks": [{"id": NET, "name": "net", "type": "Workspace"}],
            "dataset_names": [],
            "dataset_ids": [],
            "interactive_parameters": [{"key": "username", "value": "course"}],
            "wallet_name": "grant",
            "wallet_id": WALLET,
        },
    }
    assert found.available is True
    assert found.warnings == ()


def test_ids_are_not_looked_up():
    world = World()
    by_name = World().resolve(storages=["data"])
    found = world.resolve(**{k: v for k, v in by_name.chosen.items() if k != "parameters"})
    assert [c.path for c in world.session.sent] == ["wallets/", f"catalog_items/{ITEM}/offerings/"]
    assert found.chosen == by_name.chosen
    assert found.body["meta"]["flavours"] == by_name.body["meta"]["flavours"]


def test_all_products_of_all_budgets_are_asked_for():
    world = World()
    world.resolve()
    for call in world.session.sent:
        if call.service == "catalog":
            assert call.values("product") == ["cpu", "hdd", "gpu"]
            assert call.query["co"] == CO


def test_a_size_without_room_is_told():
    found = World().resolve(size="A10 - 2 GPU")
    assert found.available is False
    assert found.size.gpus == 2
    assert "A10 - 2 GPU" in found.warnings[0]


def test_a_parameter_that_the_offering_does_not_name_is_told():
    assert "colour" in World().resolve(parameters={"colour": "red"}).warnings[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"collaboration": "example project"}, ["collaboration", "'Example Project'", CO, "'Second'"]),
        ({"wallet": "RCCS"}, ["wallet", "'grant'"]),
        ({"wallet": OTHER}, ["wallet", "'grant'"]),
        ({"catalog_item": "Ubunto"}, ["catalog_item", "'Ubuntu'", "'Jupyter'"]),
        ({"cloud": "AWS"}, ["cloud", "'SURF HPC Cloud'", "'Azure'"]),
        ({"size": "A100"}, ["size", "'1 Core - 8 GB RAM'", "'A10 - 2 GPU'"]),
        ({"size": ...}, ["size", "'1 Core - 8 GB RAM'", "'A10 - 2 GPU'"]),
        ({"os_flavour": "Ubuntu 18.04"}, ["os_flavour", "'Ubuntu 22.04'"]),
        ({"storages": ["attached"]}, ["storages", "in-use"]),
        ({"storages": ["dta"]}, ["storages", "'data'"]),
        ({"networks": ["data"]}, ["networks", "'net'"]),
    ],
)
def test_what_is_not_there_is_refused_with_the_choices(changes, told):
    with pytest.raises(InvalidInputError) as caught:
        World().resolve(**changes)
    assert all(part in str(caught.value) for part in told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.cos.append({"id": uuid(80), "co_name": "Example Project"}), uuid(80)),
        (lambda w: w.wallets.append({"id": uuid(80), "name": "grant"}), uuid(80)),
        (lambda w: w.items.append({"id": uuid(80), "name": "Ubuntu"}), uuid(80)),
        (lambda w: w.offerings.append(offering(uuid(80))), uuid(80)),
        (lambda w: w.offerings[0]["flavours"].append(flavour(uuid(80), "1 Core - 8 GB RAM", "size")), uuid(80)),
        (
            lambda w: w.spaces.append({"id": uuid(80), "name": "data", "status": "available", "kind": "Storage"}),
            uuid(80),
        ),
    ],
)
def test_what_is_there_twice_is_refused_with_the_choices(change, told):
    world = World()
    change(world)
    with pytest.raises(InvalidInputError, match="2 have this name") as caught:
        world.resolve(storages=["data"])
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"application_type": "VM"},
        {"collaboration": ""},
        {"name": "   "},
        {"name": "---"},
        {"end_time": ...},
        {"end_time": "tomorrow"},
        {"application_type": "Storage"},
        {"host_name": "Under_Score"},
        {"parameters": {"a": 5}},
        {"parameters": {"a": "two\nlines"}},
        {"storages": [5]},
    ],
)
def test_refused_before_any_call(changes):
    world = World()
    with pytest.raises(InvalidInputError):
        world.resolve(**changes)
    assert world.session.calls == 0


def test_a_network_lies_on_the_network_subscription_of_its_cloud():
    world = World()
    world.offerings = [
        {**offering(OTHER, "SURF HPC Cloud"), "flavours": []},
        {**offering(OFFER, "SURF HPC Cloud Network"), "flavours": []},
    ]
    found = world.resolve(application_type="Network", size=..., end_time=..., name="net")
    meta = found.body["meta"]
    assert (meta["application_offering_id"], meta["flavours"], found.size) == (OFFER, [], None)
    assert (meta["application_type"], meta["subscription_resource_type"]) == ("Network", "Private-Network")
    assert "end_time" not in found.body
    assert world.session.sent[2].query["type"] == "Network"


def test_a_storage_has_a_size_and_no_system():
    found = World().resolve(application_type="Storage", end_time=..., resource_type=...)
    assert [one["category"] for one in found.body["meta"]["flavours"]] == ["size"]
    assert found.body["meta"]["subscription_resource_type"] == "Storage-Volume"


def test_odd_offerings_are_survived():
    world = World()
    world.offerings = [
        {
            "id": OFFER,
            "subscription": {"name": "SURF HPC Cloud"},
            "flavours": [None, flavour(OS, "o", "os"), {"category": "size", "id": SMALL, "name": "s"}],
        }
    ]
    found = world.resolve(size="s")
    assert found.body["meta"]["subscription_tag"] == ""
    assert found.available is None


# bodies


def existing():
    return {
        "id": uuid(90),
        "co_id": CO,
        "wallet_id": WALLET,
        "description": "first",
        "status": "running",
        "meta": {
            **World().resolve().body["meta"],
            "storages": [{"id": STORAGE}],
            "networks": [{"id": NET, "name": "net", "type": "Workspace", "index": 0}, {"odd": 1}],
            "interactive_parameters": {"key": "username", "value": "course"},
            "workspace_id": uuid(90),
            "host_name": "first",
        },
    }


def test_another_one_like_an_existing_one():
    original = existing()
    untouched = copy.deepcopy(original)
    body = body_from_workspace(original, name="Box 2", end_time=END)
    assert original == untouched
    assert (body["co_id"], body["wallet_id"], body["description"], body["end_time"]) == (CO, WALLET, "first", END)
    meta = body["meta"]
    assert (meta["host_name"], meta["wallet_id"], meta["wallet_name"]) == ("box-2", WALLET, "grant")
    assert meta["storages"] == []
    assert meta["networks"] == [{"id": NET, "name": "net", "type": "Workspace"}]
    assert meta["interactive_parameters"] == [{"key": "username", "value": "course"}]
    assert meta["application_offering_id"] == OFFER
    assert "workspace_id" not in meta


def test_another_wallet_for_the_copy():
    body = body_from_workspace(existing(), name="b", end_time=END, wallet={"id": OTHER, "name": "RCCS"})
    assert (body["wallet_id"], body["meta"]["wallet_id"], body["meta"]["wallet_name"]) == (OTHER, OTHER, "RCCS")


@pytest.mark.parametrize(
    ("original", "end_time"),
    [({**existing(), "meta": {}}, END), ({**existing(), "co_id": None}, END), ({"id": "x"}, END), (existing(), None)],
)
def test_what_cannot_be_copied(original, end_time):
    with pytest.raises(InvalidInputError):
        body_from_workspace(original, name="b", end_time=end_time)


def test_an_unknown_kind_cannot_be_created():
    with pytest.raises(InvalidInputError, match="Compute"):
        create_body(co={"id": CO}, wallet={"id": WALLET}, offering=offering(), name="n", application_type="VM")


# catalog, wallets, users


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (
            {"GPU": "2", "CPU": "22", "RAM [GB]": "176", "storage [GB]": "50", "Cost RCCS (credits/day)": "1008"},
            (22, 2, 176, 50, 1008),
        ),
        ({"credits/day": "24.5", "CPU": " 4 cores"}, (4, None, None, None, 24.5)),
        ({"CPU": 8, "GPU": None, "RAM [GB]": "lots", "credits/day": []}, (8, None, None, None, None)),
        ({}, (None,) * 5),
    ],
)
def test_numbers_of_a_flavour_come_from_its_tags(tags, expected):
    found = Flavour.of(flavour(GPU, "x", "size", **tags))
    assert (found.cpus, found.gpus, found.ram_gb, found.storage_gb, found.credits_per_day) == expected


@pytest.mark.parametrize("raw", [{}, {"tags": {}, "available": "yes", "status": None}, {"tags": [None, {"key": 1}]}])
def test_flavours_of_odd_shape(raw):
    found = Flavour.of(raw)
    assert (found.available, found.active, found.cpus) == (None, True, None)


def test_flavours_by_category():
    assert [one.name for one in flavours_of(offering(), "os")] == ["Ubuntu 22.04", "Ubuntu 18.04"]
    assert [one.active for one in flavours_of(offering(), "os")] == [True, False]
    assert len(flavours_of(offering())) == 4
    assert flavours_of({"flavours": None}) == []


def test_parameters_in_both_forms():
    assert parameters_of(
        {"overridable_parameters": [{"key": "a"}, {"x": 1}], "optional_parameters": {"b": 1, "a": 2}}
    ) == ["a", "b"]
    assert parameters_of({"optional_parameters": ["odd"]}) == []


def test_wallets_as_array_or_page():
    page = {"count": 1, "next": None, "results": [{"id": WALLET}]}
    for answer in ([{"id": WALLET}], page):
        session = FakeSession(answer)
        assert SrcClient(session).wallets.list() == [{"id": WALLET}]
        assert (session.last.service, session.last.path) == ("wallet", "wallets/")


@pytest.mark.parametrize("wallet", [{}, {"budgets": None}, {"budgets": {}}, {"budgets": [{"products": "cpu"}]}])
def test_wallets_without_products(wallet):
    assert products_of(wallet) == []


def test_the_user_and_their_collaborations():
    session = FakeSession({"id": "u", "COs": [{"id": CO}, None]}, {"id": "u"})
    assert SrcClient(session).users.collaborations() == [{"id": CO}]
    assert SrcClient(session).users.collaborations() == []
    assert (session.last.service, session.last.path) == ("user", "users/self/")
