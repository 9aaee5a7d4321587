"""Tasks that show all they can, and tasks whose services repeat the token in their answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from airflow_src_provider.operators.seven_bridges import SevenBridgesFindFilesOperator, SevenBridgesRequestOperator
from airflow_src_provider.operators.src import SrcRequestOperator
from airflow_src_provider.retry import ResearchCloudRetryPolicy
from airflow_src_provider.sensors.src import SrcWorkspaceSensor

# The policy has its reason written into the database; what was refused is not tried again.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1), "retry_policy": ResearchCloudRetryPolicy()}

with DAG("secrets", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, default_args=RETRIES):

    @task
    def shown() -> str:
        """What a user's own code might do: everything is printed, raised and logged that can be."""
        import http.client
        import logging
        import pickle

        from airflow_src_provider.exceptions import ResearchCloudError
        from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
        from airflow_src_provider.hooks.src import SrcHook

        log = logging.getLogger("task")
        results = []
        http.client.HTTPConnection.debuglevel = 1
        for name in ("urllib3", "airflow_src_provider"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        # Airflow's namespace_levels do not reach loggers of the standard library.
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.DEBUG)
        for hook, service, path in ((SevenBridgesHook(), "", "user"), (SrcHook(), "user", "users/self/")):
            session = hook.session
            print(hook, vars(hook), session, vars(session), vars(session._auth), session.budget)
            try:
                results.append(session.request("GET", path, service=service, attempts=1).text)
            except ResearchCloudError as error:
                log.exception("%r %s %r", error, vars(error), pickle.dumps(error))
                results.append(str(error))
        return " ".join(results)

    shown()
    SrcRequestOperator(task_id="repeated", service="user", path="users/self/")
    SevenBridgesRequestOperator(task_id="refused", path="/user")
    SevenBridgesFindFilesOperator(task_id="page", files={"project": "labuser/small"})
    SrcWorkspaceSensor(
        task_id="waits", workspace="{{ dag_run.conf['workspace'] }}", deferrable=True, poke_interval=1.0, timeout=300
    )
