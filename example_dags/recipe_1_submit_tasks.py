"""
### Recipe 1: run an app on many samples

One batch task with a child for each sample, instead of a task for each sample.

For 1000 files: **1 call** if their ids are known, 11 if they have to be listed, and 1 more for looking whether the app
knows the inputs before anything is started. The loop that submits one task after the other takes 1000 calls, or 2000 if
it makes a draft first; asking how they are takes it another 1000 each time, and the batch 1.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import SevenBridgesSubmitTaskOperator

with DAG(
    "recipe_1_submit_tasks",
    dag_display_name="Recipe 1: run an app on many samples",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
):
    SevenBridgesSubmitTaskOperator(
        task_id="salmon",
        name="salmon {{ ds }}",
        project="labuser/fastq-archive",
        app="labuser/rnaseq-cohort/salmon-workflow",
        inputs={"reads": {"project": "labuser/fastq-archive", "name_pattern": "*.fastq.gz"}},
        batch_input="reads",
        # The files of one sample go into one child.
        batch_by=["metadata.sample_id"],
        # Up to 2 % of the samples may fail without failing the task; they are named in the log and in the result.
        on_item_failure=0.02,
    )
