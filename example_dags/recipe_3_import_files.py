"""
### Recipe 3: import files from a bucket

The bucket is listed, and a hundred of its objects are imported by one call, instead of one by one. Files that the
project has already are left alone.

For 1000 files: **20 calls**, 10 of which list the bucket, and 10 for each look at all the running imports. The loop
takes 1000 calls, 2000 if it also looks up each file, and another 1000 each time it asks how the imports are.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import SevenBridgesImportFilesOperator

with DAG(
    "recipe_3_import_files",
    dag_display_name="Recipe 3: import files from a bucket",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
):
    SevenBridgesImportFilesOperator(
        task_id="import",
        volume="labuser/cohort_bucket",
        prefix="run1/",
        pattern="*.fastq.gz",
        project="labuser/rnaseq-cohort",
        if_exists="skip",
    )
