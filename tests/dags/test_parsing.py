"""Every example DAG is loaded as Airflow loads it, without a service or a connection at hand."""

import socket
import subprocess
import sys
from typing import Any

import pytest

from airflow_src_provider.remote import RemoteTask
from tests.dags.conftest import EXAMPLE_DAGS

FILES = sorted(EXAMPLE_DAGS.glob("*.py"))


def refuse(*_: Any) -> None:
    raise AssertionError("loading a DAG opened a connection")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_loads_and_serializes_without_asking_anybody(file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    monkeypatch.setattr(socket.socket, "connect", refuse)
    bag = DagBag(str(file))
    assert not bag.import_errors
    assert bag.dags
    for dag in bag.dags.values():
        again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        assert set(again.task_dict) == set(dag.task_dict)
        assert dag.doc_md, "an example explains itself in the UI"
        # A mapped task is not of its operator's class.
        kinds = [getattr(task, "operator_class", type(task)) for task in dag.tasks]
        assert any(issubclass(kind, RemoteTask) for kind in kinds)


def test_loading_all_of_them_imports_nothing_that_is_slow() -> None:
    code = (
        "import runpy, sys\nfor file in sys.argv[1:]: runpy.run_path(file)\n"
        "print(*(name for name in sys.modules if name.startswith('airflow_src_provider') or '.' not in name))"
    )
    command = [sys.executable, "-c", code, *map(str, FILES)]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split())
    assert "airflow_src_provider.operators.seven_bridges.finds" in loaded
    slow = ("requests", "pyrate_limiter", "airflow_src_provider.client.http")
    assert not [name for name in loaded if name in slow or name.startswith("airflow_src_provider.hooks")]
