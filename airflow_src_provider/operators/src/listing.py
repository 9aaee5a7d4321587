"""Report workspaces: what they are, what they cost, since when they are what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.src.base import mapping
from airflow_src_provider.client.src.catalog import flavours_of
from airflow_src_provider.client.src.prices import credits_per_day
from airflow_src_provider.client.src.states import kind_of, newest_action, raw_status
from airflow_src_provider.client.src.waits import MAX_IDS, summary
from airflow_src_provider.operators.src.base import SrcSelectingOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json

MAX_LISTED = 1000
#: Entries of the history that begin a time of running or of rest.
_TURNS = ("create", "resume", "pause", "reboot")


class SrcListWorkspacesOperator(SrcSelectingOperator):
    """List workspaces with their size, their price and the time since when they run or rest. Changes nothing.

    Prices come from a tag of the size; one that is not tagged is looked up in the catalog, and is ``None`` if that does
    not say it either. One call per 100 workspaces, and those of the catalog.

    XCom: ``count``, ``running`` (how many), ``credits_per_day`` (of those that run, unknown prices left out), ``ids``,
    ``workspaces`` (the first 1000) and ``api_calls``. A workspace has ``id, name, status, ip, fqdn, user, url,
    end_time, kind, collaboration, wallet, owner_id, size, credits_per_day`` (while it runs) and ``since`` (when the
    newest create, resume, pause or reboot began).

    Wiki pages: "SRC API", "Resource Statuses".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`. A filter may
        fit nothing.
    """

    name_kind: ClassVar[str | None] = None

    def work(self, context: Context) -> Any:
        """Look."""
        self.check()
        chosen = self.select()
        prices = credits_per_day(self.client, chosen)
        listed = [_described(one, prices.get(str(one["id"]))) for one in chosen]
        self.link_to(listed)
        running = [one for one in listed if one["status"] == "running"]
        return {
            "count": len(listed),
            "running": len(running),
            "credits_per_day": sum(one["credits_per_day"] or 0.0 for one in running),
            "ids": [one["id"] for one in listed[:MAX_IDS]],
            "workspaces": listed[:MAX_LISTED],
            "api_calls": self.api_calls({}),
        }


def _described(workspace: Mapping[str, Any], price: float | None) -> Json:
    meta = mapping(workspace.get("meta"))
    turns = [str(one["time_created"]) for kind in _TURNS if (one := newest_action(workspace, kind))]
    return {
        **summary(workspace),
        "status": raw_status(workspace),
        "kind": kind_of(workspace),
        "collaboration": meta.get("co_name"),
        "wallet": meta.get("wallet_name"),
        "owner_id": workspace.get("owner_id"),
        "size": next((size.name for size in flavours_of(meta, "size")), None),
        "credits_per_day": price,
        "since": max(turns, default=workspace.get("time_created")),
    }
