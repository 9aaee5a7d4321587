"""A throwaway Airflow beside a sandbox, both on loopback: for the demo, the UI and the system test."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_DAGS = ROOT / "example_dags"
GRACE_SECONDS = 10.0


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get_json(url: str, body: Any = None, token: str = "") -> Any:
    """Ask a service on loopback, past any proxy; with a body it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", "X-SBG-Auth-Token": token})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return json.load(answer)


@contextlib.contextmanager
def stops_cleanly() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exit that runs every ``finally``, as Ctrl-C does."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process in a group of its own, and end the whole group afterwards, whatever happens."""
    process = subprocess.Popen(command, text=True, start_new_session=True, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a process and everything in its group: first politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group may live on when its leader is gone.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            if not _wait_for_group(process.pid):
                return


def _wait_for_group(group: int) -> bool:
    """Tell whether some process of the group is still there after the grace."""
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        time.sleep(0.05)
    return True


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
            items = get_json(f"{self.url}/v2/files?{query}&offset={offset}", token=token)["items"]
            yield from items
            if len(items) < 100:
                return

    def connections(self) -> dict[str, str]:
        """Return both connections as the environment variables that Airflow reads."""
        tokens = self.get("")["tokens"]
        return {
            "AIRFLOW_CONN_SRC_DEFAULT": json.dumps(
                {"conn_type": "surf_research_cloud", "host": f"{self.url}/v1", "password": tokens["src"]["researcher1"]}
            ),
            "AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT": json.dumps(
                {"conn_type": "seven_bridges", "host": f"{self.url}/v2", "password": tokens["sb"]["labuser"]}
            ),
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
