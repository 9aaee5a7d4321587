"""
### The eight recipes of the platform's page on its rate limit

The documentation of the Cancer Genomics Cloud ("API rate limit") shows eight things that people do in loops, until the
platform refuses them. Here each of them is one task. The description of each DAG says what it costs; looking at jobs
and tasks that still run comes on top, with one call per 100 of them. The first number is counted by a test, the second
is that of the loop on the page.
"""

from datetime import datetime
from functools import partial

from airflow.sdk import DAG as AIRFLOW_DAG

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesCreateProjectOperator,
    SevenBridgesDeleteFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesFindFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
    SevenBridgesUpdateMetadataOperator,
)

DAG = partial(
    AIRFLOW_DAG,
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    tags=["example", "seven bridges"],
    default_args={"deferrable": True, "retries": 2},
)
ARCHIVE, COHORT, SHARED, BUCKET = (
    "labuser/fastq-archive",
    "labuser/rnaseq-cohort",
    "labuser/rnaseq-results",
    "labuser/cohort_bucket",
)
FASTQ = {"project": ARCHIVE, "name_pattern": "*.fastq.gz"}

# A batch is one request, however many children it has. Listing the files is all the rest.
with DAG("recipe_1_run_a_workflow", description="A task for each of 500 samples: 12 calls instead of 500"):
    SevenBridgesSubmitTaskOperator(
        task_id="salmon",
        name="salmon {{ run_id }}",
        project=ARCHIVE,
        app="labuser/rnaseq-cohort/salmon-workflow",
        inputs={"reads": FASTQ},
        batch_input="reads",
        batch_by=["metadata.sample_id"],
    )

# Files whose name is there already are left alone, so this may be run again.
with DAG("recipe_2_copy", description="Copy 1000 files to another project: 21 calls instead of 2,000"):
    SevenBridgesCopyFilesOperator(task_id="copy", files=FASTQ, project=SHARED)

with DAG("recipe_3_import", description="Import 1000 files from a volume: 20 calls instead of 2,000"):
    SevenBridgesImportFilesOperator(task_id="import", volume=BUCKET, prefix="run1/", project=COHORT)

# `metadata` also takes a mapping by file name, or a function; `sheet` a CSV or TSV file.
with DAG("recipe_4_metadata", description="Set metadata of 1000 files: 20 calls instead of 2,021"):
    SevenBridgesUpdateMetadataOperator(task_id="label", files=FASTQ, metadata={"platform": "Illumina"})

# A query may find more than one thinks: beyond `max_files` nothing is deleted.
with DAG("recipe_5_delete", description="Delete 1000 files: 20 calls instead of 2,000"):
    SevenBridgesDeleteFilesOperator(task_id="delete", files=FASTQ, max_files=1000)

with DAG("recipe_6_export", description="Export 1000 files to a volume: 20 calls instead of 2,000"):
    SevenBridgesExportFilesOperator(
        task_id="export", files=FASTQ, volume=BUCKET, prefix="archive/", keep_on_platform=True
    )

# The result is a selection for later tasks: `files=find.output["file_ids"]` asks nothing again.
with DAG("recipe_7_list", description="List 1000 files: 10 calls instead of 21"):
    SevenBridgesFindFilesOperator(task_id="find", files={"project": ARCHIVE})

# The platform's own search finds parts of names, too; this finds the project of exactly this name.
with DAG("recipe_8_find_a_project", description="Find one project by its name among 1000: 1 call instead of 21"):
    SevenBridgesCreateProjectOperator(task_id="find", name="RNAseq results", create=False)
