"""
### Recipe 5: delete many files

A hundred files are deleted by one call, instead of looking at each file and deleting it. What is gone already counts as
deleted.

For 1000 files: **20 calls**, 10 of which list them, or 10 if their ids are known. The loop takes 2000 calls.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_src_provider.operators.seven_bridges import SevenBridgesDeleteFilesOperator

with DAG(
    "recipe_5_delete_files",
    dag_display_name="Recipe 5: delete many files",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    render_template_as_native_obj=True,
    tags=["example", "seven bridges", "recipe"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "sample": Param(["S0001"], type="array", description="Samples whose files are deleted"),
        "preview": Param(True, type="boolean", description="Only say what would be deleted"),
    },
):
    SevenBridgesDeleteFilesOperator(
        task_id="delete",
        files={"project": "labuser/fastq-archive", "metadata": {"sample_id": "{{ params.sample }}"}},
        # A query that finds more than was meant deletes nothing.
        max_files=500,
        preview="{{ params.preview }}",
    )
