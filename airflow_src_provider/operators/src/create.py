"""Create a workspace from names, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_src_provider.checks import text_or_none
from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.bodies import RESOURCE_TYPES, body_from_workspace, interactive_parameters
from airflow_src_provider.client.src.capacity import CapacityWait, key_of, place_of
from airflow_src_provider.client.src.resolve import DEFAULT_CLOUD, Resolution, pick, resolve_create
from airflow_src_provider.client.src.selection import select
from airflow_src_provider.client.src.states import KINDS, StatusClass, class_of, parse_time, raw_status, status_of
from airflow_src_provider.client.src.waits import WorkspaceWait, summary
from airflow_src_provider.client.waiting import NOT_NOW
from airflow_src_provider.exceptions import ApiError, InvalidInputError, RemoteWorkError
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.base import SrcOperator
from airflow_src_provider.operators.src.creation import Creation, created_at, namesakes
from airflow_src_provider.remote import seconds

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json
    from airflow_src_provider.client.waiting import Wait

T = TypeVar("T")

CAPACITY_TRIGGER = "airflow_src_provider.triggers.src.SrcCapacityTrigger"
_WHEN_FULL = ("refuse", "wait", "try")
_IF_EXISTS = ("create", "use", "fail")

#: Those that are known for certain.
_RESOURCE_TYPES = {kind: RESOURCE_TYPES[kind] for kind in ("Compute", "Network")}


class SrcCreateWorkspaceOperator(SrcOperator):
    """Create a Compute, Storage, IP or Network workspace from names, and wait until it can be used.

    Everything is a name or an id; a name that fits nothing, or several, is refused with the choices. What the names
    stood for is logged in a form that can be pasted back. It is created once per task run, whatever dies: an answer
    that was lost, and a try before this one, are looked for in the collaboration before anything is sent again. For
    that its description ends with a mark, such as ``[airflow 0f1e2d3c4b5a6978-12345678]``. A creation that fails is
    explained by the end of its provisioning log, which goes to the task's log.

    With ``cancel_on_kill`` (default) the new workspace is deleted when the task is killed, when its time is over, or
    when it fails and has no retry left, as soon as the service allows that.

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
        One that has passed is refused when the task runs.
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
    :param if_exists: what to do when the collaboration has a workspace of this name and kind: ``create`` another one
        (default, costs no look), ``use`` it, or ``fail``. One that is used is taken as it is: what is under way there
        is waited for, and a paused machine is not resumed.
    :param timeout: longest wait, for room and for the creation together; default two hours.

    :raises RemoteWorkError: the creation failed, or there is no room.
    :raises InvalidInputError: unusable parameters, or names that fit nothing or several.
    """

    #: A creation whose answer is awaited, and the client to look for it when the task is killed.
    _unanswered: tuple[Creation, Any] | None = None

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
        end = self._expiry()
        if (end is None) == (self.application_type == "Compute"):
            raise InvalidInputError("end_time, lifetime", end, "one of them for Compute, none for the other kinds")
        # While a DAG is parsed this would take all its tasks away, those that pause a machine included.
        moment = parse_time(end) if self.rendered else None
        if moment is not None and moment.timestamp() <= time.time():
            raise InvalidInputError("end_time", self.end_time, "a moment that is not over yet")
        if self.host_name is None:
            validate.host_name_from(self.name)
        else:
            validate.host_name(self.host_name)
        interactive_parameters(self.parameters)

    def submit(self, context: Context) -> dict[str, Any]:
        """Find what an earlier try has created, or create."""
        creation = self._creation_of(context)
        if record := Ledger(context, self.durable).get("create"):
            # Whether it is still there is not known yet, and the look for it may take a while, or fail.
            self._end_if_killed(record)
        try:
            made = self._until_known(creation, creation.made_before)
        except ApiError as error:
            if record and not isinstance(error, NOT_NOW) and not self._goes_on(context, error):
                self._end(self._end_of(record))
            raise
        if made is not None:
            return self._adopt(creation, made)
        self._waiting_for = None
        return self._create(creation)

    def go_on(self, context: Context, carry: dict[str, Any]) -> Any:
        """Wait for room, create, and wait for the workspace."""
        while carry["stage"] == "capacity":
            event = self.wait_for(
                CapacityWait([carry["key"]]), trigger=CAPACITY_TRIGGER, deadline=carry["deadline"], carry=carry
            )
            carry = self._got_room(context, carry, event)
        try:
            return super().go_on(context, carry)
        except ApiError as error:
            if not isinstance(error, NOT_NOW):
                self._end_if_last(context, carry, error)
            raise

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after the wait for room, or for the workspace."""
        if carry["stage"] == "capacity":
            return self.go_on(context, self._got_room(context, carry, event))
        try:
            return super().execute_complete(context, event, carry)
        except RemoteWorkError as error:
            self._end_if_last(context, carry, error)
            raise

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return what to wait for."""
        if carry["stage"] == "capacity":
            return None
        if carry["stage"] == "settle":
            return WorkspaceWait([carry["id"]], action="settle")
        undo = {"undo": "delete"} if carry["created"] else {}
        sent = {carry["id"]: carry["sent"]}
        return WorkspaceWait([carry["id"]], action="create", sent=sent, kind=carry["kind"], **undo)

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report, or raise."""
        if event and event["failed"]:
            raise RemoteWorkError(next(iter(event["failed"].values())), event["failed"])
        result = next(iter(event["results"].values())) if event else carry["shown"]
        if event and class_of(status_of(result)) is not StatusClass.STABLE:
            raise RemoteWorkError(f"{self.name} ({carry['id']}) cannot be used: it is {result['status']}")
        self.link_to([result])
        return {**result, "created": carry["created"], "api_calls": self.api_calls(carry)}

    # Before the request.

    def _expiry(self) -> str | None:
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
            end_time=self._expiry(),
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
            end_time=self._expiry(),
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

    def _creation_of(self, context: Context) -> Creation:
        return Creation(self.client, Ledger(context, self.durable), self.name)

    def _adopt(self, creation: Creation, made: Json) -> dict[str, Any]:
        self._end_if_killed(made)
        self.log.info("%s (%s): an earlier try has created it.", made.get("name"), made["id"])
        return self._carry(made, creation.sent)

    def _create(self, creation: Creation) -> dict[str, Any]:
        body, key, full = self._resolve()
        made = creation.forgotten(body["co_id"])
        if made is not None:
            return self._adopt(creation, made)
        if self.if_exists != "create":
            there = namesakes(self.client, self.name, body["co_id"], body["meta"]["application_type"])
            if there:
                return self._existing(there[-1])
        if full and self.when_full == "refuse":
            raise RemoteWorkError(f"{self.name} is not created: there is no room for this size at the moment")
        if full and self.when_full == "wait":
            self.log.info("There is no room for this size at the moment; waiting for it.")
            return {"stage": "capacity", "key": key}
        return self._send(creation, body)

    def _got_room(self, context: Context, carry: dict[str, Any], event: Any) -> dict[str, Any]:
        outcome = self.outcome(event, carry)
        if outcome["failed"]:
            raise RemoteWorkError(f"{self.name} is not created: {next(iter(outcome['failed'].values()))}")
        # Looked up again: while it was waited for, the room may have been taken and the end of a lifetime has moved.
        kept = {name: carry[name] for name in ("deadline", "api_calls") if name in carry}
        return self._create(self._creation_of(context)) | kept

    def _send(self, creation: Creation, body: Json) -> dict[str, Any]:
        def send() -> Json:
            made = creation.send(body)
            self._end_if_killed(made)
            return made

        made = self._until_known(creation, send)
        creation.keep(made)
        self.log.info("%s (%s): asked for its creation.", made.get("name"), made["id"])
        self.link_to([summary(made)])
        return self._carry(made, creation.sent)

    def _until_known(self, creation: Creation, do: Callable[[], T]) -> T:
        """Do what finds out which workspace it is. A kill meanwhile looks for it by its mark."""
        if self.cancel_on_kill:
            self._unanswered = creation, type(self.client)(self.client.session.urgent())
        try:
            return do()
        finally:
            self._unanswered = None

    def _existing(self, there: Json) -> dict[str, Any]:
        shown = raw_status(there)
        usable = class_of(status_of(there)) in (StatusClass.STABLE, StatusClass.TRANSITIONAL)
        if self.if_exists == "fail" or not usable:
            raise RemoteWorkError(f"{self.name} is not created: there is one already ({there['id']}), it is {shown}")
        self.log.info("%s (%s) is there already, it is %s and is used.", self.name, there["id"], shown)
        stage = "create" if shown == "creating" else "settle"
        return self._carry(there, time.time()) | {"stage": stage, "created": False}

    def _carry(self, workspace: Json, sent: float) -> dict[str, Any]:
        return {
            "stage": "create",
            "id": workspace["id"],
            # The later of both, because either clock may be behind.
            "sent": max(created_at(workspace), sent),
            "kind": self.application_type if self.from_workspace is None else None,
            "created": True,
            "shown": summary(workspace),
        }

    # The end.

    def _end_if_killed(self, made: Json) -> None:
        self.end_if_killed(self._end_of(made), self.trigger_path)

    def _end_of(self, made: Json) -> WorkspaceWait:
        return WorkspaceWait([made["id"]], action="create", undo="delete")

    def _goes_on(self, context: Context, error: Exception) -> bool:
        return self.durable and self.is_tried_again(context, error)

    def _end_if_last(self, context: Context, carry: dict[str, Any], error: Exception) -> None:
        """Delete what was created, unless a retry will go on with it."""
        wait = self.waits_for(carry)
        if wait is not None and carry["created"] and not self._goes_on(context, error):
            self._end(wait)

    def on_kill(self) -> None:
        """Delete the new workspace, also when the service has not said yet which one it is."""
        if self._unanswered is not None:
            creation, client = self._unanswered
            try:
                found = creation.find(client)
            except Exception as error:
                # Nothing may come up in a signal handler.
                found = None
                self.log.warning("%s", error)
            if found is not None:
                self._waiting_for, self._urgent_client = self._end_of(found), client
            elif self._waiting_for is None:
                self.log.warning("Whether %s is being created is not known, look at it in the portal.", self.name)
        super().on_kill()
