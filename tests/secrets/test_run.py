"""Tokens are planted in both connections, every operator and sensor runs, and services repeat what they were sent."""

from __future__ import annotations

import html
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet

from airflow_src_provider.sandbox import Sandbox
from tests.secrets.search import Processes, Search
from tests.secrets.world import (
    FERNET_KEY,
    SB_NEXT_TOKEN,
    SB_TOKEN,
    SRC_NEXT_TOKEN,
    SRC_TOKEN,
    TOKENS,
    Player,
    connections,
    seed,
)
from tests.unit.client.server import ScriptedServer

QUICK = {
    "sb": {"task_queued_seconds": 1.0, "task_running_seconds": 5.0, "batch_creating_seconds": 1.0},
    "src": {f"{what}_seconds": 3.0 for what in ("create", "ip", "pause", "resume", "reboot", "update", "delete")},
}


def repeating(token: str, elsewhere: str) -> list[dict[str, Any]]:
    """Return answers with the token in them, for each kind of place."""
    refused = {"code": 90001, "message": f"not valid: {token}", "more_info": f"https://x.example/?t={quote(token)}"}
    link = {"rel": "next", "href": elsewhere, "next": elsewhere}
    page = {"items": [{"id": "a"}], "results": [{"id": "a"}], "count": 500, "next": elsewhere, "links": [link]}
    return [
        {"status": 401, "json": refused},
        {"status": 400, "html": f"<html><pre>authorization: {html.escape(token)}</pre></html>"},
        {"status": 302, "text": token, "headers": {"Location": f"{elsewhere}?token={quote(token)}"}},
        {"status": 200, "json": {"items": [], "id": token, "username": token, token: {"deep": [token]}}},
        # A list whose next page is said to be on another host.
        {"status": 200, "json": page},
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="module")
def runs(folder: Path, elsewhere: ScriptedServer) -> dict[str, Any]:
    """Run everything; return the states of the tasks by what was done, and the command lines that were there."""
    runs: dict[str, Any] = {}
    with Sandbox(speed=20, seed=seed(), limit=1_000_000, **QUICK) as sandbox, Processes() as processes:
        with Player(folder) as player:
            assert player.dags == ["answers", "everything"]
            runs["everything"] = player.run("everything", connections(sandbox))
            both = zip(repeating(SB_TOKEN, elsewhere.url), repeating(SRC_TOKEN, elsewhere.url), strict=True)
            for number, answers in enumerate(both):
                for service, token, answer in zip(("sb", "src"), (SB_TOKEN, SRC_TOKEN), answers, strict=True):
                    headers = {"X-Request-Id": token, **answer.pop("headers", {})}
                    sandbox.fault(action="status", service=service, times=None, headers=headers, **answer)
                runs[f"answer {number}"] = player.run("answers", connections(sandbox))
                sandbox.clear_faults()
            with sandbox.app.lock:
                sandbox.app.halves["src"].edit("token", "researcher1", {"value": SRC_NEXT_TOKEN})
            runs["other tokens"] = player.run("answers", connections(sandbox, SB_NEXT_TOKEN, SRC_NEXT_TOKEN))
        runs["commands"] = processes.seen
        runs["database"] = player.database
    return runs


def test_every_operator_and_sensor_was_at_work(runs: dict[str, Any]) -> None:
    assert {task: state for task, state in runs["everything"].items() if state != "success"} == {}
    for number in range(3):
        assert set(runs[f"answer {number}"].values()) == {"failed"}, number
    for run in ("answer 3", "other tokens"):
        assert runs[run]["platform_request"] == runs[run]["request"] == "success", run


def test_nothing_that_was_left_behind_holds_a_token(runs: dict[str, Any], folder: Path) -> None:
    search = Search(TOKENS, FERNET_KEY)
    found = search.in_files(folder) + search.in_database(runs["database"])
    for command in runs["commands"]:
        found += search.in_text(command, "a command line")
    assert not found, Counter(found)


def test_there_was_something_to_look_through(runs: dict[str, Any], folder: Path) -> None:
    search = Search(["nothing that anybody would write"], FERNET_KEY)
    search.in_files(folder)
    search.in_database(runs["database"])
    for place in ("xcom", "log", "rendered_task_instance_fields", "task_state_store", "serialized_dag", "trigger"):
        assert search.looked_at.get(f"rows of {place}"), f"no {place}: {search.looked_at}"
    names = {path.name.rpartition(".")[2] for path in (folder / "budget").iterdir()}
    assert {"gate", "lock", "sqlite"} <= names
    raw, lineage = (folder / "raw.log").read_text(), (folder / "lineage.jsonl").read_text()
    assert "HTTP/1.1" in raw
    assert "COMPLETE" in lineage
    assert "sevenbridges://" in lineage
    output = (folder / "output.log").read_text()
    assert "not valid: ***" in output
    assert "Traceback" in output
    assert any("play.py" in command for command in runs["commands"])


def test_connections_are_kept_encrypted(runs: dict[str, Any], folder: Path) -> None:
    rows = sqlite3.connect(folder / "home" / "airflow.db").execute("select password from connection").fetchall()
    opened = {Fernet(FERNET_KEY).decrypt(password.encode()).decode() for (password,) in rows}
    assert opened == {SB_NEXT_TOKEN, SRC_NEXT_TOKEN}


def test_nobody_else_was_asked(runs: dict[str, Any], elsewhere: ScriptedServer) -> None:
    """Neither by a redirect nor by the link to a next page."""
    assert runs
    assert elsewhere.requests == []
