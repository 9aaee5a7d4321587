"""
### Recipe 2: copy files to another project

A hundred files are copied by one call, instead of looking at each file and copying it.

For 1000 files: **20 calls**, 10 of which list them, or 10 if their ids are known; and 1 for looking whether the
destination is empty, so that a repeated run makes no doubles. The loop takes 2000 calls.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import SevenBridgesCopyFilesOperator

with DAG(
    "recipe_2_copy_files",
    dag_display_name="Recipe 2: copy files to another project",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
):
    SevenBridgesCopyFilesOperator(
        task_id="copy",
        files={"project": "labuser/fastq-archive", "name_pattern": "*.fastq.gz"},
        project="labuser/rnaseq-results",
        # What is there already is left alone. "copy" does not look, and the platform numbers the doubles.
        if_exists="skip",
    )
