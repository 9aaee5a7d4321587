"""
### Recipe 6: export files to a bucket

A hundred files are exported by one call, instead of looking at each file and exporting it.

For 1000 files: **20 calls**, 10 of which list them, or 10 if their names are known, and 10 for each look at all the
running exports. The loop takes 2000 calls, and another 1000 each time it asks how the exports are. A task whose outputs
go to the bucket at once (`output_location`) needs no export at all.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import SevenBridgesExportFilesOperator

with DAG(
    "recipe_6_export_files",
    dag_display_name="Recipe 6: export files to a bucket",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
):
    SevenBridgesExportFilesOperator(
        task_id="export",
        files={"project": "labuser/fastq-archive", "name_pattern": "*.fastq.gz"},
        volume="labuser/cohort_bucket",
        prefix="archive/",
        location="{metadata.sample_id}/{name}",
        # The platform's own default is False, which leaves it with an alias of the object in the bucket.
        keep_on_platform=True,
    )
