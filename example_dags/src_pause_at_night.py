"""
### Pause everything at night

Every evening all my machines on SURF Research Cloud are paused, except those on a list. What is still being created or
resumed is paused as soon as that is over; what is paused already is left alone. If one machine cannot be paused, all
the others are, and then the run fails and says why.

One call lists the machines, one more pauses each of them, and one for 100 machines every 30 seconds watches them.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_src_provider.operators.src import SrcPauseWorkspaceOperator

with DAG(
    "src_pause_at_night",
    dag_display_name="Pause everything at night",
    doc_md=__doc__,
    schedule="0 21 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    # Lists stay lists when they come from a template.
    render_template_as_native_obj=True,
    tags=["example", "surf research cloud", "housekeeping"],
    default_args={"deferrable": True, "retries": 2, "retry_delay": timedelta(minutes=10)},
    params={
        "keep": Param(["login-box", "*-server"], type="array", description="Names or patterns that stay on"),
    },
):
    SrcPauseWorkspaceOperator(
        task_id="pause",
        workspace={
            "mine": True,
            "status": ["running", "resuming", "creating", "rebooting", "updating"],
            "except": "{{ params.keep }}",
        },
    )
