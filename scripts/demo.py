"""``make demo``: one DAG over 1000 files in real Airflow, against the sandbox, with every API call accounted for."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accounts import Allowance, Step, attribute, listing, peak, table, usage
from local_airflow import EXAMPLE_DAGS, ROOT, SandboxProcess, airflow_environment, end, started, stops_cleanly

HOME = ROOT / ".airflow" / "demo"
DAG = "rnaseq_cohort"
SPEED = 60.0
MOST_CALLS = 120
MOST_SECONDS = 300.0
FILES, SAMPLES = 1000, 500
COHORT, RESULTS, BUCKET = "labuser/rnaseq-cohort", "labuser/rnaseq-results", "labuser/cohort_bucket"
WORKSPACE = "gpu-box"
SERVICES = {"src": "SURF Research Cloud", "sb": "Seven Bridges"}


def the_steps() -> list[Step]:
    """Return the tasks of the DAG, with the calls of the loop each of them replaces.

    The loop is the one that the vendor's page on the rate limit calls not optimized: it lists with the default page,
    handles one item per call, and looks at each job once (looking again costs as many calls each time).
    """
    return [
        Step("machine", 1, "workspace", None),
        Step("reads", FILES, "files", listing(FILES) + 2 * FILES),
        Step("sheet", FILES, "files", listing(FILES) + 2 * FILES),
        Step("salmon", SAMPLES, "tasks", listing(FILES) + 2 * SAMPLES),
        Step("results", SAMPLES, "files", listing(SAMPLES) + 3 * SAMPLES),
        Step("shared", SAMPLES, "files", listing(SAMPLES) + 2 * SAMPLES),
        Step("pause", 1, "workspace", None),
    ]


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.replace("`", ""))
    parser.add_argument("--calls", action="store_true", help="also list every single API call")
    parser.add_argument("--home", type=Path, default=HOME, help="directory for Airflow, emptied; default .airflow/demo")
    options = parser.parse_args()
    try:
        with stops_cleanly():
            return demonstrate(options.home, options.calls)
    except RuntimeError as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1


def demonstrate(home: Path, show_calls: bool) -> int:
    """Run the DAG, print the books, and return the exit status."""
    environment = airflow_environment(home, AIRFLOW_SRC_PROVIDER__POLL_INTERVAL="2")
    log = home / "airflow.log"
    with SandboxProcess.run(speed=SPEED, log=home / "sandbox.log") as sandbox:
        print(f"Sandbox of both services at {sandbox.url}; request limits on, life cycles {SPEED:.0f} times faster.")
        print(f"Airflow's log: {log}", flush=True)
        steps = the_steps()
        problems = list(run_airflow(environment | sandbox.connections(), log, steps))
        journal, counters = sandbox.get("/journal")["entries"], sandbox.get("/counters")
        strays = attribute(journal, steps)
        print(f"\n{table(steps)}")
        print("One by one: list 50 per page, handle one item per call, look at each job once.\n")
        if show_calls:
            print_calls(steps)
        print(usage(allowances(journal, sandbox.get("/config"))))
        refusals = sum(counters["refusals"].values())
        problems += checks(len(journal), strays, refusals, sandbox)
    for problem in problems:
        print(f"NOT TRUE: {problem}", file=sys.stderr)
    if problems:
        print(f"demo failed, see {log}", file=sys.stderr)
        return 1
    print(f"demo finished: {len(steps)} steps, {len(journal)} API calls, {refusals} rate-limit refusals")
    return 0


def run_airflow(environment: dict[str, str], log: Path, steps: list[Step]) -> Iterator[str]:
    """Run the DAG in a process of its own, show how it goes, and fill in the steps; yield what went wrong."""
    by_task = {step.task: step for step in steps}
    reading, writing = os.pipe()
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "scripts" / "run_dag.py"), DAG, str(writing)]
    state = "never ended"
    with (
        log.open("w") as output,
        os.fdopen(reading) as events,
        started(
            command, stdout=output, stderr=subprocess.STDOUT, pass_fds=[writing], env=environment, cwd=ROOT
        ) as airflow,
    ):
        os.close(writing)
        deadline = threading.Timer(MOST_SECONDS, end, [airflow])
        deadline.daemon = True
        deadline.start()
        shown = ""
        for line in events:
            event = json.loads(line)
            step = by_task.get(event.get("task", ""))
            if event["event"] == "ready":
                print(f"Airflow is ready after {time.monotonic() - began:.0f} s.", flush=True)
                for step in steps:
                    step.title = event["titles"][step.task]
            elif event["event"] == "begins" and step is not None and shown != step.task:
                shown = step.task
                print(f"  {step.title} ({step.items:,} {step.noun}) …", flush=True)
            elif event["event"] == "failed":
                yield f"task {event['task']} succeeds: {event['error']}"
            elif event["event"] == "task" and step is not None:
                step.state, step.begin, step.end = event["state"], event["begin"], event["end"]
            elif event["event"] == "over":
                state = event["state"]
        airflow.wait()
        deadline.cancel()
    yield from (f"{s.title}: the task is {s.state}, not success" for s in steps if s.state != "success")
    if state != "success":
        yield f"the DAG run is {state}, not success (exit status of Airflow: {airflow.returncode})"
        yield from (f"Airflow says: {line.rstrip()}" for line in log.read_text().splitlines()[-5:])


def allowances(journal: list[Any], switches: dict[str, Any]) -> list[Allowance]:
    """Return how much of each service's allowance was used, by the service's own record and limits."""
    found = []
    for service, name in SERVICES.items():
        entries = [entry for entry in journal if entry["service"] == service]
        limit, window = switches[service]["limit"], switches[service]["window"]
        used = peak((entry["time"] for entry in entries), window)
        found.append(Allowance(name, limit, window, used, sum(entry["status"] == 429 for entry in entries)))
    return found


def checks(calls: int, strays: list[Any], refusals: int, sandbox: SandboxProcess) -> Iterator[str]:
    """Look at the services themselves; yield whatever is not as promised."""
    state, counters = sandbox.get("/state"), sandbox.get("/counters")
    machine = next(w for w in state["src"]["workspaces"] if w["name"] == WORKSPACE)
    children = state["sb"]["tasks_by_status"].get("COMPLETED", 0)
    files, objects = state["sb"]["files_by_project"], state["sb"]["objects_by_volume"]
    effects = counters["effects"]["sb"]
    labels = labels_of(sandbox)
    yield from (
        text
        for text, value, wanted in (
            (f"status of {WORKSPACE}", machine["true_status"], "paused"),
            ("files imported", effects.get("files_imported", 0), FILES),
            ("files with the labels of the sheet", sum(labels.get(n) == m for n, m in the_sheet().items()), FILES),
            ("children made", effects.get("children_created", 0), SAMPLES),
            ("tasks completed, the batch itself included", children, SAMPLES + 1),
            ("files exported", effects.get("files_exported", 0), SAMPLES),
            ("objects in the bucket", objects[BUCKET], FILES + SAMPLES),
            ("files in the shared project", files[RESULTS], SAMPLES),
            ("calls that belong to no step", len(strays), 0),
            ("rate-limit refusals", refusals, 0),
        )
        if value != wanted
        for text in (f"{text}: {value}, not {wanted}",)
    )
    if calls > MOST_CALLS:
        yield f"{calls} API calls are more than {MOST_CALLS}"


def the_sheet() -> dict[str, dict[str, str]]:
    """Return the labels that each file should have."""
    with (EXAMPLE_DAGS / "cohort.csv").open(newline="") as sheet:
        return {row.pop("name"): row for row in csv.DictReader(sheet)}


def labels_of(sandbox: SandboxProcess) -> dict[str, dict[str, str]]:
    """Ask the sandbox, without the provider, for the metadata of all files of the cohort."""
    return {file["name"]: file["metadata"] for file in sandbox.files(COHORT, fields="name,metadata")}


def print_calls(steps: list[Step]) -> None:
    """Print each request, under its step."""
    for step in steps:
        print(step.title)
        for entry in step.calls:
            query = f"?{entry['query']}" if entry["query"] else ""
            print(f"  {entry['status']} {entry['method']:6} {entry['path']}{query[:90]}")
    print()


if __name__ == "__main__":
    sys.exit(main())
