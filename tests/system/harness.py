"""A whole Airflow, every process known by its id and ended with the test session.

Scheduler with LocalExecutor, API server, DAG processor and two triggerers; where there is a broker, CeleryExecutor and
two Celery workers as well. Each in a session of its own, all on 127.0.0.1 with free ports, over a home and a database
that nobody else uses. Tests trigger DAGs, look and interfere through the REST API, as a person would, and count at the
sandbox what happened.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import create_engine, text

from scripts.local_airflow import airflow_environment, end, free_port, prepare
from tests.system.runs import Run
from tests.system.services import REDIS
from tests.system.waiting import SOAK, wait_until

START_UP_SECONDS = 240.0
FERNET_KEY = base64.urlsafe_b64encode(b"a key for tests, of 32 bytes ...").decode()
#: How long a triggerer may be silent before another one takes its triggers; Airflow's default is 30.
STALLED_AFTER = 30.0 if SOAK else 12.0
HOSTS = 2
#: Queues of tasks by the triggerer that their triggers go to; whatever is in another queue goes to either.
QUEUES = [f"triggerer-{number}" for number in range(HOSTS)]


class Component:
    """One process with its children, in a session of its own.

    :param name: unique name, also that of its log.
    :param command: what to run.
    :param env: its whole environment.
    :param folder: where its log goes.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._command = list(command)
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
        """Return the id of the process, which is that of its group and session too."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process and the children in its group."""
        os.killpg(self.pid, number)

    @staticmethod
    def kill(*components: Component) -> None:
        """End components and their children as a power cut would, whatever state they are in."""
        begun = [component._process for component in components if component._process is not None]
        for component in components:
            component.expected = False
        end(*begun, politely=False)
        for process in begun:
            # Until then it seems to run.
            process.wait(60)


@contextlib.contextmanager
def ended(*components: Component) -> Iterator[None]:
    """End components afterwards, whatever happens."""
    try:
        yield
    finally:
        Component.kill(*components)


class Airflow:
    """A running Airflow.

    :param folder: for home, logs and database.
    :param dags: folder of DAGs.
    :param env: further environment.
    :param database: SQLAlchemy URL; default SQLite in the folder.
    :param keys: beginning of the keys that Celery may use in Redis; default no Celery.
    """

    def __init__(
        self, folder: Path, dags: Path, env: Mapping[str, str], *, database: str = "", keys: str = "", **settings: str
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.home = folder / "home"
        self.database = database or f"sqlite:///{self.home}/airflow.db?timeout=60"
        defaults = {
            "CORE__DAGS_FOLDER": str(dags),
            "CORE__EXECUTOR": "LocalExecutor",
            # Of each executor.
            "CORE__PARALLELISM": "6",
            "CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
            "CORE__MAX_ACTIVE_RUNS_PER_DAG": "100",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "DATABASE__SQL_ALCHEMY_CONN": self.database,
            "API__HOST": "127.0.0.1",
            "API__PORT": str(port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "CORE__FERNET_KEY": FERNET_KEY,
            "OPENLINEAGE__DISABLED": str(not SOAK),
            "OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": f"{folder}/lineage.jsonl"}),
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(STALLED_AFTER),
            "TRIGGERER__QUEUES_ENABLED": "True",
        }
        if keys:
            defaults |= {
                # Tasks run locally unless they ask for Celery.
                "CORE__EXECUTOR": "LocalExecutor,CeleryExecutor",
                "CELERY__BROKER_URL": REDIS,
                "CELERY__RESULT_BACKEND": f"db+{self.database}",
                "CELERY__SYNC_PARALLELISM": "1",
                "CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": keys,
                # After so many seconds a message of a worker that is gone goes to another one.
                "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "30",
            }
        self._folder = folder
        self.env = airflow_environment(self.home, **(defaults | settings)) | dict(env)
        self.triggerers = [
            self._host(f"triggerer-{number}", "triggerer", "--skip-serve-logs", "--queues", f"default,{queue}")
            for number, queue in enumerate(QUEUES)
        ]
        name = uuid.uuid4().hex[:8]
        celery = ["celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip", "--concurrency", "2"]
        queues = ["--queues", ",".join(["default", *QUEUES])]
        self.workers = [
            self._host(f"worker-{number}", *celery, *queues, "--celery-hostname", f"worker-{number}@{name}")
            for number in range(HOSTS if keys else 0)
        ]
        self.components = [
            self._component("api-server", "api-server", "--host", "127.0.0.1", "--port", str(port)),
            self._component("scheduler", "scheduler", "--skip-serve-logs"),
            self._component("dag-processor", "dag-processor"),
            *self.triggerers,
            *self.workers,
        ]
        self._http = requests.Session()
        self._http.trust_env = False
        self._engine = create_engine(self.database)

    def _component(self, name: str, *command: str, **env: str) -> Component:
        return Component(name, [sys.executable, "-m", "airflow", *command], self.env | env, self._folder)

    def _host(self, name: str, *command: str) -> Component:
        """Return a component that shares no files with the others, as if on a machine of its own."""
        budget = {"AIRFLOW__AIRFLOW_SRC_PROVIDER__BUDGET_DIR": str(self._folder / f"budget-{name}")}
        return self._component(name, *command, **budget)

    @contextlib.contextmanager
    def started(self, connections: Mapping[str, str]) -> Iterator[None]:
        """Make the database, start everything but the second triggerer, and end everything afterwards.

        :param connections: to put into the database, as environment variables.
        """
        prepare(self.env, connections, self._folder / "prepare.log")
        if self.database.startswith("sqlite"):
            # Stays with the file: readers and a writer do not lock each other out, as they would by default.
            self.query("pragma journal_mode=wal")
        with contextlib.closing(self._http), ended(*self.components):
            for component in self.components:
                if component is not self.triggerers[1]:
                    component.start()
            wait_until("a healthy Airflow", self._healthy, START_UP_SECONDS)
            token = self._http.get(f"{self.url}/auth/token", timeout=10).json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
            try:
                yield
            finally:
                self._engine.dispose()

    def check_alive(self) -> None:
        """Check that nothing has ended by itself."""
        for component in self.components:
            if component.expected and not component.alive:
                raise AssertionError(f"{component.name} ended by itself:\n{component.log.read_text()[-4000:]}")

    def _healthy(self) -> bool:
        self.check_alive()
        with contextlib.suppress(requests.RequestException, ValueError):
            health = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            return all(health[part]["status"] == "healthy" for part in ("scheduler", "triggerer", "dag_processor"))
        return False

    def api(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Ask the REST API."""
        answer = self._http.request(method, f"{self.url}/api/v2/{path}", json=body, params=params, timeout=60)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def change_connection(self, conn_id: str, **fields: Any) -> None:
        """Change a connection, as a person does in the UI."""
        self.api("PATCH", f"connections/{conn_id}", {"connection_id": conn_id, **fields})

    def run(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a DAG, as soon as Airflow knows the DAG."""
        wait_until(f"DAG {dag_id} is there", lambda: self._knows(dag_id), 120)
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

    def both_triggerers(self) -> None:
        """Start the triggerers that do not run."""
        for triggerer in self.triggerers:
            if not triggerer.alive:
                triggerer.start()
