"""Change what a workspace is called, how long it lives, what may reach it, what is attached to it, and who pays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.src import firewall, validate
from airflow_src_provider.client.src.base import mapping, objects
from airflow_src_provider.client.src.resolve import pick
from airflow_src_provider.client.src.states import parse_time
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.actions import SrcActionOperator
from airflow_src_provider.remote import seconds

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json, JsonList


def _one_of(**options: Any) -> str:
    """Return the name of the only option that is given.

    :raises InvalidInputError: none or several are.
    """
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise InvalidInputError(", ".join(options), options, "exactly one of them")
    return given[0]


class SrcUpdateWorkspaceOperator(SrcActionOperator):
    """Change the name or the end time of workspaces.

    XCom: as for :class:`~airflow_src_provider.operators.src.lifecycle.SrcResumeWorkspaceOperator`.

    Wiki page: "SRC API".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`; for all that
        expire within a week: ``{"mine": True, "ends_within": timedelta(days=7)}``.
    :param name: new name, for a single workspace.
    :param end_time: new end time with time zone, a datetime or ISO 8601 text. Only Compute has one. One that has passed
        is refused when the task runs.
    :param extend_by: instead of ``end_time``: seconds or ``timedelta`` after the present end time, or after now if
        that has passed. Once per task run, also when the task is retried.
    """

    action: ClassVar[str] = "update"
    instant: ClassVar[bool] = True
    template_fields: Sequence[str] = (*SrcActionOperator.template_fields, "name", "end_time", "extend_by")

    def __init__(
        self,
        *,
        name: str | None = None,
        end_time: datetime | str | None = None,
        extend_by: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = name
        self.end_time = end_time
        self.extend_by = extend_by
        self._ends: dict[str, str] = {}
        super().__init__(**kwargs)

    def check(self) -> None:
        """Refuse bad input."""
        super().check()
        if self.extend_by is not None:
            seconds("extend_by", self.extend_by)
        if self.name is None and self.end_time is None and self.extend_by is None:
            raise InvalidInputError("name, end_time, extend_by", None, "at least one of them")
        if self.end_time is not None and self.extend_by is not None:
            raise InvalidInputError("end_time, extend_by", (self.end_time, self.extend_by), "one of them")
        if self.name is not None:
            validate.text(self.name, "name")
            if not self.is_single:
                raise InvalidInputError("name", self.name, "a name for a single workspace, not for a list or a filter")
        if self.end_time is not None:
            end = parse_time(validate.moment(self.end_time, "end_time"))
            # While a DAG is parsed this would take all its tasks away, those that pause a machine included.
            if self.rendered and end is not None and end.timestamp() <= time.time():
                raise InvalidInputError("end_time", self.end_time, "a moment that is not over yet")

    def submit(self, context: Context) -> dict[str, Any]:
        """Find out what each workspace needs."""
        self._ledger = Ledger(context, self.durable)
        return super().submit(context)

    def select(self) -> JsonList:
        """Return the selected workspaces. Once a new name was sent, the old one finds nothing."""
        known = self._ledger.get("workspace") if self.name is not None else None
        if known is not None:
            return [self.client.workspaces.get(known)]
        chosen = super().select()
        if self.name is not None:
            self._ledger.put("workspace", chosen[0]["id"])
        return chosen

    def reached(self, workspace: Json) -> bool:
        """Tell whether name and end time are as wanted."""
        end = self._end_of(workspace)
        named = self.name is None or workspace.get("name") == self.name
        return named and (end is None or parse_time(workspace.get("end_time")) == parse_time(end))

    def send(self, workspace_id: str) -> Json | None:
        """Send the change."""
        # Its end was decided when it was read.
        end = self._end_of({"id": workspace_id})
        answer: Json = self.client.workspaces.update(workspace_id, name=self.name, end_time=end)
        return answer

    def _end_of(self, workspace: Json) -> str | None:
        if self.extend_by is None:
            return None if self.end_time is None else validate.moment(self.end_time, "end_time")
        id_ = str(workspace["id"])
        if id_ not in self._ends:
            # Decided once: a retry would extend what the first try has extended already.
            self._ends[id_] = self._ledger.get(f"end_time.{id_}") or self._extended(workspace)
            self._ledger.put(f"end_time.{id_}", self._ends[id_])
        return self._ends[id_]

    def _extended(self, workspace: Json) -> str:
        assert self.extend_by is not None
        end = parse_time(workspace.get("end_time"))
        if end is None:
            raise InvalidInputError("extend_by", self.extend_by, "a workspace with an end time; this one has none")
        begin = max(end.timestamp(), time.time())
        return validate.moment(datetime.fromtimestamp(begin + seconds("extend_by", self.extend_by), UTC), "extend_by")


class SrcUpdateFirewallOperator(SrcActionOperator):
    """Open or close ports of workspaces. Rules that are not named are kept, immutable ones in any case.

    A rule is text: direction (``in``, ``out``), protocol (``tcp``, ``udp``), first port, last port and addresses, such
    as ``in tcp 8080 8080 0.0.0.0/0``. XCom: as for
    :class:`~airflow_src_provider.operators.src.lifecycle.SrcResumeWorkspaceOperator`.

    Wiki page: "Security features".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    :param add: rules to add to those that are there.
    :param remove: rules to take away; with ``add`` or alone. Those that are not there need no removal.
    :param replace: instead of both: the mutable rules there shall be; an empty list closes all that may be closed.
    """

    action: ClassVar[str] = "update_nsgs"
    template_fields: Sequence[str] = (*SrcActionOperator.template_fields, "add", "remove", "replace")

    def __init__(
        self,
        *,
        add: Sequence[str] | str | None = None,
        remove: Sequence[str] | str | None = None,
        replace: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        self.add = add
        self.remove = remove
        self.replace = replace
        super().__init__(**kwargs)

    def check(self) -> None:
        """Refuse bad input."""
        super().check()
        _one_of(**{"add, remove": self.add or self.remove, "replace": self.replace})
        for rules in (self.add, self.remove, self.replace):
            if rules:
                firewall.replace([], rules)

    def reached(self, workspace: Json) -> bool:
        """Tell whether the rules are as wanted."""
        there = workspace.get("network_security_group_rules")
        return sorted(self._wanted(workspace)) == sorted(firewall.add(there, []))

    def send(self, workspace_id: str) -> Json | None:
        """Send all the rules, because the service replaces what is there."""
        answer: Json = self.client.workspaces.update_nsgs(workspace_id, self._wanted(self.current(workspace_id)))
        return answer

    def _wanted(self, workspace: Json) -> list[str]:
        there = workspace.get("network_security_group_rules")
        if self.replace is not None:
            return firewall.replace(there, self.replace)
        kept = firewall.remove(there, self.remove) if self.remove else there
        return firewall.add(kept, self.add or [])


class SrcUpdateStoragesOperator(SrcActionOperator):
    """Attach storage volumes to workspaces, or detach them. Other volumes stay attached.

    XCom: as for :class:`~airflow_src_provider.operators.src.lifecycle.SrcResumeWorkspaceOperator`.

    Wiki page: "Workspace actions".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    :param attach: ids or names of volumes to attach.
    :param detach: ids or names of volumes to detach; with ``attach`` or alone.
    :param replace: instead of both: the volumes that shall be attached; an empty list detaches all.
    """

    action: ClassVar[str] = "update_storages"
    template_fields: Sequence[str] = (*SrcActionOperator.template_fields, "attach", "detach", "replace")

    def __init__(
        self,
        *,
        attach: Sequence[str] | str | None = None,
        detach: Sequence[str] | str | None = None,
        replace: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        self.attach = attach
        self.detach = detach
        self.replace = replace
        super().__init__(**kwargs)

    def check(self) -> None:
        """Refuse bad input."""
        super().check()
        _one_of(**{"attach, detach": self.attach or self.detach, "replace": self.replace})
        for parameter in ("attach", "detach", "replace"):
            if value := getattr(self, parameter):
                validate.texts(value, parameter)

    def prepare(self) -> dict[str, Any]:
        """Turn names into ids; no call when all are ids."""
        asked = {name: validate.texts(getattr(self, name) or [], name) for name in ("attach", "detach", "replace")}
        if all(validate.is_uuid(one) for names in asked.values() for one in names):
            return {parameter: [one.lower() for one in names] for parameter, names in asked.items()}
        there = self.client.workspaces.list(application_type="Storage")
        return {
            parameter: [str(pick(there, one, parameter, name_of=lambda w: w.get("name"))["id"]) for one in names]
            for parameter, names in asked.items()
        }

    def reached(self, workspace: Json) -> bool:
        """Tell whether the wanted volumes are attached, and no others."""
        return set(self._wanted(workspace)) == set(self._attached(workspace))

    def send(self, workspace_id: str) -> Json | None:
        """Send the whole set, because the service replaces what is attached."""
        answer: Json = self.client.workspaces.update_storages(workspace_id, self._wanted(self.current(workspace_id)))
        return answer

    def _attached(self, workspace: Json) -> list[str]:
        meta = mapping(workspace.get("meta"))
        if not isinstance(meta.get("storages"), list):
            raise InvalidInputError("workspace", workspace.get("id"), "one whose volumes the service tells")
        return [str(one["id"]) for one in objects(meta["storages"]) if one.get("id")]

    def _wanted(self, workspace: Json) -> list[str]:
        if self.replace is not None:
            return list(self.given["replace"])
        kept = [one for one in self._attached(workspace) if one not in self.given["detach"]]
        return list(dict.fromkeys([*kept, *self.given["attach"]]))


class SrcChangeWalletOperator(SrcActionOperator):
    """Let another wallet pay for workspaces.

    XCom: as for :class:`~airflow_src_provider.operators.src.lifecycle.SrcResumeWorkspaceOperator`.

    Wiki page: "Wallets".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    :param wallet: name or id of the wallet.
    """

    action: ClassVar[str] = "change_wallet"
    instant: ClassVar[bool] = True
    name_kind: ClassVar[str | None] = None
    template_fields: Sequence[str] = (*SrcActionOperator.template_fields, "wallet")

    def __init__(self, *, wallet: str, **kwargs: Any) -> None:
        self.wallet = wallet
        super().__init__(**kwargs)

    def check(self) -> None:
        """Refuse bad input."""
        super().check()
        validate.text(self.wallet, "wallet")

    def prepare(self) -> dict[str, Any]:
        """Find the wallet."""
        wallet = pick(self.client.wallets.list(), self.wallet, "wallet", name_of=lambda one: one.get("name"))
        return {"id": wallet["id"], "name": wallet.get("name")}

    def reached(self, workspace: Json) -> bool:
        """Tell whether the wallet pays already."""
        return bool(workspace.get("wallet_id") == self.given["id"])

    def send(self, workspace_id: str) -> Json | None:
        """Send the change."""
        answer: Json = self.client.workspaces.change_wallet(workspace_id, self.given["id"], self.given["name"])
        return answer
