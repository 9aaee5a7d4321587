"""What a system test needs besides Airflow: a database, a message broker and a sandbox that nobody else uses."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import redis
import requests
from sqlalchemy import create_engine, text

from scripts.local_airflow import SandboxProcess

POSTGRES = "127.0.0.1:5432"
REDIS = "redis://127.0.0.1:6379/0"


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


@contextlib.contextmanager
def redis_keys() -> Iterator[str]:
    """Yield a beginning of keys in the local Redis that nobody else uses; what has it is deleted afterwards."""
    prefix = f"airflow_test_{uuid.uuid4().hex[:12]}:"
    redis.Redis.from_url(REDIS, socket_connect_timeout=2).ping()
    try:
        yield prefix
    finally:
        forget(f"{prefix}*")


def forget(pattern: str) -> None:
    """Delete keys from the local Redis."""
    with redis.Redis.from_url(REDIS) as server:
        for key in list(server.scan_iter(match=pattern, count=1000)):
            server.delete(key)


class Sandbox(SandboxProcess):
    """The sandbox, with what these tests ask of it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        #: Requests that a test has sent itself.
        self.own_requests = 0

    def start_task(self, name: str) -> str:
        """Start a task as somebody else would, and return its id."""
        self.own_requests += 1
        answer = requests.post(
            f"{self.url}/v2/tasks",
            params={"action": "run"},
            json={
                "name": name,
                "project": "labuser/small",
                "app": "labuser/rnaseq-cohort/salmon-workflow",
                "inputs": {"threads": 1, "reads": []},
            },
            headers={"X-SBG-Auth-Token": self.get("")["tokens"]["sb"]["labuser"]},
            timeout=10,
        )
        answer.raise_for_status()
        return str(answer.json()["id"])

    def connections_as(self, name: str) -> dict[str, str]:
        """Return the connections ``name_src`` and ``name_sb`` as environment variables."""
        src, sb = self.connections().values()
        return {f"AIRFLOW_CONN_{name.upper()}_SRC": src, f"AIRFLOW_CONN_{name.upper()}_SB": sb}

    def effects(self) -> Counter[str]:
        """Return how often each effect happened since the last reset."""
        counted = self.get("/counters")["effects"]
        return Counter({name: number for half in counted.values() for name, number in half.items()})

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests after a number."""
        entries: list[dict[str, Any]] = self.get(f"/journal?since={since}")["entries"]
        return entries

    def refusals(self) -> int:
        """Return how many requests were refused for being too many."""
        return sum(self.get("/counters")["refusals"].values())

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


class Ledger:
    """What has happened at the services since a moment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._before = sandbox.effects()
        entries = sandbox.journal()
        self._since = int(entries[-1]["n"]) if entries else 0

    def effects(self) -> Counter[str]:
        """Return the number of effects by kind."""
        now = self.sandbox.effects()
        now.subtract(self._before)
        return +now

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests."""
        return self.sandbox.journal(self._since)

    def looks(self, user: str = "labuser") -> list[float]:
        """Return when tasks were looked at with an answer, in epoch seconds."""
        return [
            entry["time"]
            for entry in self.requests()
            if entry["status"] == 200 and entry["user"] == user and entry["path"].endswith("/bulk/tasks/get")
        ]
