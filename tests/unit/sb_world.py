"""A sandbox of a Seven Bridges platform with a stepped clock, in which waiting moves the clock."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.client.waiting import wait_blocking
from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.seven_bridges.switches import SevenBridgesSwitches
from tests.unit.src_world import SrcWorld
from tests.unit.triggers.virtual_loop import InlineExecutor

PROJECT = "labuser/rnaseq-cohort"
RESULTS = "labuser/rnaseq-results"
ARCHIVE = "labuser/fastq-archive"
VOLUME = "labuser/cohort_bucket"
READ_ONLY = "labuser/reference_bucket"
APP = "labuser/rnaseq-cohort/salmon-workflow"
POLLS = ("bulk/storage/imports/get", "bulk/storage/exports/get", "bulk/tasks/get")


class SbWorld(SrcWorld):
    """One user's view of the platform, and a way to run tasks in it to their end."""

    @property
    def client(self) -> SevenBridgesClient:
        """Return a client whose calls do not count as the tasks'."""
        from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook

        return SevenBridgesHook().client

    @property
    def store(self) -> Any:
        return self.sandbox.state.sb.store

    def mark(self) -> int:
        """Return a moment for :meth:`calls` and :meth:`effects`."""
        entries = self.sandbox.journal()
        return int(entries[-1]["n"]) if entries else 0

    def calls(self, since: int = 0) -> Counter[str]:
        """Return the requests by method and path, ids left out."""
        found: Counter[str] = Counter()
        for entry in self.sandbox.journal(since):
            parts = entry["path"].removeprefix("/v2/").split("/")
            parts = ["<id>" if len(part) in (24, 32, 36) else part for part in parts]
            found[f"{entry['method']} {'/'.join(parts)}"] += 1
        return found

    def count(self, since: int = 0, *, polls: bool = False) -> int:
        """Return the number of requests, looks at jobs and tasks left out unless ``polls``."""
        calls = self.calls(since)
        return sum(n for call, n in calls.items() if polls or not call.endswith(POLLS))

    def effects(self) -> dict[str, int]:  # type: ignore[override]
        """Return how often something was made or changed."""
        return dict(self.sandbox.counters()["effects"].get("sb", {}))

    def names(self, project: str) -> list[str]:
        return [file["name"] for file in self.client.files.list(project=project)]


@pytest.fixture(scope="session")
def sb_sandbox() -> Iterator[Sandbox]:
    with Sandbox(stepped=True) as sandbox:
        yield sandbox


@pytest.fixture
def sb(sb_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> SbWorld:
    from airflow_src_provider import remote
    from airflow_src_provider.client.seven_bridges import finders, waits
    from airflow_src_provider.operators import base, durable
    from airflow_src_provider.operators.seven_bridges import base as sb_base
    from airflow_src_provider.operators.seven_bridges import exports, imports
    from airflow_src_provider.sensors import base as sensors_base
    from airflow_src_provider.triggers import hub

    sb_sandbox.reset()
    sb_sandbox.clear_faults()
    sb_sandbox.configure(sb=asdict(SevenBridgesSwitches(limit=1_000_000)))
    world = SbWorld(sb_sandbox)
    clock = SimpleNamespace(time=world.now, monotonic=world.now, sleep=world.sleep)
    for module in (base, durable, remote, sensors_base, sb_base, finders, imports, exports, waits):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("airflow.sdk.bases.sensor.time", clock)
    waiting = functools.partial(wait_blocking, sleep=world.sleep, clock=world.now)
    monkeypatch.setattr(remote, "wait_blocking", waiting)
    monkeypatch.setattr("airflow_src_provider.client.waiting.random.uniform", lambda a, b: (a + b) / 2)
    monkeypatch.setattr(hub, "_threads", InlineExecutor())
    monkeypatch.setattr(hub, "_epoch", world.now)
    monkeypatch.setenv("AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT", connection(sb_sandbox, "labuser"))
    return world


def connection(sandbox: Sandbox, user: str) -> str:
    return json.dumps(
        {
            "conn_type": "seven_bridges",
            "host": f"{sandbox.url}/v2",
            "password": sandbox.tokens[user],
            "extra": {"rate_limit": 1_000_000},
        }
    )
