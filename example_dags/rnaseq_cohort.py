"""
### A cohort of paired FASTQ files, from the bucket to the results

A machine on SURF Research Cloud is resumed. A run of 1000 FASTQ files appears in a project of the Cancer Genomics
Cloud, is labelled from a sheet, and goes through one batch task with a child for each of the 500 samples. The results
are exported to the bucket and copied to the project that is shared with others. Then the machine is paused again,
whatever happened in between.

Either service allows 1000 requests per window, and a loop over these files would need thousands. This DAG takes about
a hundred: files travel in requests of 100, and waiting happens in the triggerer, for everything at once.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
    SevenBridgesUpdateMetadataOperator,
)
from airflow_src_provider.operators.src import SrcPauseWorkspaceOperator, SrcResumeWorkspaceOperator

with DAG(
    "rnaseq_cohort",
    dag_display_name="RNA-seq cohort",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["example", "surf research cloud", "seven bridges"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "workspace": Param("gpu-box", type="string", description="Name or id of the machine on SURF Research Cloud"),
        "run": Param("run1", type="string", description="Folder of the bucket with the FASTQ files"),
    },
) as dag:
    machine = SrcResumeWorkspaceOperator(
        task_id="machine",
        task_display_name="Resume the machine",
        workspace="{{ params.workspace }}",
    )
    reads = SevenBridgesImportFilesOperator(
        task_id="reads",
        task_display_name="Import the FASTQ files",
        volume="labuser/cohort_bucket",
        prefix="{{ params.run }}/",
        project="labuser/rnaseq-cohort",
        if_exists="skip",
    )
    sheet = SevenBridgesUpdateMetadataOperator(
        task_id="sheet",
        task_display_name="Label them from the sheet",
        files=reads.output["file_ids"],
        sheet="cohort.csv",
    )
    salmon = SevenBridgesSubmitTaskOperator(
        task_id="salmon",
        task_display_name="Salmon, one child per sample",
        name="salmon {{ params.run }}, {{ dag_run.run_after | ds }}",
        project="labuser/rnaseq-cohort",
        app="labuser/rnaseq-cohort/salmon-workflow",
        inputs={"reads": reads.output["file_ids"]},
        batch_input="reads",
        batch_by=["metadata.sample_id"],
    )
    results = SevenBridgesExportFilesOperator(
        task_id="results",
        task_display_name="Export the results",
        files=salmon.output["output_file_ids"],
        volume="labuser/cohort_bucket",
        prefix="results/{{ params.run }}/",
        keep_on_platform=True,
    )
    shared = SevenBridgesCopyFilesOperator(
        task_id="shared",
        task_display_name="Copy them to the shared project",
        files=salmon.output["output_file_ids"],
        project="labuser/rnaseq-results",
        if_exists="skip",
    )
    pause = SrcPauseWorkspaceOperator(
        task_id="pause",
        task_display_name="Pause the machine",
        workspace="{{ params.workspace }}",
    )

    done = EmptyOperator(task_id="done", task_display_name="All results are there")

    machine >> reads >> sheet >> salmon >> results >> shared >> [done, pause]
    # A teardown also runs after a failure; clearing a task later clears it, and the resume, as well. A machine that
    # stays on fails the run. Since that makes the teardown decide about the run, `done` must not be left out: it is
    # what fails the run when anything before it failed.
    pause.as_teardown(setups=machine, on_failure_fail_dagrun=True)
