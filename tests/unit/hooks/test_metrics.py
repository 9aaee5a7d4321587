"""Measurements arrive where Airflow sends its metrics, with tags and without, by Airflow's own code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils

from airflow_src_provider.client.metrics import Metric
from airflow_src_provider.hooks.metrics import airflow_metrics
from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.hooks.src import SrcHook
from tests.statsd_server import STAND_INS, StatsdServer

USER = "https://cgc-api.sbgenomics.com/v2/user"
SB = "airflow.airflow_src_provider.seven_bridges"


def initialize() -> None:
    """Do what Airflow does when a task process starts."""
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> SevenBridgesHook:
    monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps({"conn_type": "seven_bridges", "password": "a-token-for-tests"}))
    return SevenBridgesHook("here")


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    monkeypatch.syspath_prepend(str(STAND_INS))
    with StatsdServer() as running:
        for name, value in running.settings(tags=request.param).items():
            monkeypatch.setenv(f"AIRFLOW__{name}", value)
        initialize()
        yield running
    monkeypatch.undo()
    initialize()


@pytest.mark.parametrize("server", [True, False], ids=["tags", "no tags"], indirect=True)
@responses.activate
def test_what_arrives(server: StatsdServer, hook: Any, request: pytest.FixtureRequest) -> None:
    tagged = request.node.callspec.id == "tags"
    responses.get(USER, status=500, json={})
    responses.get(USER, json={"username": "somebody"})
    hook.session._sleep = lambda _: None
    hook.session.request("GET", "user")

    # The store is a real one, so that a permit may take long on a busy machine.
    beside = (f"{SB}.budget_left", f"{SB}.budget_wait")
    found = [line for line in server.lines() if line.name not in beside]
    service = {"service": "seven_bridges"}
    failed, worked = ({"method": "GET", "status": status} | service for status in ("5xx", "2xx"))
    assert [(line.name, line.kind, dict(line.tags)) for line in found] == [
        (f"{SB}.{name}", kind, tags if tagged else {})
        for name, kind, tags in (
            ("requests", "c", failed),
            ("request_time", "ms", failed),
            ("retries", "c", {"reason": "server_error"} | service),
            ("requests", "c", worked),
            ("request_time", "ms", worked),
        )
    ]
    assert all(line.value == 1 for line in found if line.kind == "c")


@pytest.mark.parametrize("server", [True], indirect=True)
def test_units(server: StatsdServer) -> None:
    metrics = airflow_metrics("surf_research_cloud")
    assert metrics
    metrics.time(Metric.BUDGET_WAIT, 1.5, {"reason": "refused"})
    metrics.level(Metric.BUDGET_LEFT, 421)
    wait, left = server.lines()
    assert (wait.value, wait.kind, wait.tags["reason"]) == (1500.0, "ms", "refused")
    assert (left.value, left.kind) == (421.0, "g")
    assert left.name == "airflow.airflow_src_provider.surf_research_cloud.budget_left"


def test_where_metrics_are_off_nothing_is_measured(hook: Any) -> None:
    assert airflow_metrics("seven_bridges") is None
    assert hook.session._meter._observer is None


@pytest.mark.parametrize("switch", ["STATSD_ON", "STATSD_DATADOG_ENABLED", "OTEL_ON"])
def test_any_of_airflow_s_systems_will_do(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"AIRFLOW__METRICS__{switch}", "True")
    assert airflow_metrics("seven_bridges") is not None


def test_without_its_library_requests_go_on(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The package statsd is an extra of Airflow.
    monkeypatch.setitem(sys.modules, "statsd", None)
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    initialize()
    try:
        with responses.RequestsMock() as web:
            web.get(USER, json={})
            assert hook.session.request("GET", "user").json() == {}
    finally:
        monkeypatch.undo()
        initialize()


def test_an_airflow_that_keeps_its_metrics_elsewhere_is_none_the_worse(
    hook: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.delattr("airflow.sdk.observability.stats")
    monkeypatch.setitem(sys.modules, "airflow.sdk.observability.stats", None)
    assert hook.session._meter._observer is None
    assert "requests are not measured" in caplog.text


def test_a_service_is_called_as_its_connection_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps({"conn_type": "surf_research_cloud", "password": "a-token"}))
    observer: Any = SrcHook("here").session._meter._observer
    assert observer._prefix == "airflow_src_provider.surf_research_cloud"
