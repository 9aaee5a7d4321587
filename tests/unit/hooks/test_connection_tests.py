"""``airflow connections test`` for both connection types, as a person runs it, against the sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_src_provider.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def airflow_connections_test(connection: dict[str, object]) -> tuple[int, str]:
    environment = os.environ | {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_CONN_TESTED": json.dumps(connection),
    }
    command = [sys.executable, "-m", "airflow", "connections", "test", "tested"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return run.returncode, " ".join((run.stdout + run.stderr).split())


def test_both_types_can_be_tested_and_say_what_is_wrong(sandbox: Sandbox) -> None:
    src = {"conn_type": "surf_research_cloud", "host": f"{sandbox.url}/v1", "password": "sandbox-src-researcher1"}
    bridges = {"conn_type": "seven_bridges", "host": sandbox.sb_url, "password": "sandbox-sb-labuser"}
    wrong = [{**src, "password": "an-expired-word"}, {**bridges, "password": "an-expired-word"}]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(airflow_connections_test, [src, bridges, *wrong]))
    for (code, output), connection in zip(results, [src, bridges, *wrong], strict=True):
        assert str(connection["password"]) not in output
        assert (code, "Connection success!" in output) == ((1, False) if connection in wrong else (0, True)), output
        assert ("Make a new token" in output) == (connection in wrong)
    assert not sandbox.counters()["refusals"]
    assert len(sandbox.journal()) == 4
