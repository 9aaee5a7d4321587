"""What the Seven Bridges operators share: the connection, looking up files, the memory, the link."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.links.seven_bridges import SevenBridgesLink, portal_page
from airflow_src_provider.operators.base import RemoteOperator
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.seven_bridges import CONN_ID, SevenBridgesTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.seven_bridges.bulk import BulkItem
    from airflow_src_provider.client.seven_bridges.selection import Found, Selection

#: Items of a plan in one record.
PLANNED = 100
#: Characters of results that may travel through a deferral although the memory could have them.
SMALL = 4000
#: Seconds that a retry without any memory looks back at most; no memory is kept for longer, unless set otherwise.
LOOK_BACK = 30 * 86400.0


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
    _ledger: Ledger | None = None

    def __init__(
        self, *, on_item_failure: str | float = "fail", seven_bridges_conn_id: str = CONN_ID, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.on_item_failure = on_item_failure
        self.seven_bridges_conn_id = seven_bridges_conn_id

    def ledger(self, context: Context) -> Ledger:
        """Return the memory of this task run."""
        self._ledger = Ledger(context, self.durable)
        return self._ledger

    def begun(self, ledger: Ledger, context: Context | None = None, *, marked: bool = False) -> float:
        """Return when this task run first was about to act, epoch seconds.

        :param context: given where a retry without memory is to look back as far as the beginning of the DAG run: not
            for what another task of the same run may have done alike.
        :param marked: what is looked for carries a mark, so it does no harm to look back too far.
        """
        begun = ledger.get("begun")
        if begun is None:
            begun = time.time()
            if context is not None and ledger.may_have_acted:
                start = getattr(context.get("dag_run"), "start_date", None)
                earliest = start.timestamp() if start else 0.0 if marked else begun
                begun = min(begun, max(begun - LOOK_BACK, earliest))
            ledger.put("begun", begun)
        return float(begun)

    @staticmethod
    def believe(ledger: Ledger) -> None:
        """Take the memory's word for it that nothing was sent, instead of looking at the service.

        For what must not be taken for this task's own when it is not sure that it is.
        """
        if ledger.keeps and ledger.get("announced") is None:
            ledger.may_have_acted = False

    def kept(self, ledger: Ledger, carry: dict[str, Any], **places: tuple[str, int]) -> dict[str, Any]:
        """Note which long lists of the carry need not travel through a deferral, because the memory has them.

        :param places: by name of the list: the key under which the memory has it, and the length of its parts.
        """
        if self._outlives_a_wait(ledger):
            long = {name: place for name, place in places.items() if len(carry[name]) > place[1]}
            carry["kept"] = {name: [key, -(-len(carry[name]) // length)] for name, (key, length) in long.items()}
        return carry

    @staticmethod
    def put_list(ledger: Ledger, key: str, rows: Sequence[Any], length: int) -> int:
        """Record a list in parts, because a record is not meant to be large; return how many parts it has."""
        starts = range(0, len(rows), length)
        for number, start in enumerate(starts):
            ledger.put(f"{key}.{number}", list(rows[start : start + length]))
        return len(starts)

    def _outlives_a_wait(self, ledger: Ledger) -> bool:
        days = conf.getint("state_store", "default_retention_days", fallback=30)
        return ledger.keeps and (days == 0 or self.timeout < days * 86400.0)

    def packed(self, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the carry for a deferral, without what the memory has."""
        carry = super().packed(carry)
        finished, ledger = carry.get("finished", {}), self._ledger
        if ledger and self._outlives_a_wait(ledger) and len(json.dumps(finished)) > SMALL:
            # What was finished at the look before the deferral.
            rows = [[outcome, id_, told] for outcome, known in finished.items() for id_, told in known.items()]
            carry = {**carry, "finished": {}, "finished_parts": self.put_list(ledger, "finished", rows, PLANNED)}
        return {name: value for name, value in carry.items() if name not in carry.get("kept", ())}

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after the wait."""
        ledger = self.ledger(context)
        for name, (key, parts) in carry.get("kept", {}).items():
            if name not in carry:
                carry[name] = ledger.whole(key, parts)
        finished: dict[str, dict[str, Any]] = {}
        for outcome, id_, told in ledger.whole("finished", carry.pop("finished_parts", 0)):
            finished.setdefault(outcome, {})[id_] = told
        for outcome, known in finished.items():
            event[outcome] = {**known, **(event.get(outcome) or {})}
        return super().execute_complete(context, event, carry)

    def show(self, project: str | None, task_id: str | None = None) -> None:
        """Link the task in the UI to a page of the portal."""
        if project:
            self.portal_url = portal_page(self.client.session.base_url(), project, task_id)

    def places(self) -> tuple[list[str], list[str]]:
        """Return what the task reads and what it writes, as names of places; see :mod:`~.lineage`."""
        return [], []

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Report what was read and written. Airflow calls this when it collects lineage."""
        from airflow_src_provider.operators.seven_bridges.lineage import facets

        return facets(self.client.session.base_url(), *self.places())

    def resolve(self, selection: Selection, need: Sequence[str] = (), *, may_be_empty: bool = False) -> Found:
        """Return the files of a selection, and say what that cost.

        :raises InvalidInputError: when there are none, unless there may be none.
        """
        from airflow_src_provider.client.seven_bridges.selection import resolve

        before = self.client.session.calls
        found = resolve(self.client, selection, need)
        self.log.info("%s: found %d, in %d calls", selection, len(found.files), self.client.session.calls - before)
        if not found.files and not found.failed and not may_be_empty:
            raise InvalidInputError(selection.parameter, str(selection), "a selection that finds at least one file")
        return found


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
