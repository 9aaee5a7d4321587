"""A whole Airflow beside a sandbox, every process known by its id and ended with the test session.

Scheduler with LocalExecutor, API server, DAG processor and two triggerers, each in a process group of its own, all on
127.0.0.1 with free ports, over a home and a database that nobody else uses. Tests trigger DAGs, look and interfere
through the REST API, as a person would, and count at the sandbox what happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import create_engine, text

from scripts.local_airflow import SandboxProcess, airflow_environment, end, free_port

#: The whole of it, as for a release; else a fast cut of the same tests.
SOAK = os.environ.get("SYSTEM_TESTS") == "soak"
POSTGRES = "127.0.0.1:5432"
START_UP_SECONDS = 120.0
#: How long a triggerer may be silent before another one takes its triggers; Airflow's default is 30.
STALLED_AFTER = 30.0 if SOAK else 12.0


def wait_until(what: str, check: Callable[[], Any], seconds: float, every: float = 0.5) -> Any:
    """Return the first true value of ``check``.

    :param what: what is waited for, for the error.
    :param seconds: how long.
    """
    until = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


class Component:
    """One Airflow process with its children.

    :param name: unique name, also that of its log.
    :param command: arguments of the ``airflow`` command.
    """

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "airflow", *command]
        self._env = dict(env)
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None
        #: Whether it should run now.
        self.expected = False

    def start(self) -> None:
        """Start it; returns at once."""
        self.expected = True
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the id of the process, which is that of its group too."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process and all its children."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.expected = False
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    def stop(self) -> None:
        """End it and its children, whatever state they are in."""
        self.expected = False
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
            end(self._process)


class Airflow:
    """A running Airflow.

    :param folder: for home, logs and database.
    :param dags: folder of DAGs.
    :param env: further environment, such as connections.
    :param database: SQLAlchemy URL; default SQLite in the folder.
    :param triggerers: how many of them.
    """

    def __init__(
        self,
        folder: Path,
        dags: Path,
        env: Mapping[str, str],
        *,
        database: str = "",
        triggerers: int = 1,
        **settings: str,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.home = folder / "home"
        self.database = database or f"sqlite:///{self.home}/airflow.db?timeout=60"
        defaults = {
            "CORE__DAGS_FOLDER": str(dags),
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "6",
            "CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            "CORE__MAX_ACTIVE_RUNS_PER_DAG": "100",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "DATABASE__SQL_ALCHEMY_CONN": self.database,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(port),
            "API__BASE_URL": self.url,
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__FERNET_KEY": "",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "18",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(STALLED_AFTER),
        }
        self.env = airflow_environment(self.home, **(defaults | settings)) | dict(env)
        self._components = [
            Component("api-server", ["api-server", "--host", "127.0.0.1", "--port", str(port)], self.env, folder),
            Component("scheduler", ["scheduler", "--skip-serve-logs"], self.env, folder),
            Component("dag-processor", ["dag-processor"], self.env, folder),
        ]
        self.triggerers = [
            Component(f"triggerer-{number}", ["triggerer", "--skip-serve-logs"], self.env, folder)
            for number in range(triggerers)
        ]
        self._components += self.triggerers
        self._http = requests.Session()
        self._http.trust_env = False
        self._engine = create_engine(self.database)

    def cli(self, *arguments: str) -> str:
        """Run an ``airflow`` command and return what it prints."""
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise AssertionError(f"airflow {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Make the database, start everything and wait until all of it answers."""
        self.cli("db", "migrate")
        if self.database.startswith("sqlite"):
            # Stays with the file: readers and a writer do not lock each other out, as they would by default.
            self.query("pragma journal_mode=wal")
        for component in self._components:
            component.start()
        wait_until("a healthy Airflow", self._healthy, START_UP_SECONDS)
        token = self._http.get(f"{self.url}/auth/token", timeout=10).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def check_alive(self) -> None:
        """Check that nothing has ended by itself."""
        for component in self._components:
            if component.expected and not component.alive:
                raise AssertionError(f"{component.name} ended by itself:\n{component.log.read_text()[-4000:]}")

    def _healthy(self) -> bool:
        self.check_alive()
        with contextlib.suppress(requests.RequestException, ValueError):
            health = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            return all(health[part]["status"] == "healthy" for part in ("scheduler", "triggerer", "dag_processor"))
        return False

    def stop(self) -> None:
        """End every process that was started."""
        for component in reversed(self._components):
            component.stop()
        self._engine.dispose()

    def api(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Ask the REST API."""
        answer = self._http.request(method, f"{self.url}/api/v2/{path}", json=body, params=params, timeout=60)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def connection(self, conn_id: str, **fields: Any) -> None:
        """Make a connection in the database, or change it."""
        body = {"connection_id": conn_id, **fields}
        known = {one["connection_id"] for one in self.api("GET", "connections", limit=100)["connections"]}
        if conn_id in known:
            self.api("PATCH", f"connections/{conn_id}", body)
        else:
            self.api("POST", "connections", body)

    def run(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a DAG, as soon as Airflow knows the DAG."""
        wait_until(f"DAG {dag_id} is there", lambda: self._knows(dag_id), 60)
        body = {"logical_date": None, "dag_run_id": f"test-{uuid.uuid4().hex[:8]}", "conf": conf}
        return Run(self, dag_id, self.api("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def _knows(self, dag_id: str) -> bool:
        errors = self.api("GET", "importErrors")["import_errors"]
        assert not errors, errors[0]["stack_trace"]
        return any(dag["dag_id"] == dag_id for dag in self.api("GET", "dags", limit=100)["dags"])

    def query(self, statement: str, **values: Any) -> list[Any]:
        """Look into the database."""
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def triggers_by_triggerer(self) -> Counter[int]:
        """Count triggers by the process id of the triggerer that has them."""
        rows = self.query(
            "select job.id, count(*) from trigger join job on job.id = trigger.triggerer_id group by job.id"
        )
        return Counter(dict(rows))

    def alive_triggerers(self) -> list[Component]:
        """Return the triggerers that run."""
        return [triggerer for triggerer in self.triggerers if triggerer.alive]


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

    def states(self) -> Counter[str]:
        """Count task instances by state."""
        return Counter(str(task["state"]) for task in self.tasks())

    def state(self) -> str:
        """Return the state of the run."""
        return str(self.airflow.api("GET", self._path)["state"])

    def until(self, state: str, seconds: float) -> None:
        """Wait until every task instance, and there is one, has a state."""

        def all_there() -> bool:
            self.airflow.check_alive()
            found = {task["task_id"]: str(task["state"]) for task in self.tasks()}
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

    def xcom(self, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned."""
        path = f"{self._path}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.airflow.api("GET", path, map_index=map_index, deserialize=False)["value"]

    def log_lines(self, part: str) -> list[str]:
        """Return the lines of all task logs of the run that contain a text."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return [line for log in folder.rglob("*.log") for line in log.read_text().splitlines() if part in line]

    def logs(self, task_ids: Collection[str], lines: int = 15) -> str:
        """Return the ends of the logs of some tasks."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        shown = []
        for log in sorted(folder.rglob("*.log")):
            if any(f"task_id={task_id}" in log.parts for task_id in task_ids):
                shown += [f"--- {log.relative_to(folder)}", *map(_readable, log.read_text().splitlines()[-lines:])]
        return "\n".join(shown)


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line[:500]
    return f"{entry.get('timestamp', '')[11:23]} {entry.get('event')} {entry.get('error_detail') or ''}"[:1500]


@contextlib.contextmanager
def postgres_database() -> Iterator[str]:
    """Make an empty database on the local PostgreSQL and drop it afterwards; yield its SQLAlchemy URL."""
    name = f"airflow_test_{uuid.uuid4().hex[:12]}"
    server = create_engine(f"postgresql+psycopg2://postgres@{POSTGRES}/postgres", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'create database "{name}"'))
    try:
        yield f"postgresql+psycopg2://postgres@{POSTGRES}/{name}"
    finally:
        with server.connect() as connection:
            connection.execute(text(f'drop database "{name}" with (force)'))
        server.dispose()


class Sandbox(SandboxProcess):
    """The sandbox, with what these tests ask of it."""

    def effects(self) -> Counter[str]:
        """Return how often each effect happened since the last reset."""
        counted = self.get("/counters")["effects"]
        return Counter({name: number for half in counted.values() for name, number in half.items()})

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests after a number."""
        entries: list[dict[str, Any]] = self.get(f"/journal?since={since}")["entries"]
        return entries

    def edit(self, place: str, **changes: Any) -> Any:
        """Change one object directly."""
        answer = requests.patch(f"{self.url}/_sandbox/{place}", data=json.dumps(changes), timeout=10)
        answer.raise_for_status()
        return answer.json()

    def reset_places(self) -> None:
        """Start its state anew, so that names and places are free again; the clock and the switches stay."""
        self.set("/reset", {})

    def drop_faults(self) -> None:
        """Remove all rules of faults."""
        requests.delete(f"{self.url}/_sandbox/faults", timeout=10).raise_for_status()
