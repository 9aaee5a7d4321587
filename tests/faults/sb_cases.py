"""The operators and sensors of Seven Bridges at work."""

from __future__ import annotations

from collections.abc import Callable

from airflow.sdk import BaseOperator

from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.operators import seven_bridges as sb
from airflow_src_provider.sensors import seven_bridges as sb_sensors
from tests.faults.case import Case
from tests.faults.stage import Stage
from tests.unit.fakes import make_context

TASK_NAME = "salmon of the cohort"


def files(stage: Stage, project: str = "labuser/cohort") -> list[str]:
    nodes = stage.sandbox.state.sb.store.nodes.values()
    return [node.id for node in nodes if node.project == project and node.kind == "file"]


def run_task(stage: Stage) -> None:
    _task(stage, False)().execute(make_context(task_id="before"))


def run_batch(stage: Stage) -> None:
    _task(stage, True)().execute(make_context(task_id="before"))


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
    ).execute(make_context(task_id="before"))


def start_exports(stage: Stage) -> None:
    sb.SevenBridgesExportFilesOperator(
        task_id="before",
        files=files(stage)[:3],
        volume="labuser/bucket",
        prefix="before/",
        keep_on_platform=True,
        wait_for_completion=False,
        deferrable=False,
    ).execute(make_context(task_id="before"))


def start_deletion(stage: Stage) -> None:
    make_folder(stage)
    SevenBridgesHook().client.async_jobs.delete(folders(stage))


def make_folder(stage: Stage) -> None:
    client = SevenBridgesHook().client
    folder = client.files.create_folder("old", project="labuser/cohort")
    for file in files(stage)[:2]:
        client.files.copy(file, project="labuser/cohort", name=f"copy-of-{file}")
        client.files.move(files(stage)[-1], parent=folder["id"])


def folders(stage: Stage) -> list[str]:
    nodes = stage.sandbox.state.sb.store.nodes.values()
    return [node.id for node in nodes if node.project == "labuser/cohort" and node.is_folder and node.parent]


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
        lacks=("first",),
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
        lacks=("wait",),
    ),
    Case(
        "copy all the same",
        "sb",
        sb.SevenBridgesCopyFilesOperator,
        lambda stage: {"files": files(stage), "project": "labuser/results", "if_exists": "copy"},
        lacks=("first", "wait"),
    ),
    Case(
        "metadata",
        "sb",
        sb.SevenBridgesUpdateMetadataOperator,
        lambda stage: {"files": files(stage), "metadata": {"case_id": "C1"}},
        lacks=("first", "wait"),
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
        "export sensor",
        "sb",
        sb_sensors.SevenBridgesJobSensor,
        lambda stage: {"kind": "exports", "jobs": list(stage.sandbox.state.sb.store.jobs)},
        prepare=start_exports,
    ),
    Case(
        "async job sensor",
        "sb",
        sb_sensors.SevenBridgesJobSensor,
        lambda stage: {"kind": "delete", "jobs": list(stage.sandbox.state.sb.store.async_jobs)},
        prepare=start_deletion,
    ),
    Case(
        "delete files",
        "sb",
        sb.SevenBridgesDeleteFilesOperator,
        lambda stage: {"files": files(stage)},
        lacks=("first", "wait"),
    ),
    Case(
        "delete a folder",
        "sb",
        sb.SevenBridgesDeleteFilesOperator,
        lambda stage: {"folders": folders(stage)},
        prepare=make_folder,
    ),
    Case(
        "find files",
        "sb",
        sb.SevenBridgesFindFilesOperator,
        lambda _: {"files": {"project": "labuser/cohort"}},
        lacks=("first", "wait"),
    ),
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
        lacks=("first",),
    ),
    Case("project", "sb", sb.SevenBridgesCreateProjectOperator, lambda _: {"name": "New study"}, lacks=("wait",)),
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
    Case(
        "platform request", "sb", sb.SevenBridgesRequestOperator, lambda _: {"path": "/user"}, lacks=("first", "wait")
    ),
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
        lacks=("first", "wait"),
    ),
]
