"""What the DAGs of the system tests are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import SevenBridgesSubmitTaskOperator
from airflow_src_provider.operators.src import SrcCreateWorkspaceOperator

PROJECT = "labuser/small"
APP = "labuser/rnaseq-cohort/salmon-workflow"
READS = {"project": PROJECT, "name_pattern": "*.fastq.gz"}


def dag(dag_id: str, place: str = "", **more: Any) -> DAG:
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
            "seven_bridges_conn_id": f"{place or dag_id}_sb",
            "src_conn_id": f"{place or dag_id}_src",
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
