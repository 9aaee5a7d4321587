"""Many deferred waits of mixed kinds share their calls, and each ends."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.system.conftest import FOREVER, WAITS, Measured
from tests.system.harness import Airflow
from tests.system.runs import Run
from tests.system.services import Ledger, Sandbox
from tests.system.stories import Stories, begins
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

POLLS = {"/bulk/tasks/get": "tasks", "/storage/imports/get": "imports", "/workspaces/": "workspaces"}
#: Four kinds.
EACH = WAITS // 4
SECONDS = 6.0
PATIENCE = 240.0 + 3.0 * WAITS


def waits(airflow: Airflow, places: dict[str, Sandbox]) -> tuple[Run, list[str], Ledger]:
    sandbox = places["waits"]
    workspaces = sandbox.edit("src/add_workspaces/waits", count=EACH, status="paused")["ids"]
    since = Ledger(sandbox)
    tasks = [sandbox.start_task(f"somebody else's {number}") for number in range(EACH)]
    return airflow.run("waits", tasks=tasks, workspaces=workspaces), workspaces, since


def polls(since: Ledger) -> Counter[str]:
    """Count looks by what was looked at."""
    return Counter(
        kind
        for entry in since.requests()
        for path, kind in POLLS.items()
        if entry["path"].endswith(path) and entry["method"] == ("GET" if kind == "workspaces" else "POST")
    )


@begins(waits)
def test_many_waits_of_mixed_kinds_share_their_calls(
    stories: Stories, airflow: Airflow, places: dict[str, Sandbox], measured: Measured
) -> None:
    sandbox = places["waits"]
    run, workspaces, since = stories(waits)
    airflow.both_triggerers()
    run.until("deferred", PATIENCE)

    from_now = Ledger(sandbox)
    wait_until("every kind is looked at", lambda: len(polls(from_now)) == len(POLLS), 120)
    from_now = Ledger(sandbox)
    time.sleep(SECONDS)
    looked = polls(from_now)
    # Each triggerer has a poller of its own, and each kind is looked at once a second, 100 per call. Workspaces are
    # listed, and there are some more.
    rounds = len(airflow.triggerers) * (SECONDS + 3)
    for kind, items in (("tasks", 2 * EACH), ("imports", EACH), ("workspaces", EACH + 30)):
        assert 1 <= looked[kind] <= rounds * -(-items // 100), f"{looked} in {SECONDS:g} s"
    measured(f"{WAITS} waits: {sum(looked.values())} calls in {SECONDS:g} s, one by one {WAITS * SECONDS:g}")

    sandbox.set("/clock", {"advance": FOREVER})
    for id_ in workspaces:
        sandbox.edit(f"src/workspace/{id_}", status="running")
    run.succeeds(PATIENCE)
    effects = since.effects()
    assert effects["tasks_created"] == 2 * EACH, "the sensors' tasks and the batches, each once"
    assert effects["imports_created"] == effects["files_imported"] == EACH
    left = "select count(*) from trigger join task_instance on trigger_id = trigger.id where dag_id = 'waits'"
    wait_until("no trigger is left", lambda: airflow.query(left) == [(0,)], 30)
