"""The DAGs of the system tests; how large they are is said by the environment."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG
from deaths import mortal

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
)
from airflow_src_provider.operators.src import SrcCreateWorkspaceOperator, SrcResumeWorkspaceOperator
from airflow_src_provider.sensors.seven_bridges import SevenBridgesTaskSensor
from airflow_src_provider.sensors.src import SrcWorkspaceSensor

GROUP = int(os.environ.get("SYSTEM_GROUP", "6"))
WAITS = int(os.environ.get("SYSTEM_WAITS", "24"))
POINTS = ("before", "after", "stored")
PROJECT = "labuser/small"
APP = "labuser/rnaseq-cohort/salmon-workflow"
READS = {"project": PROJECT, "name_pattern": "*.fastq.gz"}


def dag(dag_id: str, **more: Any) -> DAG:
    return DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        default_args={
            "deferrable": True,
            "poll_interval": 1.0,
            "poke_interval": 1.0,
            "retries": 2,
            "retry_delay": timedelta(seconds=1),
            **more,
        },
    )


def batch(task_id: str, operator: Any = SevenBridgesSubmitTaskOperator, **more: Any) -> Any:
    return operator(
        task_id=task_id,
        name=f"salmon {task_id}",
        project=PROJECT,
        app=APP,
        inputs={"reads": READS},
        batch_input="reads",
        batch_by=["metadata.sample_id"],
        **more,
    )


def single(task_id: str, **more: Any) -> Any:
    return SevenBridgesSubmitTaskOperator(
        task_id=task_id,
        name=f"salmon {task_id}",
        project=PROJECT,
        app=APP,
        inputs={"reads": READS},
        check_inputs=False,
        **more,
    )


def disk(task_id: str, operator: Any = SrcCreateWorkspaceOperator, **more: Any) -> Any:
    return operator(
        task_id=task_id,
        name=f"disk {task_id} {{{{ run_id }}}}",
        collaboration="Example Project",
        wallet="SRC account for Example Project",
        catalog_item="Storage volume",
        application_type="Storage",
        size="250 GB",
        **more,
    )


with dag("group"):
    for number in range(GROUP):
        single(f"job_{number}")

with dag("one"):
    single("job")

with dag("waits"):
    for number in range(WAITS):
        # Four kinds of wait, in two services.
        if number % 4 == 0:
            SevenBridgesTaskSensor(task_id=f"task_{number}", tasks=f"{{{{ dag_run.conf['tasks'][{number // 4}] }}}}")
        elif number % 4 == 1:
            SrcWorkspaceSensor(
                task_id=f"workspace_{number}", workspace_id=f"{{{{ dag_run.conf['workspaces'][{number // 4}] }}}}"
            )
        elif number % 4 == 2:
            SevenBridgesImportFilesOperator(
                task_id=f"import_{number}",
                volume="labuser/cohort_bucket",
                locations=[f"run1/S{number // 4 + 1:04d}_R1.fastq.gz"],
                project="labuser/waits",
            )
        else:
            batch(f"batch_{number}", check_inputs=False)

# The number of the effect at which the worker dies: for bulk work in the middle.
with dag("deaths", deferrable=False):
    for point in POINTS:
        batch(f"batch_{point}", mortal(SevenBridgesSubmitTaskOperator), dies=f"{point} 1")
        mortal(SevenBridgesCopyFilesOperator)(
            task_id=f"copy_{point}",
            files={"project": "labuser/fastq-archive"},
            project=f"labuser/copy-{point}",
            dies=f"{point} 5",
        )
        mortal(SevenBridgesImportFilesOperator)(
            task_id=f"import_{point}",
            volume="labuser/cohort_bucket",
            prefix="run1/",
            pattern="*_R1.fastq.gz",
            project=f"labuser/import-{point}",
            dies=f"{point} 3",
        )
        disk(f"create_{point}", mortal(SrcCreateWorkspaceOperator), dies=f"{point} 1")
        # Written down is the intention, before anything is sent.
        if point != "stored":
            mortal(SrcResumeWorkspaceOperator)(task_id=f"resume_{point}", workspace=f"box-{point}", dies=f"{point} 1")

with dag("supervisor"):
    batch("batch", mortal(SevenBridgesSubmitTaskOperator), dies="after 1+")

with dag("lost"):
    batch("batch")
    SevenBridgesCopyFilesOperator(
        task_id="copy", files={"project": PROJECT, "name_pattern": "*.fastq.gz"}, project="labuser/lost-copy"
    )
    SevenBridgesImportFilesOperator(
        task_id="import",
        volume="labuser/cohort_bucket",
        prefix="run1/",
        pattern="*_R2.fastq.gz",
        project="labuser/lost-import",
    )
    SrcResumeWorkspaceOperator(task_id="resume", workspace="box-lost")
    disk("create")
