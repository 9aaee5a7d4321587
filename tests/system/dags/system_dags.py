"""The DAGs of the system tests; how large they are is said by the environment."""

from __future__ import annotations

import os

from deaths import mortal
from pieces import PROJECT, batch, dag, disk, single

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


# Ahead of the others where workers are short: much is done to them, one thing after another.
for dag_id in ("group", "marked"):
    with dag(dag_id, priority_weight=100):
        for number in range(GROUP):
            single(f"job_{number}")

with dag("cleared", priority_weight=100):
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

with dag("replaced", place="deaths"):
    batch("gone", mortal(SevenBridgesSubmitTaskOperator), dies="after 1+")
    batch("still", mortal(SevenBridgesSubmitTaskOperator), dies="stands 1")

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
