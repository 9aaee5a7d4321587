"""One run of a DAG, as a person sees and handles it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.system.waiting import wait_until

if TYPE_CHECKING:
    from tests.system.harness import Airflow


class Run:
    """One run of a DAG."""

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str) -> None:
        self.airflow = airflow
        self.dag_id = dag_id
        self.run_id = run_id
        self._path = f"dags/{dag_id}/dagRuns/{run_id}"

    def tasks(self) -> list[dict[str, Any]]:
        """Return all task instances."""
        instances: list[dict[str, Any]] = []
        while True:
            page = self.airflow.api("GET", f"{self._path}/taskInstances", limit=100, offset=len(instances))
            instances += page["task_instances"]
            if not page["task_instances"] or len(instances) >= page["total_entries"]:
                return instances

    def found(self) -> dict[str, str]:
        """Return the states of all task instances, from the database: asking the API costs what a task costs."""
        rows = self.airflow.query(
            "select task_id, state from task_instance where dag_id = :dag_id and run_id = :run_id",
            dag_id=self.dag_id,
            run_id=self.run_id,
        )
        return {task_id: str(state) for task_id, state in rows}

    def states(self) -> Counter[str]:
        """Count task instances by state."""
        return Counter(self.found().values())

    def state(self) -> str:
        """Return the state of the run."""
        return str(self.airflow.api("GET", self._path)["state"])

    def until(self, state: str, seconds: float) -> None:
        """Wait until every task instance, and there is one, has a state."""

        def all_there() -> bool:
            self.airflow.check_alive()
            found = self.found()
            others = {task_id: one for task_id, one in found.items() if one != state}
            over = set(others.values()) & {"failed", "upstream_failed", "success"} or time.monotonic() > limit
            assert not over, f"{self.dag_id}: not {state}: {others}\n{self.logs(list(others)[:3])}"
            return bool(found) and not others

        limit = time.monotonic() + seconds
        wait_until(f"every task of {self.dag_id} is {state}", all_there, seconds + 10)

    def succeeds(self, seconds: float) -> None:
        """Wait until all is well."""
        self.until("success", seconds)
        # What is cleared before that would stay as it is: the run would be finished all the same.
        wait_until(f"the run of {self.dag_id} is over", lambda: self.state() == "success", 30)

    def mark(self, state: str) -> None:
        """Mark the run, as a person does in the UI."""
        self.airflow.api("PATCH", self._path, {"state": state})

    def clear(self, *task_ids: str) -> None:
        """Clear tasks, as a person does in the UI."""
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "only_failed": False,
            "task_ids": list(task_ids) or None,
            "reset_dag_runs": True,
        }
        self.airflow.api("POST", f"dags/{self.dag_id}/clearTaskInstances", body)

    def xcom(self, task_id: str) -> Any:
        """Return what a task returned."""
        path = f"{self._path}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.airflow.api("GET", path, map_index=-1, deserialize=False)["value"]

    @property
    def _logs(self) -> Path:
        return self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"

    def triggerers(self, task_id: str) -> set[str]:
        """Return the jobs of the triggerers that have waited for a task."""
        return {log.name.split(".")[-2] for log in self._logs.glob(f"task_id={task_id}/*.trigger.*.log")}

    def log_lines(self, part: str) -> list[str]:
        """Return the lines of all task logs of the run that contain a text."""
        return [line for log in self._logs.rglob("*.log") for line in log.read_text().splitlines() if part in line]

    def resumed_after(self, moment: float) -> tuple[list[float], list[float]]:
        """Return how many seconds after a moment triggers saw an end, and how many after it tasks went on."""
        seen, resumed = (self._said(part, moment) for part in ("Trigger fired event", "::group::Pre Execute"))
        return seen, resumed

    def _said(self, part: str, since: float) -> list[float]:
        times = (json.loads(line)["timestamp"] for line in self.log_lines(part))
        after = (datetime.fromisoformat(time).timestamp() - since for time in times)
        return sorted(seconds for seconds in after if seconds > 0)

    def logs(self, task_ids: Collection[str], lines: int = 15) -> str:
        """Return the ends of the logs of some tasks."""
        shown = []
        for log in sorted(self._logs.rglob("*.log")):
            if any(f"task_id={task_id}" in log.parts for task_id in task_ids):
                shown += [f"--- {log.relative_to(self._logs)}", *map(_readable, log.read_text().splitlines()[-lines:])]
        return "\n".join(shown)


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line[:500]
    return f"{entry.get('timestamp', '')[11:23]} {entry.get('event')} {entry.get('error_detail') or ''}"[:1500]
