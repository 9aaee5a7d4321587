"""
### Recipe 4: set metadata of many files

The metadata of a hundred files is set by one call, instead of saving each file (which sends it, and reads it again).
The metadata may be the same for all, come from a sheet, or be computed from what the file is called, as here. Files
that carry it already are not sent, so a repeated run changes nothing.

For 1000 files: **20 calls**, 10 of which list them, or 10 if their ids are known. The loop takes 2021 calls.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import SevenBridgesUpdateMetadataOperator


def from_name(file: dict) -> dict:
    """S0001_R2.fastq.gz is the second read of sample S0001."""
    sample, _, read = file["name"].removesuffix(".fastq.gz").partition("_R")
    return {"sample_id": sample, "paired_end": read, "library_id": f"{sample}-lib1"}


with DAG(
    "recipe_4_set_metadata",
    dag_display_name="Recipe 4: set metadata of many files",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    SevenBridgesUpdateMetadataOperator(
        task_id="label",
        files={"project": "labuser/fastq-archive", "name_pattern": "*.fastq.gz"},
        metadata=from_name,
    )
