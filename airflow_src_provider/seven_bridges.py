"""What operators and sensors of Seven Bridges share: connection, checks, report, and how tasks and jobs are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.exceptions import RemoteWorkError
from airflow_src_provider.items import check_policy, tolerates
from airflow_src_provider.remote import failures_text

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

CONN_ID = "seven_bridges_default"
TRIGGERS = "airflow_src_provider.triggers.seven_bridges"
#: Longer lists of ids are left out of an XCom.
MAX_XCOM_IDS = 10_000


def bounded(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary whose long lists are replaced by ``None``: a list that is cut would be taken for whole."""
    return {
        key: None if isinstance(value, list | dict) and len(value) > MAX_XCOM_IDS else value
        for key, value in summary.items()
    }


class SevenBridgesTask:
    """What operators and sensors share; mixed in before the base that knows Airflow."""

    hook_path = "airflow_src_provider.hooks.seven_bridges.SevenBridgesHook"
    conn_id_field = "seven_bridges_conn_id"
    on_item_failure: str | float
    template_fields: Sequence[str]
    rendered: bool
    seven_bridges_conn_id: str

    def checks(self, check: Checks) -> None:
        """Check the parameters; subclasses add theirs."""
        check(check_policy, self.on_item_failure, "on_item_failure")

    def check(self) -> None:
        """Refuse bad input, all problems at once; what is a template is checked when it is rendered."""
        checks = Checks(() if self.rendered else self.template_fields)
        self.checks(checks)
        checks.end()

    def settle(self, context: Context, summary: dict[str, Any], failures: Mapping[str, str], total: int) -> Any:
        """Return the XCom value, or raise when more items failed than may.

        :param summary: counts and ids.
        :param failures: reason by item.
        :param total: how many items there were.
        :raises RemoteWorkError: naming the failed items. The XCom value is pushed before.
        """
        shown = dict(list(failures.items())[:MAX_XCOM_IDS])
        result = {**bounded(summary), "failed": len(failures), "failures": shown}
        if failures:
            self.log.warning(  # type: ignore[attr-defined]
                "%d of %d failed:\n%s", len(failures), total, failures_text(failures)
            )
        if not tolerates(self.on_item_failure, len(failures), total):
            context["ti"].xcom_push("return_value", result)
            message = f"{len(failures)} of {total} failed (on_item_failure={self.on_item_failure!r}):"
            raise RemoteWorkError(f"{message}\n{failures_text(failures)}", dict(failures))
        return result


def task_report(event: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str], int]:
    """Return what a wait for tasks says: summary, reason by failed task, number of tasks that make files."""
    task_ids: list[str] = []
    outputs: list[str] = []
    failures: dict[str, str] = dict(event["failed"])
    for task, result in event["results"].items():
        task_ids += result.get("children", [task])
        outputs += result["outputs"]
        failures |= result.get("failed", {})
    summary = {
        "status": "FAILED" if failures else "COMPLETED",
        "task_ids": task_ids,
        "completed": len(task_ids),
        "output_file_ids": list(dict.fromkeys(outputs)),
    }
    return summary, failures, len(task_ids) + len(failures)


def unfinished(tasks: Sequence[str], event: Mapping[str, Any]) -> list[str]:
    """Return the tasks of a wait that did not complete, or not with all their children."""
    return [task for task in tasks if (event["results"].get(task) or {}).get("status") != "COMPLETED"]


def read_tasks(value: Any, parameter: str = "tasks") -> list[str]:
    """Return task ids: from one, a list, or what submitting them returned.

    :raises InvalidInputError: anything else, and ids that are not UUIDs, all of them.
    """
    from airflow_src_provider.client.seven_bridges import validate
    from airflow_src_provider.client.seven_bridges.selection import literal

    value = literal(value)
    if isinstance(value, dict):
        value = value.get("batch_ids") or value.get("started") or value.get("task_ids") or value.get("task_id") or []
    ids = validate.several([value] if isinstance(value, str) else value, parameter, validate.task_id)
    return list(dict.fromkeys(ids))


def read_jobs(value: Any, parameter: str = "jobs") -> list[str]:
    """Return job ids: from one, a list, or an operator's result.

    :raises InvalidInputError: anything else, with all problems.
    """
    from airflow_src_provider.client.seven_bridges import validate
    from airflow_src_provider.client.seven_bridges.selection import literal

    value = literal(value)
    if isinstance(value, dict):
        value = value.get("job_ids") or []
    ids = validate.several([value] if isinstance(value, str) else value, parameter, validate.job_id)
    return list(dict.fromkeys(ids))
