"""Runs on Celery workers of several hosts that use one token, with more requests than a window allows."""

from __future__ import annotations

import os
from itertools import islice
from typing import Any

from airflow.sdk import task
from pieces import batch, dag

from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.operators.seven_bridges import SevenBridgesCopyFilesOperator, SevenBridgesImportFilesOperator

ARCHIVE = "labuser/fastq-archive"


@task
def look_one_by_one(conn_id: str, count: int) -> int:
    """Do as a person's own code may do: one request for each file."""
    files = SevenBridgesHook(conn_id).client.files
    return len({files.get(file["id"])["name"] for file in islice(files.list(project=ARCHIVE), count)})


def celery_dag(dag_id: str, **more: Any) -> Any:
    return dag(dag_id, place="shared", executor="CeleryExecutor", **more)


if "CeleryExecutor" in os.environ.get("AIRFLOW__CORE__EXECUTOR", ""):
    # The two waits of a run are in two triggerers, which look with the same token too.
    with celery_dag("shared_token"):
        look_one_by_one("shared_sb", 40)
        SevenBridgesCopyFilesOperator(
            task_id="copy", files={"project": ARCHIVE}, project="labuser/shared-copy-{{ dag_run.conf['number'] }}"
        )
        SevenBridgesImportFilesOperator(
            task_id="import",
            volume="labuser/cohort_bucket",
            prefix="run1/",
            pattern="*_R1.fastq.gz",
            project="labuser/shared-import-{{ dag_run.conf['number'] }}",
            queue="triggerer-0",
        )
        batch("batch", queue="triggerer-1")

    with celery_dag("counted_apart"):
        for number in range(4):
            look_one_by_one.override(task_id=f"look_{number}")("apart_sb", 30)
