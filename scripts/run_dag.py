"""Run one DAG of a folder once, in this process and without a scheduler: the child process of the demo.

Usage: run_dag.py DAG_ID FD. What happens is written as JSON lines to the file descriptor.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from airflow.listeners import hookimpl
from airflow.sdk.listener import get_listener_manager


class Reporter:
    """Tells, while the DAG runs, which task has begun and which has ended."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, event: str, **facts: Any) -> None:
        """Write one line."""
        print(json.dumps({"event": event, **facts}), file=self._out, flush=True)

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Hear from Airflow; also when a task goes on after it was deferred."""
        self.say("begins", task=task_instance.task_id)

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        """Hear from Airflow."""
        self.say("failed", task=task_instance.task_id, error=f"{type(error).__name__}: {error}")


def main(dag_id: str, descriptor: int) -> None:
    """Make the database, run the DAG and report every task instance."""
    from airflow.configuration import conf
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    with os.fdopen(descriptor, "w") as out:
        reporter = Reporter(out)
        initdb()
        bag = DagBag(conf.get("core", "dags_folder"))
        for file, error in bag.import_errors.items():
            raise SystemExit(f"{file} cannot be loaded:\n{error}")
        dag = bag.dags[dag_id]
        for task in dag.tasks:
            # Here a second try would only hide what went wrong in the first.
            task.retries = 0
        reporter.say("ready", titles={task.task_id: task.task_display_name for task in dag.tasks})
        get_listener_manager().add_listener(reporter)
        run = dag.test()
        for instance in run.get_task_instances():
            reporter.say(
                "task",
                task=instance.task_id,
                state=str(instance.state),
                begin=instance.start_date.timestamp() if instance.start_date else None,
                end=instance.end_date.timestamp() if instance.end_date else None,
            )
        reporter.say("over", state=str(run.state))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
