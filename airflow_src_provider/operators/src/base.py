"""What the operators for SURF Research Cloud share: the connection, which workspaces, and the report."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import RetryAction

from airflow_src_provider.client.src.selection import check_choice, chosen, select
from airflow_src_provider.client.src.states import raw_status
from airflow_src_provider.client.src.waits import MAX_IDS, MAX_SUMMARIES
from airflow_src_provider.links.src import PORTAL, SrcWorkspaceLink
from airflow_src_provider.operators.base import RemoteOperator
from airflow_src_provider.remote import is_template

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json, JsonList
    from airflow_src_provider.operators.durable import Ledger


class SrcOperator(RemoteOperator):
    """Base of the operators for SURF Research Cloud.

    :param src_conn_id: connection of type ``surf_research_cloud``; default ``src_default``.
    :param timeout: longest wait, in seconds or as ``timedelta``, default one hour.

    Further parameters are those of :class:`~airflow_src_provider.operators.base.RemoteOperator`.
    """

    hook_path: ClassVar[str] = "airflow_src_provider.hooks.src.SrcHook"
    conn_id_field: ClassVar[str] = "src_conn_id"
    trigger_path: ClassVar[str] = "airflow_src_provider.triggers.src.SrcWorkspaceTrigger"
    template_fields: Sequence[str] = ("src_conn_id",)
    operator_extra_links = (SrcWorkspaceLink(),)
    ui_color = "#dbe9f4"
    ui_fgcolor = "#1b2a3a"

    portal_url = ""

    def __init__(self, *, src_conn_id: str = "src_default", timeout: float | timedelta = 3600.0, **kwargs: Any) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.src_conn_id = src_conn_id

    def check_early(self) -> None:
        """Refuse bad input while the DAG is parsed, unless some of it is known only when the task runs."""
        if not any(is_template(getattr(self, field)) for field in self.template_fields):
            self.check()

    def is_tried_again(self, context: Context, error: Exception) -> bool:
        """Tell whether Airflow starts another try after an error: one is left, and no retry policy is against it."""
        ti: Any = context["ti"]
        tries = int(ti.max_tries or 0)
        policy = getattr(self, "retry_policy", None)
        if policy is not None:
            # As Airflow does, which goes on without a policy that fails.
            with contextlib.suppress(Exception):
                if policy.evaluate(error, ti.try_number, tries, context).action is RetryAction.FAIL:
                    return False
        return int(ti.try_number) <= tries

    def link_to(self, workspaces: Sequence[Mapping[str, Any]]) -> None:
        """Let the task's link lead to the only workspace, or to the portal."""
        url = (workspaces[0].get("url") if len(workspaces) == 1 else None) or ""
        self.portal_url = url if url.startswith("https://") else PORTAL


class SrcSelectingOperator(SrcOperator):
    """Base of the operators that work on existing workspaces.

    :param workspace: an id, an exact name, a list of both, or a filter: a dict with any of ``collaboration``,
        ``wallet`` (name or id), ``mine`` (bool), ``status`` (one or a list), ``kind`` (default ``Compute``), ``name``
        (pattern or list of patterns such as ``train-*``), ``except`` (ids, names or patterns) and ``ends_within``
        (seconds or ``timedelta``). Text in the form of a UUID is an id. A filter may fit nothing. A list or filter may
        come as text, from a template.
    :param workspace_id: instead of ``workspace``: an id or a list of ids, nothing else.
    """

    template_fields: Sequence[str] = (*SrcOperator.template_fields, "workspace", "workspace_id")
    #: Kind of workspace that a name stands for; ``None``: any.
    name_kind: ClassVar[str | None] = "Compute"
    gone_is_deleted: ClassVar[bool] = False

    def __init__(self, *, workspace: Any = None, workspace_id: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.workspace_id = workspace_id
        self.check_early()

    def check(self) -> None:
        """Refuse what cannot select workspaces."""
        check_choice(self.workspace, self.workspace_id)

    @property
    def is_single(self) -> bool:
        """Tell whether one workspace was asked for, not a list or a filter."""
        return isinstance(chosen(self.workspace, self.workspace_id), str)

    def select(self) -> JsonList:
        """Return the selected workspaces."""
        found = select(
            self.client,
            chosen(self.workspace, self.workspace_id),
            parameter="workspace_id" if self.workspace is None else "workspace",
            application_type=self.name_kind,
            gone_is_deleted=self.gone_is_deleted,
        )
        if not self.is_single:
            names = ", ".join(str(one.get("name") or one["id"]) for one in found[:10])
            more = f" and {len(found) - 10} more" if len(found) > 10 else ""
            self.log.info("%d workspace(s) selected: %s%s", len(found), names or "none", more)
        return found

    def select_once(self, ledger: Ledger) -> JsonList:
        """Return the selected workspaces: those of the first try, as what it did may keep them from being found again.

        A filter by status is not met any more by what has been resumed, nor a name by what has been deleted. A
        selection that was changed in the meantime is made anew.
        """
        wanted = chosen(self.workspace, self.workspace_id)
        if not isinstance(wanted, Mapping) and not self.gone_is_deleted:
            return self.select()
        fresh: JsonList | None = None

        def make() -> list[str]:
            nonlocal fresh
            fresh = self.select()
            return [str(one["id"]) for one in fresh]

        ids = ledger.plan(f"selected.{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}", make)
        if fresh is not None:
            return fresh
        found = self.client.workspaces.look(ids)
        if self.gone_is_deleted:
            return [found.get(id_) or {"id": id_, "status": "deleted"} for id_ in ids]
        # A filter may fit nothing: what somebody has deleted since would fail every try.
        left = [found[id_] for id_ in ids if id_ in found and raw_status(found[id_]) not in ("deleting", "deleted")]
        if len(left) < len(ids):
            self.log.info("%d of the %d workspaces selected at first are gone.", len(ids) - len(left), len(ids))
        return left

    def report(
        self, results: Mapping[str, Json], failed: Mapping[str, str], changed: Sequence[str], api_calls: int
    ) -> Json:
        """Return the XCom value."""
        if self.is_single:
            return {**next(iter(results.values())), "changed": bool(changed), "api_calls": api_calls}
        summaries = [one for one in results.values() if one.get("name")]
        return {
            "count": len(results),
            "ids": list(results)[:MAX_IDS],
            "changed": list(changed)[:MAX_IDS],
            "failed": dict(list(failed.items())[:MAX_IDS]),
            "workspaces": summaries[:MAX_SUMMARIES],
            "api_calls": api_calls,
        }
