"""
### A whole study, from a sheet to a clean project

A sheet names the files of the study and says what they are. They are imported from the bucket and labelled in the same
step, and go through one batch task with a child for each sample. Children that fail, for instance because a spot
instance was taken away, run once more, only they. The results are exported to the bucket; then the files that are not
needed any more are deleted.

1000 files of 500 samples take about 80 calls: 10 to import the files and 10 to label them, 12 to start the batch (10 of
them check that every file has a sample), 11 to list its children and find those that failed, 10 to export 500 results,
10 to delete 1000 files; the others look at running work, a hundred jobs at a time. A loop over single files takes more
than 8000.

Every step can be repeated: what is there is not imported, started, exported or deleted a second time.
"""

import csv
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, task

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCreateProjectOperator,
    SevenBridgesDeleteFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesRerunFailedTasksOperator,
    SevenBridgesSubmitTaskOperator,
)

SHEET = Path(__file__).with_name("cohort.csv")
BUCKET = "labuser/cohort_bucket"

with DAG(
    "whole_study",
    dag_display_name="A whole study",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["example", "seven bridges"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "study": Param("RNAseq cohort", type="string", description="Name of the project"),
        "run": Param("run1", type="string", description="Folder of the bucket with the FASTQ files"),
    },
):

    @task(task_display_name="Read the sheet")
    def sheet(params: dict) -> list[str]:
        with SHEET.open(newline="") as lines:
            return [f"{params['run']}/{row['name']}" for row in csv.DictReader(lines)]

    project = SevenBridgesCreateProjectOperator(
        task_id="project",
        task_display_name="Find or create the project",
        name="{{ params.study }}",
    )
    reads = SevenBridgesImportFilesOperator(
        task_id="reads",
        task_display_name="Import and label the files",
        volume=BUCKET,
        locations=sheet(),
        project=project.output["project"],
        sheet=SHEET.name,
    )
    salmon = SevenBridgesSubmitTaskOperator(
        task_id="salmon",
        task_display_name="Salmon, one child per sample",
        name="salmon {{ params.run }}",
        project=project.output["project"],
        app="labuser/rnaseq-cohort/salmon-workflow",
        inputs={"reads": reads.output["file_ids"]},
        batch_input="reads",
        batch_by=["metadata.sample_id"],
        # What failed is the next task's business.
        on_item_failure="skip",
    )
    complete = SevenBridgesRerunFailedTasksOperator(
        task_id="complete",
        task_display_name="Run what failed once more",
        tasks=salmon.output["batch_ids"],
        # When this many fail, the reason is not bad luck.
        max_failed=50,
    )
    results = SevenBridgesExportFilesOperator(
        task_id="results",
        task_display_name="Export the results",
        files=complete.output["output_file_ids"],
        volume=BUCKET,
        prefix="results/{{ params.run }}/",
        keep_on_platform=True,
    )
    cleanup = SevenBridgesDeleteFilesOperator(
        task_id="cleanup",
        task_display_name="Delete what can be imported again",
        files=reads.output["file_ids"],
    )
    results >> cleanup
