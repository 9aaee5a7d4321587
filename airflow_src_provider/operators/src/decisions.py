"""What one workspace needs for an action to be done, as far as its status and its history tell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.src.selection import chosen, fits
from airflow_src_provider.client.src.states import (
    Status,
    StatusClass,
    class_of,
    newest_action,
    parse_time,
    possible,
    raw_status,
    status_of,
)
from airflow_src_provider.client.src.waits import is_outdated, open_action
from airflow_src_provider.exceptions import InvalidInputError, NotFoundError
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.base import SrcSelectingOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json

#: Seconds for which what was read is taken for the present state.
FRESH = 5.0
#: Actions without parameters: one that is under way does as well, whoever asked for it. Its status shows it, too.
_JOINABLE = {
    "resume": Status.RESUMING,
    "pause": Status.PAUSING,
    "reboot": Status.REBOOTING,
    "delete": Status.DELETING,
}


class SrcDecidingOperator(SrcSelectingOperator):
    """Base of the operators that decide by the state of a workspace what is to be done."""

    #: Name of the action, as in the workspace's history.
    action: ClassVar[str]
    #: Statuses in which nothing is left to do.
    target: ClassVar[frozenset[str]] = frozenset()
    #: Whether the change is done as soon as the service has answered.
    instant: ClassVar[bool] = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: What was noted before an action was asked for, by id.
        self.notes: dict[str, dict[str, Any]] = {}
        self._read: dict[str, tuple[float, Json]] = {}

    def reached(self, workspace: Json) -> bool:
        """Tell whether nothing is left to do."""
        return raw_status(workspace) in self.target

    def need(self, workspace: Json) -> tuple[str, Any]:
        """Return what a workspace needs, and why.

        ``done``: nothing. ``act``: the action. ``join``: that the action, which is under way since some moment, ends.
        ``busy``: that something else ends first. ``later``: another look, because what is shown is likely to be old.
        ``failed``: it cannot be done.

        :raises InvalidInputError: the wish does not fit this workspace.
        """
        shown = raw_status(workspace)
        if self.instant:
            if self.reached(workspace):
                return "done", "it is as wanted"
            if possible(workspace, "update"):
                return "act", None
            return "failed", f"it may not be changed by you now, its status is {shown}"
        under_way = open_action(workspace)
        if under_way is not None:
            if under_way.get("type") != self.action or self.action not in _JOINABLE:
                # What another change of the same kind asks for is something else, and is not seen here.
                return "busy", f"{under_way.get('type')} is under way"
            started = parse_time(under_way.get("time_created"))
            return "join", started.timestamp() if started else None
        if self.reached(workspace):
            return ("later" if self.target and is_outdated(workspace) else "done"), f"status is {shown}"
        if status_of(workspace) is _JOINABLE.get(self.action):
            return "join", None
        if shown in ("deleting", "deleted"):
            return "failed", f"{self.action} is not possible: it is gone, or about to be"
        if class_of(status_of(workspace)) is StatusClass.TRANSITIONAL:
            return "busy", f"status is {shown}"
        if possible(workspace, self.action):
            return "act", None
        if class_of(status_of(workspace)) is StatusClass.INDETERMINATE:
            # Nobody knows what it means; it may pass.
            return "busy", f"status is {shown or 'not given'}"
        offered = ", ".join(workspace.get("allowed_actions") or []) or "none"
        return "failed", f"{self.action} is not possible: status is {shown}, actions allowed to you are: {offered}"

    def may_be_old(self, context: Context, workspace: Json) -> bool:
        """Tell whether a teardown that finds nothing to do should look again, because reads may lag behind.

        Its setup has just brought the machine up. If something has paused it since, the history says so.
        """
        if not self.is_teardown or self.action != "pause":
            return False
        run: Any = context.get("dag_run")
        begin = getattr(run, "start_date", None)
        newest = parse_time((newest_action(workspace) or {}).get("time_created"))
        return begin is None or newest is None or newest < begin

    def is_still_meant(self, id_: str) -> bool:
        """Tell whether a filter still fits a workspace that is about to be deleted: that cannot be taken back."""
        wanted = chosen(self.workspace, self.workspace_id)
        if self.action != "delete" or not isinstance(wanted, Mapping):
            return True
        try:
            workspace = self.current(id_)
        except NotFoundError:
            return True
        return raw_status(workspace) in ("deleting", "deleted") or fits(workspace, wanted)

    def keep(self, workspace: Json) -> None:
        """Note that a workspace was read just now."""
        self._read[str(workspace["id"])] = time.monotonic(), workspace

    def current(self, id_: str) -> Json:
        """Return a workspace that was read within the last seconds."""
        read_at, workspace = self._read.get(id_, (float("-inf"), {}))
        if time.monotonic() - read_at > FRESH:
            workspace = self.client.workspaces.get(id_)
        return workspace

    def asked(self, context: Context, id_: str) -> dict[str, Any] | None:
        """Return what this task run, in this try or an earlier one, noted before it asked for the action."""
        if self.instant:
            # Such a change may be made again, and leaves nothing in the history to look for.
            return None
        ledger = Ledger(context, self.durable)
        note: dict[str, Any] | None = self.notes.get(id_)
        if note is None and ledger.may_have_acted:
            note = ledger.get(f"{self.action}.{id_}")
        return note

    def is_there(self, shown: Json) -> bool:
        """Tell whether a change that is over can be seen, as far as the service tells."""
        try:
            return self.reached(shown)
        except InvalidInputError:
            # Not told any more.
            return True
