"""Sensors for a Seven Bridges platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.sensors.base import RemoteSensor
from airflow_src_provider.seven_bridges import CONN_ID, TRIGGERS, SevenBridgesTask, read_jobs, read_tasks, task_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

STORAGE_JOBS = {"imports": "Import", "exports": "Export"}
ASYNC_JOBS = ("copy", "move", "delete")


class SevenBridgesSensor(SevenBridgesTask, RemoteSensor):
    """Base of the Seven Bridges sensors.

    :param on_item_failure: ``fail`` (default) when anything failed, ``skip`` failures, or tolerate up to a number of
        them (whole number) or a share (between 0 and 1).
    :param seven_bridges_conn_id: the Airflow connection, default ``seven_bridges_default``.

    All other parameters: see :class:`~airflow_src_provider.sensors.base.RemoteSensor`.
    """

    template_fields: Sequence[str] = ("seven_bridges_conn_id",)
    ui_color = "#eef5fc"

    def __init__(
        self, *, on_item_failure: str | float = "fail", seven_bridges_conn_id: str = CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.on_item_failure = on_item_failure
        self.seven_bridges_conn_id = seven_bridges_conn_id


class SevenBridgesTaskSensor(SevenBridgesSensor):
    """Wait for tasks that somebody else started: single ones, batches, or both. API page: "Get details of multiple
    tasks".

    One call per 100 tasks and look. A batch is judged by its counters and its children, never by its own status; the
    listing of its children costs one call per 100, once.

    :param tasks: a task's id, a list of ids, or what ``SevenBridgesSubmitTaskOperator`` returned.
    :return: ``task_ids`` (of the tasks that made files: the completed children of a batch), ``status``,
        ``output_file_ids``, ``completed``, ``failed``, ``failures`` (reason by task id, with the sample),
        ``api_calls``.
    :raises AirflowFailException: more tasks failed than may; skips instead with ``soft_fail``.
    :raises AirflowSensorTimeout: the time was over.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesTaskTrigger"
    template_fields: Sequence[str] = (*SevenBridgesSensor.template_fields, "tasks")

    def __init__(self, *, tasks: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = tasks
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        super().checks(check)
        check(read_tasks, self.tasks, "tasks")

    def find(self) -> list[str]:
        """Return the tasks."""
        return read_tasks(self.tasks)

    def waits_for(self, ids: list[str]) -> Wait:
        """Return the wait for them."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        return TaskWait(ids)

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Report."""
        summary, failures, total = task_report(event)
        return self.settle(context, {**summary, "api_calls": self.api_calls}, failures, total)


class SevenBridgesJobSensor(SevenBridgesSensor):
    """Wait for imports, exports or async jobs that somebody else started. API pages: "Get details of a bulk import
    job", "Get details of a bulk export job", "Get details of a copy job".

    One call per 100 imports or exports and look; async jobs cost one call each if there are one or two, else one call
    per 100 jobs that the platform lists.

    :param kind: ``imports``, ``exports``, or of an async job ``copy``, ``move`` or ``delete``.
    :param jobs: a job's id, a list of ids, or what an operator with ``wait_for_completion=False`` returned.
    :return: ``file_ids`` (that imports and async jobs made), ``completed``, ``failed``, ``failures``, ``api_calls``.
    :raises AirflowFailException: more jobs, or files of an async job, failed than may; skips with ``soft_fail``.
    :raises AirflowSensorTimeout: the time was over.
    """

    template_fields: Sequence[str] = (*SevenBridgesSensor.template_fields, "kind", "jobs")

    def __init__(self, *, kind: str, jobs: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.jobs = jobs
        self.check()

    @property
    def trigger_path(self) -> str:  # type: ignore[override]
        """Return the trigger of this kind of job."""
        return f"{TRIGGERS}.SevenBridges{STORAGE_JOBS.get(self.kind, 'AsyncJob')}Trigger"

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        super().checks(check)
        check.choice(self.kind, "kind", (*STORAGE_JOBS, *ASYNC_JOBS))
        check(read_jobs, self.jobs, "jobs")

    def find(self) -> list[str]:
        """Return the jobs."""
        return read_jobs(self.jobs)

    def waits_for(self, ids: list[str]) -> Wait:
        """Return the wait for them."""
        from airflow_src_provider.client.seven_bridges import waits

        if self.kind in ASYNC_JOBS:
            return waits.AsyncJobWait([f"{self.kind}/{job}" for job in ids])
        return waits.ImportWait(ids) if self.kind == "imports" else waits.ExportWait(ids)

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Report."""
        failures = dict(event["failed"])
        results = event["results"]
        if self.kind in ASYNC_JOBS:
            files = [entry["id"] for job in results.values() for entry in job["entries"] if entry.get("id")]
            completed = sum(job["completed"] for job in results.values())
            for job, result in results.items():
                errors = [entry["error"] for entry in result["entries"] if "error" in entry] or [
                    f"{result['failed']} files failed"
                ] * bool(result["failed"])
                failures |= {f"{job} [{number}]": error for number, error in enumerate(errors)}
        else:
            files = list(results.values())
            completed = len(results)
        summary = {"file_ids": files, "completed": completed, "api_calls": self.api_calls}
        return self.settle(context, summary, failures, completed + len(failures))
