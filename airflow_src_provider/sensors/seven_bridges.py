"""Sensors for a Seven Bridges platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.operators.seven_bridges.base import CONN_ID, TRIGGERS, Checks, SevenBridgesTask
from airflow_src_provider.operators.seven_bridges.tasks import read_tasks, task_report
from airflow_src_provider.sensors.base import RemoteSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait


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

    def waits_for(self) -> Wait:
        """Return the tasks."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        return TaskWait(read_tasks(self.tasks))

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Report."""
        summary, failures, total = task_report(event)
        return self.settle(context, {**summary, "api_calls": self.client.session.calls}, failures, total)
