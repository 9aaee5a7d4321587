"""Create a workspace from names, once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import text_or_none
from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.bodies import RESOURCE_TYPES, body_from_workspace, interactive_parameters
from airflow_src_provider.client.src.capacity import CapacityWait, key_of, place_of
from airflow_src_provider.client.src.progress import CLOCK_SKEW, READ_LAG
from airflow_src_provider.client.src.resolve import DEFAULT_CLOUD, Resolution, pick, resolve_create
from airflow_src_provider.client.src.selection import select
from airflow_src_provider.client.src.states import KINDS, parse_time, raw_status
from airflow_src_provider.client.src.waits import WorkspaceWait, summary
from airflow_src_provider.exceptions import (
    ApiError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteWorkError,
)
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.base import SrcOperator
from airflow_src_provider.remote import seconds

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json
    from airflow_src_provider.client.waiting import Wait

CAPACITY_TRIGGER = "airflow_src_provider.triggers.src.SrcCapacityTrigger"
LOOK_AGAIN = 5.0
_GONE = ("failed", "deleting", "deleted", "unaccounted")
_WHEN_FULL = ("refuse", "wait", "try")
_IF_EXISTS = ("create", "use", "fail")

#: Those that are known for certain.
_RESOURCE_TYPES = {kind: RESOURCE_TYPES[kind] for kind in ("Compute", "Network")}


class SrcCreateWorkspaceOperator(SrcOperator):
    """Create a Compute, Storage, IP or Network workspace from names, and wait until it can be used.

    Everything is a name or an id; a name that fits nothing, or several, is refused with the choices. What the names
    stood for is logged in a form that can be pasted back. It is created once per task run, whatever dies: an answer
    that was lost, and a try before this one, are looked for by name in the collaboration before anything is sent again.
    A creation that fails is explained by the end of its provisioning log, which goes to the task's log.

    With ``cancel_on_kill`` (default) the new workspace is deleted when the task is killed or its time is over, as soon
    as the service allows that.

    XCom: ``id, name, status, ip, fqdn, user, url, end_time, created, api_calls``.

    Wiki pages: "SRC API", "Resource Statuses", "Wallets".

    :param name: name of the new workspace.
    :param collaboration: the collaboration (CO).
    :param wallet: the wallet that pays.
    :param catalog_item: what to launch.
    :param cloud: name of the cloud, or id of the offering; default ``SURF HPC Cloud``.
    :param os_flavour: operating system; default the only one there is.
    :param size: size of the machine or volume; default the only one there is.
    :param application_type: ``Compute`` (default), ``Storage``, ``IP`` or ``Network``.
    :param end_time: when it expires, with time zone, a datetime or ISO 8601 text; for Compute this or ``lifetime``.
    :param lifetime: instead of ``end_time``: seconds or ``timedelta`` from now.
    :param host_name: lower case letters, digits and hyphens; default made from ``name``.
    :param description: free text.
    :param storages: volumes to attach; they must be available. Likewise ``networks`` and ``ips``.
    :param parameters: parameters of the catalog item by key; values are text of one line.
    :param resource_type: for ``IP``, should the default not be accepted.
    :param from_workspace: instead of collaboration, catalog item, flavours and the like: an existing workspace whose
        settings are copied; ``wallet`` may still be given.
    :param when_full: what to do when there is no room for the size: ``refuse`` (default), ``wait`` for it, or ``try``.
        With ``from_workspace``, only ``wait`` looks for room.
    :param if_exists: what to do when the collaboration has a workspace of this name: ``create`` another one (default,
        costs no look), ``use`` it, or ``fail``.
    :param timeout: longest wait, for room and for the creation together; default two hours.

    :raises RemoteWorkError: the creation failed, or there is no room.
    :raises InvalidInputError: unusable parameters, or names that fit nothing or several.
    """

    template_fields: Sequence[str] = (
        *SrcOperator.template_fields, "name", "collaboration", "wallet", "catalog_item", "cloud", "os_flavour", "size",
        "end_time", "host_name", "description", "storages", "networks", "ips", "parameters", "from_workspace",
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str,
        collaboration: str | None = None,
        wallet: str | None = None,
        catalog_item: str | None = None,
        cloud: str = DEFAULT_CLOUD,
        os_flavour: str | None = None,
        size: str | None = None,
        application_type: str = "Compute",
        end_time: datetime | str | None = None,
        lifetime: float | timedelta | None = None,
        host_name: str | None = None,
        description: str | None = None,
        storages: Sequence[str] | str = (),
        networks: Sequence[str] | str = (),
        ips: Sequence[str] | str = (),
        parameters: Mapping[str, str] | None = None,
        resource_type: str | None = None,
        from_workspace: str | None = None,
        when_full: str = "refuse",
        if_exists: str = "create",
        timeout: float | timedelta = 7200.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.name = name
        self.collaboration = collaboration
        self.wallet = wallet
        self.catalog_item = catalog_item
        self.cloud = cloud
        self.os_flavour = os_flavour
        self.size = size
        self.application_type = application_type
        self.end_time = end_time
        self.lifetime = None if lifetime is None else seconds("lifetime", lifetime)
        self.host_name = host_name
        self.description = description
        self.storages = storages
        self.networks = networks
        self.ips = ips
        self.parameters = parameters
        self.resource_type = resource_type
        self.from_workspace = from_workspace
        self.when_full = when_full
        self.if_exists = if_exists
        self.check_early()

    def check(self) -> None:
        """Refuse bad input."""
        validate.text(self.name, "name")
        for parameter, value, allowed in (
            ("application_type", self.application_type, KINDS),
            ("when_full", self.when_full, _WHEN_FULL),
            ("if_exists", self.if_exists, _IF_EXISTS),
        ):
            validate.choice(value, parameter, allowed)
        validate.text(self.cloud, "cloud")
        for parameter in ("size", "os_flavour", "resource_type", "wallet"):
            if (given := getattr(self, parameter)) is not None:
                validate.text(given, parameter)
        known_type = _RESOURCE_TYPES.get(self.application_type)
        if self.resource_type is not None and known_type not in (None, self.resource_type):
            raise InvalidInputError("resource_type", self.resource_type, f"{known_type} for this kind, or left out")
        text_or_none(self.description, "description")
        for parameter in ("storages", "networks", "ips"):
            validate.texts(getattr(self, parameter), parameter)
        needed = {"collaboration": self.collaboration, "wallet": self.wallet, "catalog_item": self.catalog_item}
        if self.from_workspace is None:
            for parameter, text in needed.items():
                validate.text(text, parameter)
        else:
            validate.text(self.from_workspace, "from_workspace")
            copied = needed | {
                "size": self.size,
                "os_flavour": self.os_flavour,
                "storages": validate.texts(self.storages, "storages") or None,
            }
            for parameter in copied:
                if parameter != "wallet" and copied[parameter] is not None:
                    reason = "left out: from_workspace says it" if parameter != "storages" else "attached afterwards"
                    raise InvalidInputError(parameter, copied[parameter], reason)
        if self.end_time is not None and self.lifetime is not None:
            raise InvalidInputError("end_time, lifetime", (self.end_time, self.lifetime), "one of them")
        end = self._end()
        if (end is None) == (self.application_type == "Compute"):
            raise InvalidInputError("end_time, lifetime", end, "one of them for Compute, none for the other kinds")
        if end is not None and (moment := parse_time(end)) is not None and moment.timestamp() <= time.time():
            raise InvalidInputError("end_time", self.end_time, "a moment that is not over yet")
        if self.host_name is None:
            validate.host_name_from(self.name)
        else:
            validate.host_name(self.host_name)
        interactive_parameters(self.parameters)

    def submit(self, context: Context) -> dict[str, Any]:
        """Find what an earlier try has created, or create."""
        ledger = Ledger(context, self.durable)
        made = self._made_before(ledger)
        if made is not None:
            self.log.info("%s (%s): an earlier try has created it.", made.get("name"), made["id"])
            return self._carry(made, created=True)
        return self._create(ledger)

    def go_on(self, context: Context, carry: dict[str, Any]) -> Any:
        """Wait for room, create, and wait for the workspace."""
        while carry["stage"] == "capacity":
            event = self.wait_for(
                CapacityWait([carry["key"]]), trigger=CAPACITY_TRIGGER, deadline=carry["deadline"], carry=carry
            )
            carry = self._got_room(context, carry, event)
        return super().go_on(context, carry)

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after the wait for room, or for the workspace."""
        if carry["stage"] == "capacity":
            return self.go_on(context, self._got_room(context, carry, event))
        return super().execute_complete(context, event, carry)

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return what to wait for."""
        if carry["stage"] == "capacity":
            return None
        undo = {"undo": "delete"} if carry["created"] else {}
        sent = {carry["id"]: carry["sent"]}
        return WorkspaceWait([carry["id"]], action="create", sent=sent, kind=carry["kind"], **undo)

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report, or raise."""
        if event and event["failed"]:
            raise RemoteWorkError(next(iter(event["failed"].values())), event["failed"])
        result = next(iter(event["results"].values())) if event else carry["shown"]
        self.link_to([result])
        return {**result, "created": carry["created"], "api_calls": self.api_calls(carry)}

    # Before the request.

    def _end(self) -> str | None:
        if self.lifetime is not None:
            return validate.moment(datetime.fromtimestamp(time.time() + self.lifetime, UTC), "lifetime")
        return None if self.end_time is None else validate.moment(self.end_time, "end_time")

    def _resolve(self) -> tuple[Json, str | None, bool]:
        """Return the body, the key by which to wait for room, and whether there is none."""
        if self.from_workspace is not None:
            return self._copied()
        found = resolve_create(
            self.client,
            collaboration=self.collaboration or "",
            wallet=self.wallet or "",
            catalog_item=self.catalog_item or "",
            name=self.name,
            size=self.size,
            os_flavour=self.os_flavour,
            cloud=self.cloud,
            application_type=self.application_type,
            end_time=self._end(),
            host_name=self.host_name,
            description=self.description or "",
            storages=self.storages,
            networks=self.networks,
            ips=self.ips,
            parameters=self.parameters,
            resource_type=self.resource_type,
        )
        self._tell(found)
        key = key_of(found.place, found.size) if found.size else None
        return found.body, key, found.available is False

    def _copied(self) -> tuple[Json, str | None, bool]:
        (original,) = select(self.client, self.from_workspace, parameter="from_workspace", application_type=None)
        wallet = None
        if self.wallet is not None:
            wallet = pick(self.client.wallets.list(), self.wallet, "wallet", name_of=lambda one: one.get("name"))
        body = body_from_workspace(
            original,
            name=self.name,
            end_time=self._end(),
            host_name=self.host_name,
            description=self.description,
            wallet=wallet,
        )
        if self.parameters:
            body["meta"]["interactive_parameters"] = interactive_parameters(self.parameters)
        self.log.info("%s is created like %s (%s).", self.name, original.get("name"), original["id"])
        if self.when_full != "wait":
            return body, None, False
        place, size = place_of(self.client, original)
        key = key_of(place, size)
        seen = CapacityWait([key]).judge(key, CapacityWait.look(self.client, [key]).get(key))
        return body, key, seen.state == "waiting"

    def _tell(self, found: Resolution) -> None:
        names = {str(one.get("id")): one.get("name") for one in found.body["meta"]["flavours"]}
        lines = [
            f"    {key}={value!r}," + (f"  # {names[value]}" if isinstance(value, str) and value in names else "")
            for key, value in found.chosen.items()
        ]
        self.log.info("Resolved. To skip the look-ups another time:\n%s", "\n".join(lines))
        for warning in found.warnings:
            self.log.warning("%s: %s", self.name, warning)

    # The request.

    def _create(self, ledger: Ledger) -> dict[str, Any]:
        body, key, full = self._resolve()
        if self.if_exists != "create" and (there := self._named(body["co_id"], None)) is not None:
            return self._existing(there)
        if full and self.when_full == "refuse":
            raise RemoteWorkError(f"{self.name} is not created: there is no room for this size at the moment")
        if full and self.when_full == "wait":
            self.log.info("There is no room for this size at the moment; waiting for it.")
            return {"stage": "capacity", "key": key}
        return self._carry(self._send(ledger, body), created=True)

    def _got_room(self, context: Context, carry: dict[str, Any], event: Any) -> dict[str, Any]:
        outcome = self.outcome(event, carry)
        if outcome["failed"]:
            raise RemoteWorkError(f"{self.name} is not created: {next(iter(outcome['failed'].values()))}")
        # Looked up again: while it was waited for, the room may have been taken and the end of a lifetime has moved.
        kept = {name: carry[name] for name in ("deadline", "api_calls") if name in carry}
        return self._create(Ledger(context, self.durable)) | kept

    def _send(self, ledger: Ledger, body: Json) -> Json:
        sent = time.time()
        ledger.put("create.sent", {"sent": sent, "co": body["co_id"]})
        try:
            made: Json = self.client.workspaces.create(body)
        except OutcomeUnknownError as error:
            self.log.warning("%s. Looking for %s in the collaboration.", error, self.name)
            found = self._lost(body["co_id"], sent)
            if found is None:
                self.log.info("%s is not there, so it is sent again.", self.name)
                found = self.client.workspaces.create(body)
            made = found
        except ApiError:
            # Certainly not created. A note would make the next try look for it.
            ledger.put("create.sent", None)
            raise
        ledger.put("create", {"id": made["id"]})
        self.log.info("%s (%s): asked for its creation.", made.get("name"), made["id"])
        self.link_to([summary(made)])
        return made

    def _made_before(self, ledger: Ledger) -> Json | None:
        """Return what a try of this run has created, unless it has failed meanwhile."""
        record = ledger.get("create")
        if record is not None:
            try:
                made: Json = self.client.workspaces.get(record["id"])
            except NotFoundError:
                return None
            return None if raw_status(made) in _GONE else made
        if older := ledger.older("create"):
            self.log.warning("Before this task was cleared it created workspace %s, which is left alone.", older["id"])
        asked = ledger.get("create.sent") if ledger.may_have_acted else None
        return self._lost(asked["co"], asked["sent"]) if asked else None

    def _lost(self, co_id: str, sent: float) -> Json | None:
        """Look for a creation whose answer is not known, for as long as reads may lag behind."""
        until = time.time() + READ_LAG
        while True:
            found = self._named(co_id, sent)
            if found is not None or time.time() > until:
                return found
            time.sleep(LOOK_AGAIN)

    def _named(self, co_id: str, since: float | None) -> Json | None:
        """Return the newest workspace of this name that is not about to vanish."""
        fitting = [
            one
            for one in self.client.workspaces.list(name=self.name, co_id=co_id)
            if one.get("name") == self.name
            and raw_status(one) not in _GONE
            and (since is None or _created(one) > since - CLOCK_SKEW)
        ]
        return fitting[-1] if fitting else None

    def _existing(self, there: Json) -> dict[str, Any]:
        shown = raw_status(there)
        if self.if_exists == "fail" or shown not in ("creating", "running", "available", "in-use"):
            raise RemoteWorkError(f"{self.name} is not created: there is one already ({there['id']}), it is {shown}")
        self.log.info("%s (%s) is there already and is used.", self.name, there["id"])
        return self._carry(there, created=False)

    def _carry(self, workspace: Json, created: bool) -> dict[str, Any]:
        return {
            "stage": "create",
            "id": workspace["id"],
            "sent": _created(workspace) or time.time(),
            "kind": self.application_type if self.from_workspace is None else None,
            "created": created,
            "shown": summary(workspace),
        }


def _created(workspace: Mapping[str, Any]) -> float:
    created = parse_time(workspace.get("time_created"))
    return created.timestamp() if created else 0.0
