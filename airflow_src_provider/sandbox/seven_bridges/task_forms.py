"""The JSON forms of tasks, and what makes the inputs of a task valid."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..clock import Clock
from .model import Node, Task
from .store import Store

THIN_TASK = ("href", "id", "name", "project")
COUNTED = ("queued", "running", "completed", "failed", "aborted")
PRICE_PER_HOUR = 0.4
SPOT_SHARE = 0.35


def _iso(moment: float | None) -> str | None:
    return None if moment is None else Clock.iso(moment)


def children_of(store: Store, task: Task) -> list[Task]:
    """Children of a batch that still exist."""
    return [store.tasks[child] for child in task.children if child in store.tasks]


def count_children(store: Store, task: Task) -> dict[str, int]:
    """Children by the five states that a batch counts; a child that is being aborted still counts as running."""
    counts = Counter(child.status.lower() for child in children_of(store, task))
    counts["running"] += counts.pop("aborting", 0)
    return {state: counts[state] for state in COUNTED}


def price_of(store: Store, task: Task, now: float) -> float:
    """What a task has cost until now, in USD."""
    if task.batch:
        return round(sum(price_of(store, child, now) for child in children_of(store, task)), 2)
    if task.start is None:
        return 0.0
    hours = ((task.end or now) - task.start) / 3600
    return round(hours * PRICE_PER_HOUR * (SPOT_SHARE if task.use_interruptible else 1), 4)


def _durations(task: Task, now: float) -> dict[str, int]:
    end = task.end or now
    queued = 0.0 if task.queued is None else (task.start or end) - task.queued
    running = 0.0 if task.start is None else end - task.start
    in_ms = {"queued_duration": queued, "running_duration": running, "execution_duration": running * 0.97}
    return {name: int(value * 1000) for name, value in in_ms.items()} | {"duration": int((queued + running) * 1000)}


def execution_status(store: Store, task: Task, now: float) -> dict[str, Any]:
    """Progress of a task: steps of a single one, counters of a batch."""
    shown: dict[str, Any] = {
        "message": task.message,
        "message_code": task.status.lower(),
        "system_limit": False,
        "account_limit": task.waiting_for_machine,
    }
    if task.batch:
        shown |= count_children(store, task)
    else:
        total = 3
        done = total if task.status == "COMPLETED" else 1 if task.start is not None else 0
        shown |= {"steps_completed": done, "steps_total": total, "instance_init": False}
    return shown | _durations(task, now)


def task_json(base: str, store: Store, task: Task, now: float) -> dict[str, Any]:
    """A task with all its fields ("Get details of a task")."""
    amount = price_of(store, task, now)
    shown: dict[str, Any] = {
        "href": f"{base}/tasks/{task.id}",
        "id": task.id,
        "name": task.name,
        "description": task.description,
        "status": task.status,
        "project": task.project,
        "app": task.app,
        "type": "v2",
        "created_by": task.user,
        "executed_by": task.user if task.queued is not None else None,
        "created_time": _iso(task.created),
        "start_time": _iso(task.start),
        "end_time": _iso(task.end),
        "batch": task.batch,
        "use_interruptible_instances": task.use_interruptible,
        "execution_settings": task.execution_settings,
        "output_location": task.output_location,
        "execution_status": execution_status(store, task, now),
        "price": {"currency": "USD", "amount": amount, "breakdown": {"storage": 0.0, "computation": amount}},
        "origin_id": task.origin_id,
        "errors": task.errors,
        "warnings": task.warnings,
        "inputs": task.inputs,
        "outputs": task.outputs,
    }
    if task.batch:
        shown |= {"batch_input": task.batch_input, "batch_by": task.batch_by}
    if task.parent is not None:
        shown |= {"parent": task.parent, "batch_group": task.batch_group}
    return shown


def details_json(base: str, task: Task, step: str) -> dict[str, Any]:
    """Jobs of a task ("Get task execution details"); a batch has none of its own."""
    jobs: list[dict[str, Any]] = []
    if not task.batch and task.start is not None:
        status = {"RUNNING": "RUNNING", "ABORTING": "RUNNING"}.get(task.status, task.status)
        logs = {"job.err.log": f"{base}/files/{task.log}/download_info"} if task.log else {}
        jobs = [
            {
                "name": step,
                "start_time": _iso(task.start),
                "end_time": _iso(task.end),
                "status": status,
                "command_line": f"{step} --sandbox",
                "retried": False,
                "instance": {
                    "id": f"i-{task.id[:8]}",
                    "type": "c4.2xlarge",
                    "provider": "AWS",
                    "disk": {"size": 1024, "unit": "GB", "type": "amazon-gp2"},
                },
                "docker": {"checksum": "sha256:" + "0" * 64},
                "logs": logs,
            }
        ]
    return {
        "href": f"{base}/tasks/{task.id}/execution_details",
        "start_time": _iso(task.start),
        "end_time": _iso(task.end),
        "status": task.status,
        "message": task.message,
        "jobs": jobs,
    }


def files_in(value: Any) -> list[str]:
    """Ids of all files and folders in an input value."""
    if isinstance(value, dict):
        if str(value.get("class", "")).lower() in ("file", "directory") and "path" in value:
            return [str(value["path"])]
        return [found for inner in value.values() for found in files_in(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in files_in(inner)]
    return []


def input_problems(store: Store, task: Task, raw: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with the inputs of a task, as the platform writes it into ``errors``."""
    problems = []
    declared = {port["id"].lstrip("#"): port for port in raw.get("inputs", [])}

    def report(name: str, message: str) -> None:
        problems.append({"type": "error/task_validation/input/schema", "message": message, "input_id": name})

    for name, port in declared.items():
        value, wanted = task.inputs.get(name), str(port["type"])
        if value is None:
            if not wanted.endswith("?"):
                report(name, f"input {name} is required")
            continue
        wanted = wanted.rstrip("?")
        if wanted.endswith("[]") != isinstance(value, list) and task.batch_input != name:
            report(name, f"input {name} must be {'a list' if wanted.endswith('[]') else 'a single value'}")
        ids = files_in(value)
        values = value if isinstance(value, list) else [value]
        if wanted.startswith(("File", "Directory")) and len(ids) != len(values):
            report(name, f"input {name} takes files")
        for file_id in ids:
            node = store.nodes.get(file_id)
            if node is None:
                report(name, f"file {file_id} of input {name} does not exist")
            elif node.project != task.project:
                report(name, f"file {file_id} of input {name} lies in another project")
    if task.batch_input is not None and task.batch_input not in declared:
        report(task.batch_input, f"the app has no input {task.batch_input} to batch by")
    elif task.batch_input is not None and not files_in(task.inputs.get(task.batch_input)):
        report(task.batch_input, f"input {task.batch_input} has no files to batch by")
    return problems


def input_warnings(task: Task, raw: dict[str, Any]) -> list[dict[str, Any]]:
    """Inputs that the app does not have."""
    declared = {port["id"].lstrip("#") for port in raw.get("inputs", [])}
    return [
        {"type": "warning/task_validation/input/unknown", "message": f"the app has no input {name}", "input_id": name}
        for name in task.inputs
        if name not in declared
    ]


def shared_metadata(nodes: list[Node]) -> dict[str, str]:
    """Metadata that all files have in common, which the files made from them inherit."""
    if not nodes:
        return {}
    first = nodes[0].metadata
    return {key: value for key, value in first.items() if all(node.metadata.get(key) == value for node in nodes)}
