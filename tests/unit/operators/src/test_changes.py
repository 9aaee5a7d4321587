"""Name, end time, firewall, volumes and wallet: nothing is lost by accident, nothing is done twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError
from airflow_src_provider.operators.src import (
    SrcChangeWalletOperator,
    SrcUpdateFirewallOperator,
    SrcUpdateStoragesOperator,
    SrcUpdateWorkspaceOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import GPU_BOX, SrcWorld

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])
DAY = 86400.0


def update(workspace: Any = "gpu-box", **options: Any) -> SrcUpdateWorkspaceOperator:
    return SrcUpdateWorkspaceOperator(task_id="update", workspace=workspace, **options)


def firewall(**options: Any) -> SrcUpdateFirewallOperator:
    return SrcUpdateFirewallOperator(task_id="firewall", workspace="login-box", **options)


def storages(workspace: Any = "Training box 2", **options: Any) -> SrcUpdateStoragesOperator:
    return SrcUpdateStoragesOperator(task_id="storages", workspace=workspace, **options)


def end_of(src: SrcWorld, name: str = "gpu-box") -> float:
    return src.world.by_name(name).end_time or 0.0


def test_name_and_end_time_are_set_once(src: SrcWorld) -> None:
    end = datetime.fromtimestamp(src.now() + 20 * DAY, UTC).replace(microsecond=0)
    for changed in (True, False):
        result = src.run(update(GPU_BOX, name="gpu-box two", end_time=end))
        assert (result["name"], result["changed"]) == ("gpu-box two", changed)
    assert end_of(src, "gpu-box two") == end.timestamp()
    assert src.effects("gpu-box two") == {"patch": 1}


def test_an_extension_is_not_repeated_by_a_retry(src: SrcWorld) -> None:
    before, store = end_of(src), FakeStore()
    for number in (1, 2):
        task = update(extend_by=timedelta(days=3))
        assert src.run(task, make_context(store, try_number=number))["changed"] == (number == 1)
        assert end_of(src) == pytest.approx(before + 3 * DAY, abs=1)
    src.run(update(extend_by=timedelta(days=3)), make_context(store, max_tries=5))
    assert end_of(src) == pytest.approx(before + 6 * DAY, abs=1)


def test_many_are_extended_with_one_call_for_each(src: SrcWorld) -> None:
    src.world.add_workspaces(20, "w-", status="paused")
    assert src.run(update({"name": "w-*"}, extend_by=timedelta(days=7)))["count"] == 20
    assert sum(src.calls().values()) == 21


def test_what_ends_soon_is_extended_and_nothing_else(src: SrcWorld) -> None:
    before = end_of(src, "ends-soon")
    result = src.run(update({"mine": True, "ends_within": timedelta(days=3)}, extend_by=7 * DAY))
    assert [one["name"] for one in result["workspaces"]] == ["ends-soon"]
    assert end_of(src, "ends-soon") == pytest.approx(before + 7 * DAY, abs=1)
    assert src.run(update({"mine": True, "ends_within": timedelta(days=3)}, extend_by=7 * DAY))["count"] == 0


def test_the_services_refusal_is_told(src: SrcWorld) -> None:
    src.sandbox.configure(max_lifetime_days=10.0)
    with pytest.raises(RemoteWorkError, match=r"gpu-box: .*must be within 10 days"):
        src.run(update(extend_by=30 * DAY))
    with pytest.raises(RemoteWorkError, match="may not be changed by you"):
        src.run(update("login-box", name="mine", src_conn_id="src_other"))


@BOTH_MODES
def test_a_port_is_opened_and_closed_and_all_other_rules_stay(src: SrcWorld, deferrable: bool) -> None:
    before = list(src.world.by_name("login-box").rules)
    rule = "in tcp 8080 8080 0.0.0.0/0"
    for changed in (True, False):
        assert src.run(firewall(add=[rule], deferrable=deferrable))["changed"] == changed
        assert src.world.by_name("login-box").rules == [*before, f"{rule} mutable"]
    for changed in (True, False):
        assert src.run(firewall(remove=rule, deferrable=deferrable))["changed"] == changed
        assert src.world.by_name("login-box").rules == before
    assert src.effects("login-box") == {"update_nsgs": 2}


def test_replacing_keeps_what_the_catalog_item_fixed(src: SrcWorld) -> None:
    fixed = list(src.world.by_name("login-box").rules)
    src.run(firewall(add=["in tcp 9000 9000 0.0.0.0/0"]))
    src.run(firewall(replace=["in udp 60000 61000 192.0.2.0/24"]))
    assert src.world.by_name("login-box").rules == [*fixed, "in udp 60000 61000 192.0.2.0/24 mutable"]
    src.run(firewall(replace=[]))
    assert src.world.by_name("login-box").rules == fixed


def test_an_immutable_rule_is_not_taken_away(src: SrcWorld) -> None:
    with pytest.raises(RemoteWorkError, match="belong to the catalog item"):
        src.run(firewall(remove="in tcp 22 22 0.0.0.0/0"))
    assert src.effects("login-box") == {}


@BOTH_MODES
def test_volumes_are_attached_and_detached_by_name(src: SrcWorld, deferrable: bool) -> None:
    volume = src.id_of("reference-data")
    for changed in (True, False):
        assert src.run(storages(attach="reference-data", deferrable=deferrable))["changed"] == changed
        assert src.world.by_name("Training box 2").storages == [volume]
    assert src.run(storages(detach=[volume], deferrable=deferrable))["changed"]
    assert src.world.by_name("Training box 2").storages == []
    assert src.status("reference-data") == "available"


def test_attaching_one_volume_keeps_the_others(src: SrcWorld) -> None:
    src.run(storages("gpu-box", attach=["reference-data"]))
    assert set(src.world.by_name("gpu-box").storages) == {src.id_of("course-data"), src.id_of("reference-data")}
    src.run(storages("gpu-box", replace=["reference-data"]))
    assert src.world.by_name("gpu-box").storages == [src.id_of("reference-data")]


def test_a_volume_of_another_machine_is_refused_by_the_service(src: SrcWorld) -> None:
    with pytest.raises(RemoteWorkError, match="attached to another workspace"):
        src.run(storages(attach="course-data"))


def test_a_workspace_that_does_not_tell_its_volumes_is_left_alone(src: SrcWorld) -> None:
    src.sandbox.configure(empty_meta=True)
    with pytest.raises(RemoteWorkError, match="whose volumes the service tells"):
        src.run(storages(GPU_BOX, attach=[src.id_of("reference-data")]))
    assert src.effects("gpu-box") == {}


def test_another_wallet_pays(src: SrcWorld) -> None:
    wallet = src.add_wallet("Spare wallet")
    for changed in (True, False):
        task = SrcChangeWalletOperator(task_id="wallet", workspace="gpu-box", wallet="Spare wallet")
        assert src.run(task)["changed"] == changed
        assert src.world.by_name("gpu-box").wallet_id == wallet
    with pytest.raises(InvalidInputError, match=r"one of: .*'Spare wallet'"):
        src.run(SrcChangeWalletOperator(task_id="wallet", workspace="gpu-box", wallet="Sparse wallet"))


BAD = [
    (lambda: update(), "at least one"),
    (lambda: update(end_time="2999-01-01"), "time zone"),
    (lambda: update(end_time="2999-01-01T00:00:00Z", extend_by=5), "one of them"),
    (lambda: update(extend_by=-5), "above 0"),
    (lambda: update(["a", "b"], name="x"), "single workspace"),
    (lambda: update(name=" "), "not empty"),
    (lambda: firewall(), "exactly one"),
    (lambda: firewall(add=["in tcp 1 2 0.0.0.0/0"], replace=[]), "exactly one"),
    (lambda: firewall(add=["open 8080"]), "a rule such as"),
    (lambda: firewall(add=["in tcp 9000 80 0.0.0.0/0"]), "a rule such as"),
    (lambda: storages(), "exactly one"),
    (lambda: storages(attach=[""]), "not empty"),
    (lambda: SrcChangeWalletOperator(task_id="wallet", workspace="x", wallet=""), "not empty"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input_is_refused_while_the_dag_is_parsed(make: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_an_end_that_has_passed_is_refused_by_the_task_and_not_by_the_dag(src: SrcWorld) -> None:
    task = update(end_time="2020-01-01T00:00:00Z")
    with pytest.raises(InvalidInputError, match="not over yet"):
        src.run(task)
    assert not src.calls()


def test_templates_wait_for_the_run(src: SrcWorld) -> None:
    assert update(name="{{ params.name }}", end_time="{{ ts }}").name == "{{ params.name }}"
    assert firewall(add="{{ params.rules }}").add == "{{ params.rules }}"
    with DAG("dag", schedule=None):
        other = update("x", extend_by=5)
        assert storages(attach=other.output["id"]).upstream_task_ids == {"update"}


@pytest.mark.parametrize("kind", ["update", "change_wallet"])
def test_a_retry_makes_a_change_that_died_before_it_was_sent(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    wallet = src.add_wallet("Second wallet")

    def task() -> SrcUpdateWorkspaceOperator | SrcChangeWalletOperator:
        if kind == "update":
            return update(name="new name")
        return SrcChangeWalletOperator(task_id="wallet", workspace="gpu-box", wallet=wallet)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    store = FakeStore()
    first = task()
    monkeypatch.setattr(first, "send", die)
    with pytest.raises(Killed):
        src.run(first, make_context(store))
    assert src.run(task(), make_context(store, try_number=2))["changed"] is True
