"""
### Recipe 8: find a project by its name

The platform is asked for the name, instead of for all projects. Its search also finds parts of names, so the name is
compared letter by letter; two projects of the same name are an error that names both.

Among 1000 projects: **1 call**. The loop through all of them takes 21.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCreateProjectOperator,
    SevenBridgesFindFilesOperator,
)

with DAG(
    "recipe_8_find_project",
    dag_display_name="Recipe 8: find a project by its name",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "seven bridges", "recipe"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    project = SevenBridgesCreateProjectOperator(
        task_id="project",
        name="FASTQ archive",
        # True makes it if there is none.
        create=False,
    )
    # Its id is what all other tasks want.
    SevenBridgesFindFilesOperator(task_id="files", files={"project": project.output["project"]})
