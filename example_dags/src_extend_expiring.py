"""
### Extend what is about to expire

A machine on SURF Research Cloud is deleted at its end time, with everything on its boot disk. Every morning those of
my machines that have less than a week left get another week; those on a list may go.

One call lists the machines, one more extends each of them. A run that is repeated finds nothing left to extend.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_src_provider.operators.src import SrcUpdateWorkspaceOperator

with DAG(
    "src_extend_expiring",
    dag_display_name="Extend what is about to expire",
    doc_md=__doc__,
    schedule="0 7 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    # Numbers and lists stay what they are when they come from a template.
    render_template_as_native_obj=True,
    tags=["example", "surf research cloud", "housekeeping"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    params={
        "days_left": Param(7, type="integer", minimum=1, description="Extend what has less than so many days left"),
        "days_more": Param(7, type="integer", minimum=1, description="By so many days"),
        "let_go": Param(["course-*"], type="array", description="Names or patterns of machines that may expire"),
    },
):
    SrcUpdateWorkspaceOperator(
        task_id="extend",
        workspace={
            "mine": True,
            "ends_within": "{{ params.days_left * 24 * 3600 }}",
            "except": "{{ params.let_go }}",
        },
        extend_by="{{ params.days_more * 24 * 3600 }}",
    )
