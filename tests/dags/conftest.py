"""A sandbox with fast life cycles, both connections, and one migrated database for the DAG tests of a process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_src_provider.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
EXAMPLE_DAGS = ROOT / "example_dags"
BUNDLES = [
    {
        "name": "documentation",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(EXAMPLE_DAGS)},
    }
]


@pytest.fixture(scope="session")
def _database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def sandbox(_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(speed=300.0) as served:
        for name, value in served.connections().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW__AIRFLOW_SRC_PROVIDER__POLL_INTERVAL", "0.3")
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(BUNDLES))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield served
