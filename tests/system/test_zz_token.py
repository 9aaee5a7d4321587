"""What all system tests have left behind, and a run that is after the token, hold no token. Runs last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.fernet import Fernet

from tests.secrets.search import Processes, Search
from tests.system.harness import FERNET_KEY, Airflow
from tests.system.services import Sandbox
from tests.system.waiting import SOAK, wait_until

pytestmark = pytest.mark.system

#: Put there by the tests themselves: what the sandbox starts from.
OURS = ("seed.json",)
PATIENCE = 240.0


def tokens_of(places: dict[str, Sandbox]) -> set[str]:
    """Return the tokens that any sandbox knows."""
    halves = [half for sandbox in places.values() for half in sandbox.get("")["tokens"].values()]
    return {token for half in halves for token in half.values()}


def repeat_the_tokens(sandbox: Sandbox, sb: str, src: str) -> None:
    """Let each service repeat what it was sent: in JSON, in a page, in a header, in an error and in a success."""
    echoes: list[dict[str, Any]] = [
        {"service": "sb", "path": "/user", "status": 401, "json": {"code": 90001, "message": f"not valid: {sb}"}},
        {"service": "sb", "path": "/files", "status": 400, "html": f"<pre>X-SBG-Auth-Token: {sb}</pre>"},
        {"service": "src", "path": "/users/self/", "status": 200, "json": {"username": src, "about": {src: [src]}}},
        {"service": "src", "path": "/workspaces/", "status": 502, "html": f"<h1>{src}</h1>", "times": 6, "skip": 1},
    ]
    for echo in echoes:
        headers = {"X-Request-Id": {"sb": sb, "src": src}[echo["service"]]}
        sandbox.set("/faults", {"action": "status", "times": None, "headers": headers, **echo})


def stored_tokens(airflow: Airflow) -> dict[str, str]:
    """Return the tokens that the connections hold now, by connection; they must be encrypted."""
    rows = airflow.query("select conn_id, password from connection where password is not null")
    return {conn_id: Fernet(FERNET_KEY).decrypt(password.encode()).decode() for conn_id, password in rows}


def of_the_session(airflow: Airflow) -> Iterable[psutil.Process]:
    """Return every process that Airflow has started, also those that their parents have left."""
    leaders = {component.pid for component in airflow.components if component.alive}
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in leaders:
                yield process
        except (OSError, psutil.Error):
            continue


def test_no_token_is_left_anywhere(
    airflow: Airflow, places: dict[str, Sandbox], sandbox: Sandbox, folder: Path
) -> None:
    search = Search(tokens_of(places), FERNET_KEY)
    workspace = sandbox.edit("src/add_workspaces/secret", count=1, status="paused")["ids"][0]
    stored = stored_tokens(airflow)
    repeat_the_tokens(sandbox, stored["seven_bridges_default"], stored["src_default"])
    with Processes(lambda: of_the_session(airflow), every=0.5) as processes:
        run = airflow.run("secrets", workspace=workspace)
        wait_until("all is over but the wait", lambda: over(run.states()), PATIENCE)
        found = search.in_database(airflow.database)
        sandbox.drop_faults()
        sandbox.edit(f"src/workspace/{workspace}", status="running")
        wait_until("the wait is over", lambda: not run.states()["deferred"] and run.state() == "failed", PATIENCE)
    states = {task["task_id"]: task["state"] for task in run.tasks()}
    # How the wait ends is not what this is about.
    assert states.pop("waits") in ("success", "failed")
    assert states == {"shown": "success", "repeated": "success", "refused": "failed", "page": "failed"}

    found += search.in_files(folder, except_for=OURS)
    found += search.in_database(airflow.database)
    for command in processes.seen:
        found += search.in_text(command, command.split("\0", 1)[0])
    assert not found, "\n".join(found)

    # It would be no wonder if nothing was found where nothing is.
    logs = "".join(path.read_text(errors="replace") for path in folder.rglob("*.log"))
    missing = [trace for trace in ("connectionpool", "not valid: ***", "HTTP 401", "502") if trace not in logs]
    assert not missing, missing
    assert "***" in json.dumps(run.xcom("repeated"))
    for place in ("rows of trigger", "rows of xcom", "rows of log", "rows of rendered_task_instance_fields", "texts"):
        assert search.looked_at.get(place), f"{place}: {search.looked_at}"
    if SOAK:
        assert "COMPLETE" in (folder / "lineage.jsonl").read_text()


def over(states: dict[str, int]) -> bool:
    return states.get("deferred") == 1 and sum(states[state] for state in ("success", "failed")) == 4


def test_connections_are_kept_encrypted(airflow: Airflow, places: dict[str, Sandbox]) -> None:
    stored = stored_tokens(airflow)
    assert stored.keys() >= {"src_default", "seven_bridges_default"}
    assert set(stored.values()) <= tokens_of(places)
    assert not [extra for (extra,) in airflow.query("select extra from connection") if extra and "rate_limit" in extra]
