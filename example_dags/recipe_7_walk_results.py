"""
### Recipe 7: walk through many results

Files are listed a hundred at a time and no page twice, and each comes with just what is needed of it. They are listed
once: the tasks that follow get what was found and do not ask again.

For 1000 files: **10 calls**. The loop with the default page takes 21, and 1000 more if it asks each file for what the
listing could have told.
"""

from collections import Counter
from datetime import datetime, timedelta

from airflow.sdk import DAG, task

from airflow_src_provider.operators.seven_bridges import SevenBridgesFindFilesOperator

with DAG(
    "recipe_7_walk_results",
    dag_display_name="Recipe 7: walk through many results",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    reads = SevenBridgesFindFilesOperator(
        task_id="reads",
        files={"project": "labuser/fastq-archive"},
        fields=["name", "size", "metadata.sample_id"],
    )

    @task
    def summary(files: list[dict]) -> dict:
        samples = Counter(file["metadata"]["sample_id"] for file in files)
        return {
            "samples": len(samples),
            "unpaired": [sample for sample, reads in samples.items() if reads != 2],
            "gigabytes": round(sum(file["size"] for file in files) / 1e9),
        }

    summary(reads.output["files"])
