"""
### A machine for everybody in a class

The teacher prepares one machine on SURF Research Cloud; the DAG creates one like it for each name on a list: same
catalog item, size, collaboration and wallet, and the student's name as a parameter. They expire by themselves after
the course. A run that is repeated, for instance with a longer list, creates only what is missing; a machine that a
student has paused stays paused.

Three calls for each machine: two look for the teacher's and for one that is there already, one creates.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, task

from airflow_src_provider.operators.src import SrcCreateWorkspaceOperator

with DAG(
    "src_create_for_class",
    dag_display_name="Machines for a class",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["example", "surf research cloud", "housekeeping"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "students": Param(["anna", "bram", "chris"], type="array", description="One machine for each"),
        "like": Param("Training box 1", type="string", description="The machine that all of them are to be like"),
    },
):

    @task
    def machines(params: dict) -> list[dict]:
        return [{"name": f"course-{student}", "parameters": {"username": student}} for student in params["students"]]

    SrcCreateWorkspaceOperator.partial(
        task_id="create",
        from_workspace="{{ params.like }}",
        lifetime=timedelta(weeks=2),
        if_exists="use",
        # The service queues few creations at a time.
        max_active_tis_per_dag=4,
        map_index_template="{{ task.name }}",
    ).expand_kwargs(machines())
