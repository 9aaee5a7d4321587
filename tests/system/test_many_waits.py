"""Many deferred waits of mixed kinds share their calls, and each ends."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import requests

from tests.system.conftest import WAITS
from tests.system.harness import Airflow, Sandbox, wait_until

pytestmark = pytest.mark.system

POLLS = {"/bulk/tasks/get": "tasks", "/storage/imports/get": "imports", "/workspaces/": "workspaces"}
#: Four kinds.
EACH = WAITS // 4
HOURS = 50_000.0
SECONDS = 6.0


def start_task(sandbox: Sandbox, number: int) -> str:
    """Start a task as somebody else would."""
    answer = requests.post(
        f"{sandbox.url}/v2/tasks",
        params={"action": "run"},
        json={
            "name": f"somebody else's {number}",
            "project": "labuser/small",
            "app": "labuser/rnaseq-cohort/salmon-workflow",
            "inputs": {"threads": 1, "reads": []},
        },
        headers={"X-SBG-Auth-Token": sandbox.get("")["tokens"]["sb"]["labuser"]},
        timeout=10,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def polls(sandbox: Sandbox, since: int) -> Counter[str]:
    """Count looks by what was looked at."""
    return Counter(
        kind
        for entry in sandbox.journal(since)
        for path, kind in POLLS.items()
        if entry["path"].endswith(path) and entry["method"] == ("GET" if kind == "workspaces" else "POST")
    )


def test_many_waits_of_mixed_kinds_share_their_calls(airflow: Airflow, sandbox: Sandbox) -> None:
    slow = ("task_running_seconds", "import_running_seconds")
    usual = {name: sandbox.get("/config")["sb"][name] for name in slow}
    sandbox.set("/config", dict.fromkeys(slow, HOURS))
    workspaces = sandbox.edit("src/add_workspaces/waits", count=EACH, status="paused")["ids"]
    before = sandbox.effects()
    try:
        run = airflow.run(
            "waits",
            tasks=[start_task(sandbox, number) for number in range(EACH)],
            workspaces=workspaces,
        )
        run.until("deferred", 120 + 3.0 * WAITS)
    finally:
        sandbox.set("/config", usual)

    since = int(sandbox.journal()[-1]["n"])
    wait_until("every kind is looked at", lambda: len(polls(sandbox, since)) == len(POLLS), 60)
    since = int(sandbox.journal()[-1]["n"])
    time.sleep(SECONDS)
    looked = polls(sandbox, since)
    # Each triggerer has a poller of its own, and each kind is looked at once a second, 100 per call. Workspaces are
    # listed, and there are some more.
    rounds = len(airflow.alive_triggerers()) * (SECONDS + 3)
    for kind, items in (("tasks", 2 * EACH), ("imports", EACH), ("workspaces", EACH + 30)):
        assert 1 <= looked[kind] <= rounds * -(-items // 100), f"{looked} in {SECONDS:g} s"
    print(f"{WAITS} waits: {sum(looked.values())} calls in {SECONDS:g} s, one by one {WAITS * SECONDS:g}")

    sandbox.set("/clock", {"advance": 2 * HOURS})
    for id_ in workspaces:
        sandbox.edit(f"src/workspace/{id_}", status="running")
    run.succeeds(120 + 3.0 * WAITS)
    effects = sandbox.effects()
    effects.subtract(before)
    assert effects["tasks_created"] == 2 * EACH, "the sensors' tasks and the batches, each once"
    assert effects["imports_created"] == effects["files_imported"] == EACH
    wait_until("no trigger is left", lambda: not airflow.triggers_by_triggerer(), 30)
