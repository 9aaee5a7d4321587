"""What the Seven Bridges operators share: the connection, checks, the outcome of many items, the link."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError, RemoteWorkError
from airflow_src_provider.links.seven_bridges import SevenBridgesLink, portal_page
from airflow_src_provider.operators.base import RemoteOperator
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.remote import failures_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.seven_bridges.bulk import BulkItem
    from airflow_src_provider.client.seven_bridges.selection import Found, Selection

CONN_ID = "seven_bridges_default"
#: More ids than this are counted, not listed, in an XCom.
MAX_XCOM_IDS = 10_000
TRIGGERS = "airflow_src_provider.triggers.seven_bridges"


def is_template(value: Any) -> bool:
    """Tell whether a value, or something in it, is only known when the task runs."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(is_template(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set):
        return any(is_template(part) for part in value)
    return hasattr(value, "iter_references")


class Checks:
    """Collects what is wrong with the parameters of a task, to report all of it at once."""

    def __init__(self) -> None:
        self.problems: list[InvalidInputError] = []

    def __call__(self, check: Callable[[Any, str], Any], value: Any, parameter: str) -> None:
        """Run a check, unless the value is a template that is not rendered yet."""
        if is_template(value):
            return
        try:
            check(value, parameter)
        except InvalidInputsError as error:
            self.problems += error.problems
        except InvalidInputError as error:
            self.problems.append(error)

    def refuse(self, parameter: str, value: Any, allowed: str) -> None:
        """Add a problem."""
        self.problems.append(InvalidInputError(parameter, value, allowed))

    def choice(self, value: Any, parameter: str, choices: Iterable[Any]) -> None:
        """Refuse what is not among the choices."""
        choices = list(choices)
        if not is_template(value) and value not in choices:
            self.refuse(parameter, value, f"one of {', '.join(map(str, choices))}")

    def flag(self, value: Any, parameter: str) -> None:
        """Refuse what is neither true nor false."""
        if not isinstance(value, bool):
            self.refuse(parameter, value, "True or False")

    def exactly_one(self, **values: Any) -> None:
        """Refuse none and more than one of several parameters."""
        if sum(value is not None for value in values.values()) != 1:
            self.refuse(", ".join(values), tuple(values.values()), "exactly one of them")

    def end(self) -> None:
        """Raise what was found.

        :raises InvalidInputError: one problem, or all of them as ``InvalidInputsError``.
        """
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise InvalidInputsError(self.problems)


def tolerates(policy: Any, failed: int, total: int) -> bool:
    """Tell whether a task may end well although items failed.

    :param policy: ``fail`` (none may fail), ``skip`` (all may), a number of items, or a share between 0 and 1.
    """
    if not failed or policy == "skip":
        return True
    if policy == "fail":
        return False
    return failed <= (policy * total if isinstance(policy, float) else policy)


def check_policy(value: Any, parameter: str) -> None:
    """Refuse what is no policy for failed items."""
    if value in ("fail", "skip") and isinstance(value, str):
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidInputError(parameter, value, "fail, skip, a number of items, or a share between 0 and 1")
    if isinstance(value, float) and not 0 < value < 1:
        raise InvalidInputError(parameter, value, "a share between 0 and 1, or a whole number of items")


class SevenBridgesTask:
    """What operators and sensors share; mixed in before the base that knows Airflow."""

    hook_path = "airflow_src_provider.hooks.seven_bridges.SevenBridgesHook"
    conn_id_field = "seven_bridges_conn_id"
    on_item_failure: str | float
    seven_bridges_conn_id: str

    def checks(self, check: Checks) -> None:
        """Check the parameters; subclasses add theirs."""
        check(check_policy, self.on_item_failure, "on_item_failure")

    def check(self) -> None:
        """Refuse bad input, all problems at once; what is a template is checked when it is rendered."""
        checks = Checks()
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


class SevenBridgesOperator(SevenBridgesTask, RemoteOperator):
    """Base of the Seven Bridges operators.

    :param on_item_failure: what to do when single items failed, after everything that can be done is done: ``fail``
        (default), ``skip`` them, or tolerate up to a number of them (whole number) or a share (between 0 and 1).
    :param seven_bridges_conn_id: the Airflow connection, default ``seven_bridges_default``.

    All other parameters: see :class:`~airflow_src_provider.operators.base.RemoteOperator`.
    """

    template_fields: Sequence[str] = ("seven_bridges_conn_id",)
    operator_extra_links = (SevenBridgesLink(),)
    ui_color = "#e3eefa"
    portal_url: str = ""

    def __init__(
        self, *, on_item_failure: str | float = "fail", seven_bridges_conn_id: str = CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.on_item_failure = on_item_failure
        self.seven_bridges_conn_id = seven_bridges_conn_id

    def ledger(self, context: Context) -> Ledger:
        """Return the memory of this task run."""
        return Ledger(context, self.durable)

    def begun(self, ledger: Ledger) -> float:
        """Return when this task run first was about to act, epoch seconds."""
        begun = ledger.get("begun")
        if begun is None:
            begun = time.time()
            ledger.put("begun", begun)
        return float(begun)

    def show(self, project: str | None, task_id: str | None = None) -> None:
        """Link the task in the UI to a page of the portal."""
        if project:
            self.portal_url = portal_page(self.client.session.base_url(), project, task_id)

    def resolve(self, selection: Selection, need: Sequence[str] = ()) -> Found:
        """Return the files of a selection, and say what that cost.

        :raises InvalidInputError: when there are none.
        """
        from airflow_src_provider.client.seven_bridges.selection import resolve

        before = self.client.session.calls
        found = resolve(self.client, selection, need)
        self.log.info("%s: found %d, in %d calls", selection, len(found.files), self.client.session.calls - before)
        if not found.files and not found.failed:
            raise InvalidInputError(selection.parameter, str(selection), "a selection that finds at least one file")
        return found


def bounded(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary whose long lists are replaced by ``None``: a list that is cut would be taken for whole."""
    return {
        key: None if isinstance(value, list | dict) and len(value) > MAX_XCOM_IDS else value
        for key, value in summary.items()
    }


def folders_of(task: BaseOperator) -> list[str]:
    """Return where a relative path of a task is looked for: the folder of its DAG."""
    dag = getattr(task, "_dag", None) or getattr(getattr(task, "task_group", None), "dag", None)
    folder = getattr(dag, "folder", None)
    return [str(folder)] if folder else []


def records(
    items: Iterable[BulkItem],
    done: Callable[[dict[str, Any]], Any],
    find: Callable[[Sequence[Any]], list[Any | None]],
) -> list[Any | None]:
    """Return one record per item of a bulk call: what was done, or the error; unknown ones are looked for.

    :param done: makes the record from the resource.
    :param find: looks at the service for items that were sent.
    """
    from airflow_src_provider.client.seven_bridges.waits import error_text

    items = list(items)
    unknown = [item.sent for item in items if item.status == "unknown"]
    looked = iter(find(unknown) if unknown else [])
    return [
        done(item.resource or {})
        if item.status == "done"
        else next(looked)
        if item.status == "unknown"
        else {"error": error_text(item.error) if item.error else "failed without a reason"}
        for item in items
    ]
