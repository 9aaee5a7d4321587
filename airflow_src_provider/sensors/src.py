"""Sensors for SURF Research Cloud."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.capacity import CapacityWait, key_of, place_of
from airflow_src_provider.client.src.resolve import DEFAULT_CLOUD, locate, pick_flavour
from airflow_src_provider.client.src.selection import check_choice, chosen, select
from airflow_src_provider.client.src.states import Status
from airflow_src_provider.client.src.waits import MAX_IDS, MAX_SUMMARIES, WorkspaceWait
from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError
from airflow_src_provider.links.src import PORTAL, SrcWorkspaceLink
from airflow_src_provider.remote import failures_text, is_template
from airflow_src_provider.sensors.base import RemoteSensor

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

STATES = tuple(str(status) for status in Status if status is not Status.UNKNOWN_TO_CLIENT)


class SrcSensor(RemoteSensor):
    """Base of the sensors for SURF Research Cloud.

    :param src_conn_id: connection of type ``surf_research_cloud``; default ``src_default``.

    Further parameters are those of :class:`~airflow_src_provider.sensors.base.RemoteSensor`.
    """

    hook_path: ClassVar[str] = "airflow_src_provider.hooks.src.SrcHook"
    conn_id_field: ClassVar[str] = "src_conn_id"
    template_fields: Sequence[str] = ("src_conn_id",)
    ui_color = "#e8f3e4"

    def __init__(self, *, src_conn_id: str = "src_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.src_conn_id = src_conn_id


class SrcWorkspaceSensor(SrcSensor):
    """Wait until workspaces, which somebody else acts on, are in one of some states.

    Fails early on a state that cannot lead there, such as ``deleted``, and when a resume that ended since the start of
    the DAG run has failed and left the workspace paused. A state that is merely old, because reads lag behind for up to
    a minute, does no harm.

    XCom: for one workspace ``id, name, status, ip, fqdn, user, url, end_time, api_calls``; for several ``count, ids,
    workspaces`` (the same fields, for the first 200) and ``api_calls``.

    Wiki page: "Resource Statuses".

    :param workspace: an id, an exact name, a list of both, or a filter (a dict), which is applied once, at the start;
        see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`. Names are looked for among machines
        (``Compute``), as operators do, and only if one is not there, all of them among workspaces of any kind.
    :param workspace_id: instead of ``workspace``: an id or a list of ids, nothing else.
    :param states: one or several statuses, default ``running``.

    :raises AirflowFailException: a workspace cannot reach any of the states.
    :raises AirflowSensorTimeout: not within ``timeout`` seconds.
    :raises InvalidInputError: unusable parameters, or no or several workspaces of that name.
    """

    trigger_path: ClassVar[str] = "airflow_src_provider.triggers.src.SrcWorkspaceTrigger"
    template_fields: Sequence[str] = (*SrcSensor.template_fields, "workspace", "workspace_id", "states")
    operator_extra_links = (SrcWorkspaceLink(),)

    portal_url = ""

    def __init__(
        self, *, workspace: Any = None, workspace_id: Any = None, states: str | Sequence[str] = "running", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.workspace_id = workspace_id
        self.states = states
        self._since = 0.0
        if not any(is_template(value) for value in (workspace, workspace_id, states)):
            self.check()

    def check(self) -> None:
        """Refuse bad input."""
        check_choice(self.workspace, self.workspace_id)
        states = validate.texts(self.states, "states")
        for state in states:
            if state not in STATES:
                raise InvalidInputError("states", state, f"one or several of {', '.join(STATES)}")
        if not states:
            raise InvalidInputError("states", self.states, f"one or several of {', '.join(STATES)}")

    def execute(self, context: Context) -> Any:
        """Wait."""
        started = getattr(context.get("dag_run"), "start_date", None)
        self._since = started.timestamp() if started else time.time()
        return super().execute(context)

    def find(self) -> list[str]:
        """Return the ids of the workspaces."""
        wanted = chosen(self.workspace, self.workspace_id)
        if isinstance(wanted, Mapping):
            found = select(self.client, wanted)
            if not found:
                raise InvalidInputError("workspace", wanted, "a filter that fits at least one workspace")
            return [one["id"] for one in found]
        asked = [wanted] if isinstance(wanted, str) else list(wanted)
        if all(validate.is_uuid(one) for one in asked):
            return [one.lower() for one in asked]
        try:
            found = select(self.client, asked, gone_is_deleted=True)
        except InvalidInputError:
            found = select(self.client, asked, application_type=None, gone_is_deleted=True)
        return [one["id"] for one in found]

    def waits_for(self, ids: list[str]) -> Wait:
        """Return the wait for them."""
        return WorkspaceWait(ids, states=validate.texts(self.states, "states"), since=self._since)

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the XCom value."""
        failed = event["failed"]
        if failed:
            raise RemoteWorkError(f"{len(failed)} workspaces cannot get there:\n{failures_text(failed)}", failed)
        results = event["results"]
        wanted = chosen(self.workspace, self.workspace_id)
        if isinstance(wanted, str):
            only = next(iter(results.values()))
            url = only.get("url") or ""
            self.portal_url = url if url.startswith("https://") else PORTAL
            return {**only, "api_calls": self.api_calls}
        return {
            "count": len(results),
            "ids": list(results)[:MAX_IDS],
            "workspaces": list(results.values())[:MAX_SUMMARIES],
            "api_calls": self.api_calls,
        }


class SrcCapacitySensor(SrcSensor):
    """Wait until there is room for a machine of some size, such as a free GPU.

    Say which size by an existing workspace that has it, or by names of the catalog. Somebody else may take the room in
    the next moment; and that a resume needs the same room as a new machine is likely, but documented nowhere.

    XCom: ``size, available`` (``None`` when nothing is said about room), ``api_calls``.

    :param workspace: id or exact name of a workspace of this size. It costs up to one call for each catalog item.
    :param collaboration: instead of ``workspace``: name or id of the collaboration, together with all that follow.
    :param wallet: name or id of the wallet.
    :param catalog_item: name or id of the catalog item.
    :param size: name or id of the size; default the only one there is.
    :param cloud: name of the cloud, or id of the offering; default ``SURF HPC Cloud``.

    :raises AirflowFailException: the size is not offered any more, or disabled.
    :raises AirflowSensorTimeout: no room within ``timeout`` seconds.
    :raises InvalidInputError: unusable parameters, or names that fit nothing or several.
    """

    trigger_path: ClassVar[str] = "airflow_src_provider.triggers.src.SrcCapacityTrigger"
    template_fields: Sequence[str] = (
        *SrcSensor.template_fields, "workspace", "collaboration", "wallet", "catalog_item", "size", "cloud",
    )  # fmt: skip

    def __init__(
        self,
        *,
        workspace: str | None = None,
        collaboration: str | None = None,
        wallet: str | None = None,
        catalog_item: str | None = None,
        size: str | None = None,
        cloud: str = DEFAULT_CLOUD,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.collaboration = collaboration
        self.wallet = wallet
        self.catalog_item = catalog_item
        self.size = size
        self.cloud = cloud
        if not any(is_template(getattr(self, field)) for field in self.template_fields):
            self.check()

    def check(self) -> None:
        """Refuse bad input."""
        by_name = {"collaboration": self.collaboration, "wallet": self.wallet, "catalog_item": self.catalog_item}
        validate.text(self.cloud, "cloud")
        if self.workspace is None:
            for parameter, value in (by_name | ({} if self.size is None else {"size": self.size})).items():
                validate.text(value, parameter)
            return
        validate.text(self.workspace, "workspace")
        cloud = None if self.cloud == DEFAULT_CLOUD else self.cloud
        for parameter, value in (by_name | {"size": self.size, "cloud": cloud}).items():
            if value is not None:
                raise InvalidInputError(parameter, value, "left out: workspace says it")

    def find(self) -> list[str]:
        """Return the key of the size."""
        if self.workspace is not None:
            place, size = place_of(self.client, select(self.client, self.workspace)[0])
        else:
            place = locate(
                self.client,
                collaboration=self.collaboration or "",
                wallet=self.wallet or "",
                catalog_item=self.catalog_item or "",
                cloud=self.cloud,
            )
            size = pick_flavour(place.offering, "size", self.size, "size")
        return [key_of(place, size)]

    def waits_for(self, ids: list[str]) -> Wait:
        """Return the wait for room."""
        return CapacityWait(ids)

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the XCom value."""
        for reason in event["failed"].values():
            raise RemoteWorkError(reason)
        return {**next(iter(event["results"].values())), "api_calls": self.api_calls}
