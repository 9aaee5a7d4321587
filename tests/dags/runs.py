"""Running an example DAG as its reader would."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.dags.conftest import EXAMPLE_DAGS


class Run:
    """One run of an example DAG, without second tries.

    :param name: the file, and the id of its DAG.
    :param params: values that the user would enter in the form.
    """

    def __init__(self, name: str, **params: Any) -> None:
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(str(EXAMPLE_DAGS / f"{name}.py"))
        assert not bag.import_errors
        dag = bag.dags[name]
        for task in dag.tasks:
            task.retries = 0
        outcome = dag.test(run_conf=params or None)
        self.state = str(outcome.state)
        self._instances = outcome.get_task_instances()
        self.tasks = {f"{ti.task_id}{_index(ti)}": str(ti.state) for ti in self._instances}

    def result(self, task: str) -> Any:
        """Return what a task returned."""
        (instance,) = [ti for ti in self._instances if f"{ti.task_id}{_index(ti)}" == task]
        return instance.xcom_pull(task_ids=instance.task_id, map_indexes=instance.map_index)


def be_quick(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let remote work of a Seven Bridges platform end within the first look or two."""
    sandbox.configure(sb={"task_queued_seconds": 5.0, "task_running_seconds": 20.0, "batch_creating_seconds": 2.0})
    for module in ("imports", "exports"):
        monkeypatch.setattr(f"airflow_src_provider.operators.seven_bridges.{module}.SOON", 0.05)


def _index(instance: Any) -> str:
    return "" if instance.map_index < 0 else f"[{instance.map_index}]"
