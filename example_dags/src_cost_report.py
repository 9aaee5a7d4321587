"""
### What do our machines cost, and which of them run without need?

Every Monday all machines of a collaboration on SURF Research Cloud are listed with their price per day, which comes
from the tags of their size. A machine that has been running for longer than some hours, and is not on the list of
those that are meant to, is reported as running without need. The report is the result of the last task, in Markdown.

One call for 100 machines, and one for the name of the collaboration.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, task

from airflow_src_provider.operators.src import SrcListWorkspacesOperator

with DAG(
    "src_cost_report",
    dag_display_name="Costs of our machines",
    doc_md=__doc__,
    schedule="0 8 * * 1",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["example", "surf research cloud", "housekeeping"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    params={
        "collaboration": Param("Example Project", type="string", description="Name or id of the collaboration"),
        "hours": Param(12, type="integer", minimum=1, description="Running longer than this needs a reason"),
        "meant_to_run": Param(["login-box"], type="array", description="Names of machines that have one"),
    },
):
    machines = SrcListWorkspacesOperator(task_id="machines", workspace={"collaboration": "{{ params.collaboration }}"})

    @task
    def report(workspaces: list[dict], per_day: float, params: dict) -> str:
        latest = datetime.now(UTC) - timedelta(hours=params["hours"])
        idle = [
            one["name"]
            for one in workspaces
            if one["status"] == "running"
            and one["name"] not in params["meant_to_run"]
            and datetime.fromisoformat(one["since"]) < latest
        ]
        dearest_first = sorted(workspaces, key=lambda one: -(one["credits_per_day"] or 0))
        lines = [
            f"| {one['name']} | {one['status']} | {one['since'][:16]} | {one['size']} | {one['credits_per_day']} |"
            for one in dearest_first
        ]
        text = "\n".join(
            [
                f"{params['collaboration']} spends {per_day:g} credits a day.",
                f"Running without need: {', '.join(idle) or 'nothing'}.",
                "",
                "| machine | status | since | size | credits per day of running |",
                "|---|---|---|---|---|",
                *lines,
            ]
        )
        print(text)
        return text

    report(machines.output["workspaces"], machines.output["credits_per_day"])
