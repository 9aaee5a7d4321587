"""The example DAG under a real scheduler, LocalExecutor and triggerer, once."""

import copy
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from airflow_src_provider.sandbox.seven_bridges.seed import DEFAULT_SEED
from scripts.local_airflow import LocalAirflow, SandboxProcess, free_port

pytestmark = pytest.mark.system

DAG = "rnaseq_cohort"
SAMPLES = 18
MOST_SECONDS = 180.0


def seed_file(directory: Path) -> Path:
    seed = copy.deepcopy(DEFAULT_SEED)
    bucket = next(volume for volume in seed["volumes"] if volume.get("fastq"))
    bucket["fastq"]["samples"] = SAMPLES
    path = directory / "seed.json"
    path.write_text(json.dumps({"sb": seed}))
    return path


def test_a_run_under_the_real_scheduler_and_triggerer(tmp_path: Path) -> None:
    seed = ("--seed", str(seed_file(tmp_path)))
    fast = {"AIRFLOW_SRC_PROVIDER__POLL_INTERVAL": "1", "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5"}
    with (
        SandboxProcess.run(speed=60.0, log=tmp_path / "sandbox.log", arguments=seed) as sandbox,
        LocalAirflow.run(tmp_path / "home", sandbox.connections(), port=free_port(), **fast) as airflow,
    ):
        assert DAG in airflow.load_examples()
        until = time.monotonic() + MOST_SECONDS
        run = airflow.api(f"dags/{DAG}/dagRuns", {"logical_date": None})["dag_run_id"]
        while (state := airflow.api(f"dags/{DAG}/dagRuns/{run}")["state"]) in ("queued", "running"):
            assert time.monotonic() < until, "the run never ended"
            time.sleep(0.5)
        tasks = airflow.api(f"dags/{DAG}/dagRuns/{run}/taskInstances")["task_instances"]
        assert state == "success", {task["task_id"]: task["state"] for task in tasks}
        assert Counter(task["state"] for task in tasks) == {"success": 8}
        counters, inside = sandbox.get("/counters"), sandbox.get("/state")
    assert counters["effects"]["src"] == {"resume_accepted": 1, "pause_accepted": 1}
    sb = counters["effects"]["sb"]
    assert [sb[name] for name in ("files_imported", "children_created", "files_exported")] == [36, 18, 18]
    assert inside["sb"]["files_by_project"]["labuser/rnaseq-results"] == SAMPLES
    assert not counters["refusals"]
    assert set(counters["statuses"]) == {"200"}
