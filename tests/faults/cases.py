"""Every operator and sensor at work, each on a small piece of the sandbox."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import BaseOperator

from airflow_src_provider.operators import seven_bridges as sb
from airflow_src_provider.operators import src
from airflow_src_provider.sensors import seven_bridges as sb_sensors
from airflow_src_provider.sensors import src as src_sensors
from tests.faults.stage import Stage

SAMPLES = 3
SEED = {
    "sb": {
        "projects": [
            {"id": "labuser/cohort", "name": "Cohort", "fastq": {"samples": SAMPLES, "metadata": True}},
            {"id": "labuser/results", "name": "Results"},
        ],
        "volumes": [
            {
                "id": "labuser/bucket",
                "service": {"type": "s3", "bucket": "lab", "prefix": "", "endpoint": "s3.amazonaws.com"},
                "fastq": {"samples": SAMPLES, "prefix": "run1/"},
            }
        ],
        "apps": [
            {
                "id": "labuser/cohort/salmon",
                "name": "Salmon",
                "step": "salmon",
                "inputs": {"reads": "File[]"},
                "outputs": {"quant": "{stem}.quant.sf"},
            }
        ],
    }
}
LIMIT = 3600.0
TASK_NAME = "salmon of the cohort"


@dataclass(frozen=True)
class Case:
    """A task, and what has to be there before it."""

    name: str
    service: str
    operator: type[BaseOperator]
    options: Callable[[Stage], dict[str, Any]]
    prepare: Callable[[Stage], None] = lambda stage: None
    switches: dict[str, Any] = field(default_factory=dict)
    #: Whether it gives up, and says so, rather than guess whether something happened.
    gives_up: bool = False

    def maker(self, stage: Stage, deferrable: bool) -> Callable[[], BaseOperator]:
        """Return what builds the task, as each leg of it does anew."""
        options = self.options(stage)
        if not issubclass(self.operator, _SENSORS):
            options = {"poll_interval": 30, "timeout": LIMIT, **options}
        else:
            options = {"poke_interval": 30, "timeout": LIMIT, **options}
        return lambda: self.operator(task_id="task", deferrable=deferrable, **options)

    def begin(self, stage: Stage, **connection: Any) -> None:
        """Start the world in which the task runs."""
        stage.begin(self.service, self.switches, **connection)
        self.prepare(stage)


_SENSORS = (src_sensors.SrcSensor, sb_sensors.SevenBridgesSensor)


def files(stage: Stage, project: str = "labuser/cohort") -> list[str]:
    nodes = stage.sandbox.state.sb.store.nodes.values()
    return [node.id for node in nodes if node.project == project and node.kind == "file"]


def run_task(stage: Stage) -> None:
    _task(stage, False)().execute(_context())


def run_batch(stage: Stage) -> None:
    _task(stage, True)().execute(_context())


def _context() -> Any:
    from tests.unit.fakes import make_context

    return make_context(task_id="before")


def _task(stage: Stage, batch: bool) -> Callable[[], BaseOperator]:
    more = {"batch_input": "reads", "batch_by": ["metadata.sample_id"]} if batch else {}
    return lambda: sb.SevenBridgesSubmitTaskOperator(
        task_id="before",
        name="before",
        project="labuser/cohort",
        app="labuser/cohort/salmon",
        inputs={"reads": files(stage)[:6]},
        wait_for_completion=False,
        deferrable=False,
        **more,
    )


def tasks_named(stage: Stage, name: str) -> list[str]:
    tasks = stage.sandbox.state.sb.store.tasks.values()
    return [task.id for task in tasks if task.name == name and task.parent is None]


def _add_boxes(stage: Stage) -> None:
    with stage.sandbox.app.lock:
        for number in range(3):
            stage.sandbox.state.src.world.add_workspace(f"node-{number}", status="paused")


def run_failing_batch(stage: Stage) -> None:
    stage.sandbox.configure(sb={"batch_failed_children": 1})
    run_batch(stage)
    stage.settle()
    stage.sandbox.configure(sb={"batch_failed_children": 0})


def start_imports(stage: Stage) -> None:
    sb.SevenBridgesImportFilesOperator(
        task_id="before",
        volume="labuser/bucket",
        prefix="run1/",
        project="labuser/results",
        wait_for_completion=False,
        deferrable=False,
    ).execute(_context())


def make_folder(stage: Stage) -> None:
    from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook

    client = SevenBridgesHook().client
    folder = client.files.create_folder("old", project="labuser/cohort")
    for file in files(stage)[:2]:
        client.files.copy(file, project="labuser/cohort", name=f"copy-of-{file}")
        client.files.move(files(stage)[-1], parent=folder["id"])


def folders(stage: Stage) -> list[str]:
    nodes = stage.sandbox.state.sb.store.nodes.values()
    return [node.id for node in nodes if node.project == "labuser/cohort" and node.is_folder and node.parent]


def add_wallet(stage: Stage) -> None:
    with stage.sandbox.app.lock:
        wallets = stage.sandbox.state.src.world.wallets
        first = next(iter(wallets.values()))
        other = dataclasses.replace(first, id="4d0b2a76-8e0a-4c3b-8f9e-1b5b7d3e6c44", name="A second wallet")
        wallets[other.id] = other


def workspace(stage: Stage, name: str) -> str:
    return str(stage.sandbox.state.src.world.by_name(name).id)


SB_CASES = [
    Case(
        "import",
        "sb",
        sb.SevenBridgesImportFilesOperator,
        lambda _: {"volume": "labuser/bucket", "prefix": "run1/", "project": "labuser/results"},
    ),
    Case(
        "import autorename",
        "sb",
        sb.SevenBridgesImportFilesOperator,
        lambda _: {
            "volume": "labuser/bucket",
            "locations": ["run1/S0001_R1.fastq.gz", "run1/S0002_R1.fastq.gz"],
            "project": "labuser/cohort",
            "if_exists": "autorename",
        },
    ),
    Case(
        "import with metadata",
        "sb",
        sb.SevenBridgesImportFilesOperator,
        lambda _: {
            "volume": "labuser/bucket",
            "prefix": "run1/",
            "project": "labuser/results",
            "metadata": {"case_id": "C1"},
        },
    ),
    Case(
        "copy",
        "sb",
        sb.SevenBridgesCopyFilesOperator,
        lambda stage: {"files": files(stage), "project": "labuser/results"},
    ),
    Case(
        "copy all the same",
        "sb",
        sb.SevenBridgesCopyFilesOperator,
        lambda stage: {"files": files(stage), "project": "labuser/results", "if_exists": "copy"},
    ),
    Case(
        "metadata",
        "sb",
        sb.SevenBridgesUpdateMetadataOperator,
        lambda stage: {"files": files(stage), "metadata": {"case_id": "C1"}},
    ),
    Case(
        "task",
        "sb",
        sb.SevenBridgesSubmitTaskOperator,
        lambda stage: {
            "name": TASK_NAME,
            "project": "labuser/cohort",
            "app": "labuser/cohort/salmon",
            "inputs": {"reads": files(stage)[:2]},
        },
    ),
    Case(
        "batch",
        "sb",
        sb.SevenBridgesSubmitTaskOperator,
        lambda stage: {
            "name": TASK_NAME,
            "project": "labuser/cohort",
            "app": "labuser/cohort/salmon",
            "inputs": {"reads": files(stage)},
            "batch_input": "reads",
            "batch_by": ["metadata.sample_id"],
        },
    ),
    Case(
        "export",
        "sb",
        sb.SevenBridgesExportFilesOperator,
        lambda stage: {
            "files": files(stage),
            "volume": "labuser/bucket",
            "prefix": "out/",
            "keep_on_platform": True,
        },
    ),
    Case(
        "task sensor",
        "sb",
        sb_sensors.SevenBridgesTaskSensor,
        lambda stage: {"tasks": tasks_named(stage, "before")},
        prepare=run_task,
    ),
    Case(
        "job sensor",
        "sb",
        sb_sensors.SevenBridgesJobSensor,
        lambda stage: {"kind": "imports", "jobs": list(stage.sandbox.state.sb.store.jobs)},
        prepare=start_imports,
    ),
    Case(
        "delete files",
        "sb",
        sb.SevenBridgesDeleteFilesOperator,
        lambda stage: {"files": files(stage)},
    ),
    Case(
        "delete a folder",
        "sb",
        sb.SevenBridgesDeleteFilesOperator,
        lambda stage: {"folders": folders(stage)},
        prepare=make_folder,
    ),
    Case("find files", "sb", sb.SevenBridgesFindFilesOperator, lambda _: {"files": {"project": "labuser/cohort"}}),
    Case(
        "tasks",
        "sb",
        sb.SevenBridgesSubmitTasksOperator,
        lambda stage: {
            "project": "labuser/cohort",
            "app": "labuser/cohort/salmon",
            "tasks": [{"name": f"t{n}", "inputs": {"reads": [file]}} for n, file in enumerate(files(stage)[:3])],
            "max_running": 2,
        },
    ),
    Case("project", "sb", sb.SevenBridgesCreateProjectOperator, lambda _: {"name": "New study"}),
    Case(
        "rerun",
        "sb",
        sb.SevenBridgesRerunFailedTasksOperator,
        lambda stage: {"tasks": tasks_named(stage, "before")},
        prepare=run_failing_batch,
    ),
    Case(
        "abort",
        "sb",
        sb.SevenBridgesAbortTaskOperator,
        lambda stage: {"tasks": tasks_named(stage, "before")},
        prepare=run_task,
        switches={"task_running_seconds": 1e6},
    ),
    Case("platform request", "sb", sb.SevenBridgesRequestOperator, lambda _: {"path": "/user"}),
    Case(
        "platform effect",
        "sb",
        sb.SevenBridgesRequestOperator,
        lambda stage: {
            "path": "/projects",
            "method": "POST",
            "json": {"name": "Made by hand", "billing_group": next(iter(stage.sandbox.state.sb.store.billing))},
        },
        gives_up=True,
    ),
]
SRC_CASES = [
    Case("resume", "src", src.SrcResumeWorkspaceOperator, lambda _: {"workspace": "gpu-box"}),
    Case(
        "resume three",
        "src",
        src.SrcResumeWorkspaceOperator,
        lambda _: {"workspace": {"name": "node-*"}, "at_once": 2},
        prepare=_add_boxes,
    ),
    Case("pause", "src", src.SrcPauseWorkspaceOperator, lambda _: {"workspace": "login-box"}),
    Case("reboot", "src", src.SrcRebootWorkspaceOperator, lambda _: {"workspace": "login-box"}),
    Case("delete", "src", src.SrcDeleteWorkspaceOperator, lambda stage: {"workspace_id": workspace(stage, "gpu-box")}),
    Case(
        "rename and extend",
        "src",
        src.SrcUpdateWorkspaceOperator,
        lambda _: {"workspace": "login-box", "name": "front-box", "extend_by": 86400},
    ),
    Case(
        "firewall",
        "src",
        src.SrcUpdateFirewallOperator,
        lambda _: {"workspace": "login-box", "add": "in tcp 8080 8080 0.0.0.0/0"},
    ),
    Case(
        "storages",
        "src",
        src.SrcUpdateStoragesOperator,
        lambda _: {"workspace": "login-box", "attach": "reference-data"},
    ),
    Case(
        "request",
        "src",
        src.SrcRequestOperator,
        lambda _: {"service": "user", "path": "users/self/"},
    ),
    Case(
        "effect",
        "src",
        src.SrcRequestOperator,
        lambda stage: {
            "service": "workspace",
            "path": f"workspaces/{workspace(stage, 'login-box')}/actions/pause/",
            "method": "POST",
            "data": {},
        },
        gives_up=True,
    ),
    Case("list", "src", src.SrcListWorkspacesOperator, lambda _: {"workspace": {"mine": True}}),
    Case(
        "wallet",
        "src",
        src.SrcChangeWalletOperator,
        lambda _: {"workspace": "login-box", "wallet": "A second wallet"},
        prepare=add_wallet,
    ),
    Case(
        "create",
        "src",
        src.SrcCreateWorkspaceOperator,
        lambda _: {
            "name": "new-box",
            "collaboration": "Example Project",
            "wallet": "SRC account for Example Project",
            "catalog_item": "Jupyter Notebook",
            "size": "2 Core- 16 GB RAM",
            "lifetime": 86400,
        },
    ),
    Case(
        "workspace sensor",
        "src",
        src_sensors.SrcWorkspaceSensor,
        lambda stage: {"workspace_id": workspace(stage, "login-box")},
    ),
    Case(
        "capacity sensor",
        "src",
        src_sensors.SrcCapacitySensor,
        lambda _: {"workspace": "gpu-box"},
    ),
]
CASES = {case.name: case for case in [*SB_CASES, *SRC_CASES]}
