"""The example DAG under a real scheduler, LocalExecutor and triggerer."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from scripts.local_airflow import LocalAirflow, SandboxProcess, free_port
from tests.statsd_server import STAND_INS, Line, StatsdServer
from tests.system.conftest import EXAMPLE, SAMPLES, small_seed
from tests.system.harness import Airflow
from tests.system.runs import Run
from tests.system.services import Sandbox
from tests.system.stories import Stories, begins
from tests.system.waiting import SOAK, wait_until

pytestmark = pytest.mark.system

MOST_SECONDS = 240.0


def example(airflow: Airflow, places: dict[str, Sandbox]) -> Run:
    return airflow.run(EXAMPLE)


def check(sandbox: SandboxProcess) -> None:
    """Check what the run has done at the services."""
    counters, inside = sandbox.get("/counters"), sandbox.get("/state")
    assert counters["effects"]["src"] == {"resume_accepted": 1, "pause_accepted": 1}
    sb = counters["effects"]["sb"]
    assert [sb[name] for name in ("files_imported", "children_created", "files_exported")] == [36, 18, 18]
    assert inside["sb"]["files_by_project"]["labuser/rnaseq-results"] == SAMPLES
    assert not counters["refusals"]
    assert set(counters["statuses"]) == {"200"}


@begins(example)
def test_a_run_under_the_real_scheduler_and_triggerer(stories: Stories, places: dict[str, Sandbox]) -> None:
    run = stories(example)
    run.succeeds(MOST_SECONDS)
    assert Counter(task["state"] for task in run.tasks()) == {"success": 8}
    check(places["example"])


if SOAK:

    def test_a_run_in_the_airflow_of_make_ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And nobody else in it, so that its metrics are those of this run alone."""
        (tmp_path / "seed.json").write_text(json.dumps(small_seed()))
        seed = ("--seed", str(tmp_path / "seed.json"))
        fast = {"AIRFLOW_SRC_PROVIDER__POLL_INTERVAL": "1", "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5"}
        monkeypatch.setenv("PYTHONPATH", str(STAND_INS))
        with (
            StatsdServer() as statsd,
            SandboxProcess.run(speed=60.0, log=tmp_path / "sandbox.log", arguments=seed) as sandbox,
            LocalAirflow.run(
                tmp_path / "home", sandbox.connections(), port=free_port(), **fast, **statsd.settings(tags=True)
            ) as airflow,
        ):
            assert EXAMPLE in airflow.load_examples()
            runs = f"dags/{EXAMPLE}/dagRuns"
            run = f"{runs}/{airflow.api(runs, {'logical_date': None})['dag_run_id']}"
            wait_until("the run ends", lambda: airflow.api(run)["state"] not in ("queued", "running"), MOST_SECONDS)
            assert airflow.api(run)["state"] == "success"
            check(sandbox)
            journal, lines = sandbox.get("/journal")["entries"], statsd.lines()
        check_metrics(lines, Counter(entry["service"] for entry in journal))


def check_metrics(measured: list[Line], sent: Counter[str]) -> None:
    """Compare what Airflow's metrics say with what the sandbox has counted."""
    requests = [line for line in measured if line.name.endswith(".requests")]
    assert {line.process for line in requests} == {"scheduler", "triggerer"}, "tasks and triggers are measured"
    names = {"src": "surf_research_cloud", "sb": "seven_bridges"}
    assert Counter(line.tags["service"] for line in requests) == {names[half]: count for half, count in sent.items()}
    assert {line.tags["status"] for line in requests} == {"2xx"}
    assert not [line for line in measured if line.name.endswith((".refusals", ".retries", ".postponed"))]
    left = [line.value for line in measured if line.name == "airflow.airflow_src_provider.seven_bridges.budget_left"]
    assert 1000 - sent["sb"] <= min(left) < max(left) < 1000
