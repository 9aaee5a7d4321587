"""Every example DAG is loaded as Airflow loads it, without a service or a connection at hand."""

import socket
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
        assert any(isinstance(task, RemoteTask) for task in dag.tasks)
