"""What is right for every parameter of every operator and sensor, so that what is odd stands beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator

from airflow_src_provider import operators, sensors
from airflow_src_provider.remote import RemoteTask
from tests.faults.cases import files, folders, tasks_named, workspace
from tests.faults.stage import Stage

MODULES = (operators.src, operators.seven_bridges, sensors.src, sensors.seven_bridges)
Values = tuple[Any, ...]
FLAGS: Values = (True, False)
NAMES: Values = ("a name", "gpu-box", "é", "x" * 200)


def classes() -> list[type[BaseOperator]]:
    """Return the operators and sensors that people use."""
    found = {
        one
        for module in MODULES
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, RemoteTask) and issubclass(one, BaseOperator)
    }
    return sorted(found - {base for one in found for base in one.__mro__[1:]}, key=lambda one: one.__name__)


def parameters(operator: type) -> list[str]:
    """Return the names of the parameters that are ours."""
    return sorted(
        {
            parameter.name
            for base in operator.__mro__
            if base.__module__.startswith("airflow_src_provider") and "__init__" in vars(base)
            for parameter in inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
            if parameter.kind is parameter.KEYWORD_ONLY
        }
    )


def _selections(stage: Stage) -> Values:
    there = files(stage)
    query = {"project": "labuser/cohort"}
    return (
        there, there[0], {"file_ids": there}, {"id": there[0]}, query, {**query, "names": ["S0001_R1.fastq.gz"]},
        {**query, "name_pattern": "*R1*"}, {**query, "metadata": {"sample_id": "S0001"}, "recursive": True},
        {**query, "tags": ["x"]}, str(there), {"origin_task": tasks_named(stage, "before")},
    )  # fmt: skip


def _selected(stage: Stage) -> Values:
    return (
        "gpu-box", workspace(stage, "gpu-box"), ["gpu-box", "login-box"], {"name": "*-box"}, {"mine": True},
        {"status": ["paused", "running"], "kind": "Compute"}, {"ends_within": timedelta(days=9), "except": "gpu*"},
        {"collaboration": "Example Project", "wallet": "SRC account for Example Project"},
    )  # fmt: skip


def _tasks(stage: Stage) -> Values:
    ids = tasks_named(stage, "before") or ["123e4567-e89b-12d3-a456-426614174000"]
    each = [{"name": "one", "inputs": {"reads": files(stage)[:1]}}, {"name": "two", "inputs": {}}]
    return ids, ids[0], {"batch_ids": ids}, each, str(ids)


def _always(*values: Any) -> Callable[[Stage], Values]:
    return lambda stage: values


#: A parameter of one name means the same everywhere, or takes what is right for the other one as well.
RIGHT: dict[str, Callable[[Stage], Values]] = {
    "add": _always("in tcp 8080 8080 0.0.0.0/0", ["out udp 1 2 ::/0 mutable"]),
    "app": _always("labuser/cohort/salmon", "labuser/cohort/salmon/0"),
    "application_type": _always("Compute", "Storage", "IP", "Network"),
    "at_once": _always(1, 100),
    "attach": _always("reference-data", ["reference-data"]),
    "batch_by": _always("item", ["metadata.sample_id"], {"type": "CRITERIA", "criteria": ["metadata.a b"]}),
    "batch_input": _always("reads"),
    "billing_group": lambda stage: tuple(stage.sandbox.state.sb.store.billing),
    "cancel_on_kill": _always(*FLAGS),
    "catalog_item": _always("Jupyter Notebook"),
    "check_inputs": _always(*FLAGS),
    "cloud": _always("SURF HPC Cloud"),
    "collaboration": _always("Example Project"),
    "common_inputs": _always({"threads": 4}, {"reads": {"project": "labuser/cohort", "names": "S0001_R1.fastq.gz"}}),
    "create": _always(*FLAGS),
    "data": _always({}, {"a": [1]}, "text", 0),
    "deferrable": _always(*FLAGS),
    "description": _always("words", ""),
    "detach": _always("reference-data", ["reference-data"]),
    "durable": _always(*FLAGS),
    "end_time": _always(datetime(2099, 1, 1, tzinfo=UTC), "2099-01-01T00:00:00Z"),
    "execution_settings": _always({"instance_type": "c5.xlarge", "use_memoization": True}),
    "extend_by": _always(3600, timedelta(days=1)),
    "fields": _always(["name", "size"], ["metadata.sample_id"]),
    "file_inputs": _always(["reads"], {"reads": "files"}),
    "files": _selections,
    "folders": lambda stage: (folders(stage),),
    "from_workspace": _always("gpu-box", "login-box"),
    "host_name": _always("host-1"),
    "if_exists": _always("skip", "fail", "overwrite", "copy", "autorename", "create", "use"),
    "inputs": lambda stage: ({"reads": files(stage)[:2]}, {"reads": [], "n": 1}, {"reads": {"value": "x"}}),
    "ips": _always((), "an-ip"),
    "jobs": lambda stage: (
        list(stage.sandbox.state.sb.store.jobs),
        {"job_ids": list(stage.sandbox.state.sb.store.jobs)},
    ),
    "json": _always({}, {"a": [1]}, None),
    "keep_on_platform": _always(*FLAGS),
    "kind": _always("imports", "exports", "copy", "move", "delete"),
    "lifetime": _always(3600, timedelta(days=3)),
    "location": _always("{name}", "a/{id}.bam", "{metadata.sample_id}/{name}"),
    "locations": _always(["run1/S0001_R1.fastq.gz"]),
    "max_children": _always(1, 2, 500),
    "max_failed": _always(0, 10),
    "max_files": _always(1, 1000),
    "max_running": _always(1, 2, 1000),
    "metadata": _always({"case_id": "C1"}, {"S0001_R1.fastq.gz": {"k": None}}, lambda file: {"k": file["name"]}),
    "method": _always("GET", "POST", "PUT", "PATCH", "DELETE"),
    "mode": _always("merge", "replace"),
    "name": _always(*NAMES),
    "networks": _always((), "a-network"),
    "on_item_failure": _always("fail", "skip", 0, 3, 0.5),
    "only_if": _always(True, False, None, "", "False", "yes", 0, []),
    "os_flavour": _always("Ubuntu 22.04"),
    "output_location": _always({"main_location": "volumes://labuser/bucket/out"}),
    "parameters": _always({"key": "value"}),
    "parent": lambda stage: tuple(folders(stage)),
    "path": _always("/user", "users/self/", "/projects", "workspaces/"),
    "pattern": _always("*R1*", ["*.gz", "*[0-9]*"]),
    "poll_interval": _always(1, 30.0, timedelta(minutes=5)),
    "prefix": _always("run1/", "", "run1/S0001"),
    "preview": _always(*FLAGS),
    "project": _always("labuser/cohort", "labuser/results"),
    "project_owner": _always("labuser"),
    "properties": _always({"sse_algorithm": "AES256"}),
    "query": _always({"limit": 5}, {"name": ["a", "b"]}),
    "recursive": _always(*FLAGS),
    "remove": _always("in tcp 22 22 0.0.0.0/0", ["in tcp 443 443 0.0.0.0/0"]),
    "rename": _always("{id}-{name}", "{metadata.sample_id}_{name}"),
    "repeatable": _always(*FLAGS),
    "replace": _always([], ["in tcp 22 22 10.0.0.0/8"], ["reference-data"]),
    "resource_type": _always("VM"),
    "response_filter": _always(lambda answer: None),
    "safe": _always(*FLAGS),
    "service": _always("workspace", "user", "wallet", "catalog"),
    "settings": _always({"locked": False}),
    "seven_bridges_conn_id": _always("seven_bridges_default"),
    "sheet": lambda stage: (),
    "sheet_key": _always("sample"),
    "size": _always("2 Core- 16 GB RAM"),
    "src_conn_id": _always("src_default"),
    "states": _always("running", ["paused", "deleted"]),
    "storages": _always("reference-data", ["reference-data"]),
    "tags": _always([], ["a", "b"]),
    "tasks": _tasks,
    "timeout": _always(60, 7200.0, timedelta(hours=2)),
    "use_interruptible_instances": _always(*FLAGS),
    "volume": _always("labuser/bucket"),
    "wait_for_completion": _always(*FLAGS),
    "wallet": _always("SRC account for Example Project"),
    "when_full": _always("refuse", "wait", "try"),
    "workspace": _selected,
    "workspace_id": lambda stage: (workspace(stage, "gpu-box"), [workspace(stage, "login-box")]),
}
