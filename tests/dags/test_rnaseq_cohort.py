"""The documentation's main DAG, run by Airflow against the sandbox: to its end, and when something fails on the way."""

import csv
from typing import Any

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.dags.conftest import EXAMPLE_DAGS

COHORT, RESULTS, BUCKET = "labuser/rnaseq-cohort", "labuser/rnaseq-results", "labuser/cohort_bucket"
MACHINE = "gpu-box"
PROMISED_CALLS = 120


def run() -> tuple[str, dict[str, Any]]:
    """Run the DAG once without a second try; return its state and those of its tasks."""
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(EXAMPLE_DAGS / "rnaseq_cohort.py")).dags["rnaseq_cohort"]
    for task in dag.tasks:
        task.retries = 0
    outcome = dag.test()
    return str(outcome.state), {ti.task_id: str(ti.state) for ti in outcome.get_task_instances()}


def machine(sandbox: Sandbox) -> Any:
    sandbox.advance(0)
    return next(w for w in sandbox.state.src.world.workspaces.values() if w.name == MACHINE)


def small(sandbox: Sandbox) -> None:
    """Leave 24 of the 1000 files on the volume: failing does not take more."""
    volume = sandbox.state.sb.store.volumes[BUCKET]
    kept = [f"run1/S{sample:04d}_R{read}.fastq.gz" for sample in range(1, 13) for read in (1, 2)]
    volume.objects = {location: volume.objects[location] for location in kept}


def test_a_cohort_from_the_bucket_to_the_results(sandbox: Sandbox) -> None:
    state, tasks = run()
    assert (state, set(tasks.values())) == ("success", {"success"})
    effects = sandbox.counters()["effects"]
    assert effects["sb"]["files_imported"] == 1000
    assert effects["sb"]["children_created"] == 500
    assert effects["sb"]["files_exported"] == 500
    store = sandbox.state.sb.store
    files = [node for node in store.nodes.values() if not node.is_folder]
    with (EXAMPLE_DAGS / "cohort.csv").open(newline="") as sheet:
        labels = {row.pop("name"): row for row in csv.DictReader(sheet)}
    assert {n.name: n.metadata for n in files if n.project == COHORT and n.name in labels} == labels
    assert sum(node.project == RESULTS for node in files) == 500
    assert not any(node.is_alias for node in files if node.name.endswith(".quant.sf"))
    assert sum(key.startswith("results/run1/") for key in store.volumes[BUCKET].objects) == 500
    assert machine(sandbox).status == "paused"
    assert effects["src"] == {"resume_accepted": 1, "pause_accepted": 1}
    assert not sandbox.counters()["refusals"]
    assert len(sandbox.journal()) <= PROMISED_CALLS


@pytest.mark.parametrize(
    ("switches", "broken"),
    [
        ({"fail_imports": "S0007_R1"}, "reads"),
        ({"batch_failed_children": 2}, "salmon"),
        ({"fail_exports": r"S0003"}, "results"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_machine_is_paused_whatever_fails(sandbox: Sandbox, switches: dict[str, Any], broken: str) -> None:
    small(sandbox)
    sandbox.configure(sb=switches)
    state, tasks = run()
    order = ["machine", "reads", "sheet", "salmon", "results", "shared", "done"]
    before, after = order[: order.index(broken)], order[order.index(broken) + 1 :]
    assert tasks == {
        **dict.fromkeys(before, "success"),
        broken: "failed",
        **dict.fromkeys(after, "upstream_failed"),
        "pause": "success",
    }
    assert state == "failed"
    assert machine(sandbox).status == "paused"


def test_a_machine_that_stays_on_fails_the_run(sandbox: Sandbox) -> None:
    small(sandbox)
    sandbox.fault(service="src", method="POST", path="/pause/", action="status", status=403, times=None)
    state, tasks = run()
    assert (state, tasks["done"], tasks["pause"]) == ("failed", "success", "failed")


def test_a_machine_that_does_not_start_stops_everything(sandbox: Sandbox) -> None:
    small(sandbox)
    sandbox.fault(service="src", method="POST", path="/resume/", action="status", status=403, times=None)
    state, tasks = run()
    assert (state, tasks.pop("machine")) == ("failed", "failed")
    assert set(tasks.values()) == {"upstream_failed"}
    assert not [entry for entry in sandbox.journal() if entry["service"] == "sb"]
