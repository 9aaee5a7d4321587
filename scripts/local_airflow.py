"""A throwaway Airflow beside a sandbox, both on loopback: for the demo, the UI and the system test."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_DAGS = ROOT / "example_dags"
GRACE_SECONDS = 10.0
START_SECONDS = 90.0


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get_json(url: str, body: Any = None, method: str | None = None, **headers: str) -> Any:
    """Ask a service on loopback, past any proxy; with a body it is a POST, if nothing else is said."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


def stopped_by(number: int) -> BaseException:
    """Return what ends a program that was sent a signal."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextlib.contextmanager
def stops_cleanly(stopped: Callable[[int], BaseException] = stopped_by) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP run every ``finally``, and let no second one interrupt that.

    :param stopped: makes what is raised, from the number of the signal; default :func:`stopped_by`.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, _frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise stopped(number)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process in a session of its own, and end everything in that session afterwards, whatever happens."""
    process = subprocess.Popen(command, text=True, start_new_session=True, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        end(process)


def end(*processes: subprocess.Popen[str], politely: bool = True) -> None:
    """End sessions with all that is in them: first politely, then not.

    A group is not enough: Airflow gives each running task a group of its own.

    :param politely: with false, as a power cut would.
    """
    for number in (signal.SIGTERM, signal.SIGKILL) if politely else (signal.SIGKILL,):
        left = _members(processes)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        until = time.monotonic() + GRACE_SECONDS
        while left and time.monotonic() < until:
            time.sleep(0.05)
            left = _members(processes)
        if not left:
            return


def _members(processes: Sequence[subprocess.Popen[str]]) -> list[int]:
    sessions = {process.pid for process in processes}
    for process in processes:
        process.poll()
    found = []
    for one in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(one.pid) in sessions and one.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
    return found


class SandboxProcess:
    """A sandbox in a process of its own.

    :param url: its base URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    @contextlib.contextmanager
    def run(cls, *, speed: float, log: Path, arguments: tuple[str, ...] = ()) -> Iterator[SandboxProcess]:
        """Start a sandbox on a free port and end it afterwards.

        :param speed: virtual seconds per second of its life cycles; its request limits stay in real time.
        :param log: file for its error output.
        :param arguments: further arguments of ``python -m airflow_src_provider.sandbox``.
        """
        command = [sys.executable, "-m", "airflow_src_provider.sandbox", "--port", "0", "--speed", str(speed)]
        with (
            log.open("w") as errors,
            started([*command, *arguments], stdout=subprocess.PIPE, stderr=errors, cwd=ROOT) as process,
        ):
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            if ready[:1] != ["ready"]:
                raise RuntimeError(f"the sandbox did not start, see {log}")
            yield cls(ready[1])

    def get(self, path: str) -> Any:
        """Ask the sandbox about itself; such requests cost nothing and are not in its journal."""
        return get_json(f"{self.url}/_sandbox{path}")

    def set(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change the sandbox."""
        return get_json(f"{self.url}/_sandbox{path}", body)

    def files(self, project: str, fields: str) -> Iterator[Any]:
        """Ask for all files of a project as anybody could, without the provider."""
        token = self.get("")["tokens"]["sb"]["labuser"]
        query = urlencode({"project": project, "fields": fields, "limit": 100})
        for offset in itertools.count(0, 100):
            items = get_json(f"{self.url}/v2/files?{query}&offset={offset}", **{"X-SBG-Auth-Token": token})["items"]
            yield from items
            if len(items) < 100:
                return

    def connections(self) -> dict[str, str]:
        """Return both connections as the environment variables that Airflow reads."""
        tokens = self.get("")["tokens"]
        # With host and port apart: Airflow 3.3.2 cannot test a stored connection from the UI when it has no port.
        host, _, port = self.url.rpartition(":")
        place = {"host": host, "port": int(port), "description": f"The sandbox at {self.url}"}
        src = {"conn_type": "surf_research_cloud", "password": tokens["src"]["researcher1"], **place}
        sb = {"conn_type": "seven_bridges", "password": tokens["sb"]["labuser"], **place}
        return {
            "AIRFLOW_CONN_SRC_DEFAULT": json.dumps(src),
            "AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT": json.dumps(sb),
        }


def airflow_environment(home: Path, **settings: str) -> dict[str, str]:
    """Return an environment in which Airflow knows nothing of the user's own Airflow.

    :param home: Airflow's home; emptied.
    :param settings: further settings, such as ``CORE__PARALLELISM="4"``.
    """
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith(("AIRFLOW", "_AIRFLOW"))}
    defaults = {
        "CORE__DAGS_FOLDER": str(EXAMPLE_DAGS),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__UNIT_TEST_MODE": "False",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    local = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
    return own | local | {"AIRFLOW_HOME": str(home)} | {f"AIRFLOW__{k}": v for k, v in (defaults | settings).items()}


def prepare(environment: Mapping[str, str], connections: Mapping[str, str], log: Path) -> None:
    """Make Airflow's database, with connections in it, where the UI shows them.

    :param environment: of that Airflow.
    :param connections: as environment variables that hold JSON.
    :param log: file for the output.
    :raises subprocess.CalledProcessError: it failed.
    """
    with log.open("w") as output:
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "prepare_airflow.py")],
            env={**environment, **connections},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )


class LocalAirflow:
    """All of Airflow on loopback, as ``airflow standalone`` starts it.

    Not that command itself: it also starts log servers, which listen on all interfaces.

    :param url: address of the UI and the API.
    :param password: of the user ``admin``.
    """

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self.password = password
        self._token = ""

    @classmethod
    @contextlib.contextmanager
    def run(cls, home: Path, connections: dict[str, str], *, port: int, **settings: str) -> Iterator[LocalAirflow]:
        """Start database, scheduler with LocalExecutor, DAG processor, triggerer and API server; end them afterwards.

        :param home: Airflow's home; emptied.
        :param connections: as environment variables; they are put into the database, where the UI shows them.
        :param port: of the UI.
        :param settings: as for :func:`airflow_environment`.
        """
        airflow = cls(f"http://127.0.0.1:{port}", secrets.token_urlsafe(9))
        passwords = home / "passwords.json"
        environment = airflow_environment(
            home,
            **{
                "API__HOST": "127.0.0.1",
                "API__PORT": str(port),
                "API__BASE_URL": airflow.url,
                "API__WORKERS": "1",
                "API__SECRET_KEY": secrets.token_hex(16),
                "API_AUTH__JWT_SECRET": secrets.token_hex(32),
                "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "CORE__EXECUTION_API_SERVER_URL": f"{airflow.url}/execution/",
                "CORE__EXECUTOR": "LocalExecutor",
                "CORE__PARALLELISM": "3",
                "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
                **settings,
            },
        )
        passwords.write_text(json.dumps({"admin": airflow.password}))
        passwords.chmod(0o600)
        command = [sys.executable, "-m", "airflow"]
        prepare(environment, connections, home / "prepare.log")
        parts = {
            "api-server": [],
            "dag-processor": [],
            "scheduler": ["--skip-serve-logs"],
            "triggerer": ["--skip-serve-logs"],
        }
        processes: list[subprocess.Popen[str]] = []
        try:
            for name, arguments in parts.items():
                log = (home / f"{name}.log").open("w")
                processes.append(
                    subprocess.Popen(
                        [*command, name, *arguments],
                        env=environment,
                        cwd=ROOT,
                        text=True,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
                log.close()
            airflow.wait_until_ready(processes, dict(zip(parts, (home / f"{name}.log" for name in parts), strict=True)))
            yield airflow
        finally:
            end(*processes)

    def wait_until_ready(self, processes: Sequence[subprocess.Popen[str]], logs: Mapping[str, Path]) -> None:
        """Return as soon as every part is healthy.

        :raises RuntimeError: when one has ended, or not all are healthy in time.
        """
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            for process, (name, log) in zip(processes, logs.items(), strict=True):
                if process.poll() is not None:
                    raise RuntimeError(f"Airflow's {name} has ended, see {log}")
            with contextlib.suppress(OSError):
                health = get_json(f"{self.url}/api/v2/monitor/health")
                if all(health[part]["status"] == "healthy" for part in ("scheduler", "triggerer", "dag_processor")):
                    return
            time.sleep(0.5)
        raise RuntimeError(f"Airflow was not ready after {START_SECONDS:.0f} s, see {next(iter(logs.values())).parent}")

    def load_examples(self) -> list[str]:
        """Wait until every example file has been read, and switch those on that run only when asked; return their ids.

        :raises RuntimeError: when a file cannot be read, or not in time.
        """
        files = len(list(EXAMPLE_DAGS.glob("*.py")))
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            for error in self.api("importErrors")["import_errors"]:
                raise RuntimeError(f"{error['filename']} cannot be loaded:\n{error['stack_trace']}")
            dags = self.api("dags?limit=100")["dags"]
            if len({dag["fileloc"] for dag in dags}) >= files:
                ready = [dag["dag_id"] for dag in dags if dag["timetable_summary"] is None]
                for dag_id in ready:
                    self.api(f"dags/{dag_id}", {"is_paused": False}, "PATCH")
                return ready
            time.sleep(0.5)
        raise RuntimeError(f"the DAGs of {EXAMPLE_DAGS} were not loaded within {START_SECONDS:.0f} s")

    def api(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Ask Airflow's API as ``admin``; with a body it is a POST, if nothing else is said."""
        if not self._token:
            login = {"username": "admin", "password": self.password}
            self._token = get_json(f"{self.url}/auth/token", login)["access_token"]
        return get_json(f"{self.url}/api/v2/{path}", body, method, Authorization=f"Bearer {self._token}")
