"""Each recipe does what it says, for the calls that it says."""

import re
from collections import Counter
from typing import Any

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.dags.conftest import EXAMPLE_DAGS

#: Looks at what still runs, and the listing of what a batch has made.
LOOKS = ("/bulk/storage/imports/get", "/bulk/storage/exports/get", "/bulk/tasks/get", "/v2/tasks")
EFFECTS = {
    "recipe_1_run_a_workflow": {"children_created": 500, "batches_completed": 1},
    "recipe_2_copy": {"files_copied": 1000},
    "recipe_3_import": {"files_imported": 1000},
    "recipe_4_metadata": {"files_edited": 1000},
    "recipe_5_delete": {"files_deleted": 1000},
    "recipe_6_export": {"files_exported": 1000},
    "recipe_7_list": {},
    "recipe_8_find_a_project": {},
}


def load() -> Any:
    """Return the DAGs by id. The configuration says how often they look, so it must have been set before."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(EXAMPLE_DAGS / "seven_bridges_recipes.py")).dags


def test_there_are_eight() -> None:
    assert sorted(load()) == sorted(EFFECTS)


@pytest.mark.parametrize("name", EFFECTS)
def test_it_costs_what_it_says(name: str, sandbox: Sandbox) -> None:
    dag = load()[name]
    for task in dag.tasks:
        task.retries = 0
    assert str(dag.test().state) == "success"
    calls = [
        entry
        for entry in sandbox.journal()
        if not (entry["path"].endswith(LOOKS) and not (entry["method"] == "POST" and entry["path"] == "/v2/tasks"))
    ]
    said = re.search(r"(\d+) calls? instead of [\d,]+$", dag.description)
    assert said
    assert len(calls) == int(said[1]), Counter(f"{entry['method']} {entry['route']}" for entry in calls)
    effects = sandbox.counters()["effects"].get("sb", {})
    assert EFFECTS[name].items() <= effects.items()
    assert not sandbox.counters()["refusals"]
