"""
### Pause the GPU machine when its job ends

The machine on SURF Research Cloud is resumed, a training job runs on it over SSH, and then the machine is paused:
whether the job succeeded, failed, or was killed. If the machine was in use before the job began, it stays on.
If there is no free GPU, the resume fails with the service's own reason and nothing is started.

Four calls find, resume and pause the machine, and one every 30 seconds watches it start and stop; while the job runs
there are none.
"""

from datetime import datetime, timedelta
from shlex import quote

from airflow.sdk import DAG, Param, task

from airflow_src_provider.operators.src import src_workspace

with DAG(
    "src_pause_after_job",
    dag_display_name="Pause when the GPU job ends",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["example", "surf research cloud", "housekeeping"],
    params={
        "machine": Param("gpu-box", type="string", description="Name or id of the machine"),
        "command": Param("python train.py", type="string", description="What runs on it"),
    },
):
    with src_workspace("{{ params.machine }}", leave_running=True, deferrable=True, retries=2) as machine:

        @task.bash(append_env=True, execution_timeout=timedelta(days=2))
        def train(host: str, user: str, params: dict) -> str:
            return f"ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new {user}@{host} {quote(params['command'])}"

        train(host=machine["ip"], user=machine["user"])
