"""What becomes of machines that a task has brought up when nobody waits for them any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.src.states import raw_status
from airflow_src_provider.client.src.waits import WorkspaceWait, is_overtaken, newer_action
from airflow_src_provider.client.waiting import NOT_NOW
from airflow_src_provider.exceptions import ApiError, RemoteWorkError
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.decisions import SrcDecidingOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json
    from airflow_src_provider.client.waiting import Wait

#: Statuses that cost money now or before long.
_MAY_BE_ON = ("running", "resuming", "unhealthy", "unknown")


class SrcUndoingOperator(SrcDecidingOperator):
    """Base of the operators that take back what they have done when they are killed, run out of time or give up.

    All that the task run has changed is taken back, also what was finished before. A retry goes on with what is there,
    so an end that leaves retries takes nothing back, unless it is a kill or the time is over.
    """

    #: How it is taken back: ``pause``, or not at all.
    undo: ClassVar[str | None] = None

    def mark(self, carry: dict[str, Any], id_: str, sent: float, before: list[str]) -> None:
        """Note that this task run has asked for the action."""
        if id_ not in carry["changed"]:
            carry["changed"].append(id_)
        carry["sent"][id_], carry["before"][id_] = sent, before

    def is_own(self, workspace: Json, asked: dict[str, Any]) -> bool:
        """Tell whether the newest action is the one that was asked for, and not what somebody asked for after it."""
        began = newer_action(workspace, self.action, **asked) is not None
        return began and not is_overtaken(workspace, self.action, **asked)

    def adopt(self, context: Context, carry: dict[str, Any], workspace: Json) -> None:
        """Take for its own what this task asked for before it was cleared: nobody else takes it back any more."""
        id_ = str(workspace["id"])
        asked = Ledger(context, self.durable).older(f"{self.action}.{id_}") if self.undo else None
        if asked and self.is_own(workspace, asked):
            self.mark(carry, id_, **asked)

    def wait_of(self, carry: dict[str, Any], ids: Sequence[str], undo_ids: Sequence[str], **options: Any) -> Wait:
        """Return the wait for some workspaces, at whose end others are undone as well."""
        undo_ids = undo_ids if self.undo else ()
        options = {"action": self.action, **options}
        for name in ("sent", "before"):
            of = carry[name]
            options[name] = {id_: of[id_] for id_ in dict.fromkeys([*ids, *undo_ids]) if of.get(id_)}
        return WorkspaceWait(ids, **options, **({"undo": self.undo, "undo_ids": list(undo_ids)} if undo_ids else {}))

    def undo_if_killed(self, carry: dict[str, Any], *also: str) -> None:
        """Have all that this task has changed undone, and some more, should it be killed from now on."""
        ids = [*carry["changed"], *also]
        if self.undo and ids:
            self.end_if_killed(self.wait_of(carry, ids, ids), self.trigger_path)
        else:
            self._waiting_for = None

    @contextlib.contextmanager
    def giving_up(self, context: Context) -> Iterator[None]:
        """Undo everything when what is inside comes to no result, unless a pause or a retry goes on with it.

        That is what a kill would undo: also what may have been asked for without an answer.
        """
        try:
            yield
        except (ApiError, RemoteWorkError) as error:
            goes_on = self.is_tried_again(context, error) or (isinstance(error, NOT_NOW) and self._can_pause)
            if self._waiting_for is not None and self._waiting_for.options.get("undo") and not goes_on:
                self._end(self._waiting_for)
            raise

    def undo_failed(self, context: Context, carry: dict[str, Any], error: Exception | None) -> None:
        """Undo what counts as failed and may be on, or come up, all the same.

        :param error: how the task ends; ``None`` when it ends well, so that there is no retry even if some are left.
        """
        ids = [id_ for id_ in carry["changed"] if id_ in carry["failed"]]
        if self.undo and ids and (error is None or not self.is_tried_again(context, error)):
            with contextlib.suppress(ApiError):
                found = self.client.workspaces.look(ids)
                if on := [id_ for id_, one in found.items() if raw_status(one) in _MAY_BE_ON]:
                    self._end(self.wait_of(carry, on, on))
