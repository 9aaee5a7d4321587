"""What workspaces are and what they cost, at the fewest calls."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from airflow_src_provider.client.src.states import parse_time
from airflow_src_provider.operators.src import SrcListWorkspacesOperator, SrcPauseWorkspaceOperator
from tests.unit.src_world import SrcWorld

DAY = 86400.0


def listed(src: SrcWorld, workspace: Any) -> dict[str, Any]:
    before = len(src.sandbox.journal())
    result: dict[str, Any] = src.run(SrcListWorkspacesOperator(task_id="list", workspace=workspace))
    assert result["api_calls"] == len(src.sandbox.journal()) - before
    return result


def hide_tags(src: SrcWorld, name: str) -> None:
    workspace = src.world.by_name(name)
    workspace.flavours = [dataclasses.replace(one, tags=[]) for one in workspace.flavours]


def test_prices_and_sizes_come_with_the_list(src: SrcWorld) -> None:
    report = listed(src, {"mine": True})
    assert report["api_calls"] == 1
    by_name = {one["name"]: one for one in report["workspaces"]}
    assert (by_name["gpu-box"]["size"], by_name["gpu-box"]["credits_per_day"]) == ("A10 - 1 GPU", 504.0)
    assert by_name["second-box"]["collaboration"] == "Second Project"
    running = [one for one in report["workspaces"] if one["status"] == "running"]
    assert report["running"] == len(running) > 1
    assert report["credits_per_day"] == sum(one["credits_per_day"] for one in running) > 0
    assert report["ids"] == [one["id"] for one in report["workspaces"]]


def test_a_price_that_the_workspace_does_not_tell_is_in_the_catalog(src: SrcWorld) -> None:
    hide_tags(src, "login-box")
    report = listed(src, {"name": "login-box"})
    assert report["workspaces"][0]["credits_per_day"] == 48.0
    # The list, the wallets, the catalog items, and the offerings of the first item.
    assert report["api_calls"] == 4


@pytest.mark.parametrize("status", [403, 404])
def test_an_unknown_price_is_no_reason_to_fail(src: SrcWorld, status: int) -> None:
    hide_tags(src, "login-box")
    src.sandbox.fault(service="src", path="/catalog_items/", action="status", status=status, times=None)
    report = listed(src, {"name": ["login-box", "gpu-box"]})
    assert [one["credits_per_day"] for one in report["workspaces"]] == [504.0, None]
    assert (report["running"], report["credits_per_day"]) == (1, 0.0)


def test_since_when_it_rests_and_of_other_kinds(src: SrcWorld) -> None:
    created = listed(src, "login-box")["workspaces"][0]["since"]
    assert parse_time(created) is not None
    src.sleep(3 * DAY)
    asked = src.now()
    src.run(SrcPauseWorkspaceOperator(task_id="pause", workspace="login-box"))
    since = parse_time(listed(src, "login-box")["workspaces"][0]["since"])
    assert since is not None
    assert since.timestamp() == pytest.approx(asked, abs=5)
    assert listed(src, {"kind": "Storage"})["workspaces"][0]["kind"] == "Storage"


def test_a_filter_may_fit_nothing(src: SrcWorld) -> None:
    report = listed(src, {"name": "nothing-*"})
    assert (report["count"], report["credits_per_day"], report["workspaces"]) == (0, 0, [])
