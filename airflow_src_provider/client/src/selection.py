"""Which workspaces: an id, a name, a list of both, or a filter.

A name fits exactly or not at all; one that fits nothing, or several, is refused with the choices. A text that is JSON
or a Python literal of a list or filter is read as what it says, because that is what a template gives.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_src_provider.client.literals import literal
from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.base import Json, JsonList
from airflow_src_provider.client.src.resolve import pick
from airflow_src_provider.client.src.states import KINDS, kind_of, parse_time, raw_status
from airflow_src_provider.exceptions import InvalidInputError

if TYPE_CHECKING:
    from airflow_src_provider.client.src import SrcClient

FILTERS = {
    "collaboration": "name or id of a collaboration",
    "wallet": "name or id of a wallet",
    "mine": "True for my own only",
    "status": "one status, or a list",
    "kind": f"one of {', '.join(KINDS)}; default Compute",
    "name": "a name or pattern such as 'train-*', or a list",
    "except": "ids, names or patterns to leave out",
    "ends_within": "seconds or timedelta until the end time",
}
MAX_SECONDS = 100 * 366 * 86400.0
_TEXTS = ("status", "name", "except")
_ALLOWED = "an id, an exact name, a list of both, or a filter"


def check_selection(wanted: Any, parameter: str = "workspace") -> None:
    """Refuse what cannot select workspaces, before any request.

    :raises InvalidInputError: what is wrong.
    """
    wanted = literal(wanted)
    if isinstance(wanted, Mapping):
        _check_filter(wanted, parameter)
    elif isinstance(wanted, str):
        validate.text(wanted, parameter)
    elif isinstance(wanted, Sequence) and not isinstance(wanted, bytes) and wanted:
        for position, one in enumerate(wanted):
            validate.text(one, f"{parameter}[{position}]")
    else:
        raise InvalidInputError(parameter, wanted, f"{_ALLOWED}; it must not be empty")


def chosen(workspace: Any, workspace_id: Any) -> Any:
    """Return the one of the two that is given; a list or filter that was written as text as such."""
    return literal(workspace_id if workspace is None else workspace)


def check_choice(workspace: Any, workspace_id: Any) -> None:
    """Refuse what cannot select workspaces: ``workspace`` takes anything, ``workspace_id`` only ids; one of both.

    :raises InvalidInputError: what is wrong.
    """
    if (workspace is None) == (workspace_id is None):
        both = {"workspace": workspace, "workspace_id": workspace_id}
        raise InvalidInputError("workspace, workspace_id", both, "exactly one of the two")
    if workspace is not None:
        check_selection(workspace)
        return
    workspace_id = literal(workspace_id)
    if isinstance(workspace_id, Mapping):
        raise InvalidInputError("workspace_id", workspace_id, "an id or a list of ids; a filter goes to workspace")
    check_selection(workspace_id, "workspace_id")
    for one in [workspace_id] if isinstance(workspace_id, str) else workspace_id:
        validate.uuid(one, "workspace_id")


def _check_filter(wanted: Mapping[str, Any], parameter: str) -> None:
    known = "; ".join(f"{key}: {meaning}" for key, meaning in FILTERS.items())
    if not wanted or set(wanted) - set(FILTERS):
        raise InvalidInputError(parameter, dict(wanted), f"a filter with at least one of {known}")
    for key, value in wanted.items():
        where = f"{parameter}[{key!r}]"
        if key in _TEXTS:
            if key != "except" or value not in ([], ()):
                validate.texts(value, where)
        elif key == "mine":
            if not isinstance(value, bool):
                raise InvalidInputError(where, value, "True or False")
        elif key == "ends_within":
            _seconds(value, where)
        elif key == "kind":
            validate.choice(value, where, KINDS)
        else:
            validate.text(value, where)


def _seconds(value: Any, parameter: str) -> float:
    raw = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= MAX_SECONDS:
        raise InvalidInputError(parameter, value, "seconds as a number, or a timedelta, above 0, at most a century")
    return float(raw)


def select(
    client: SrcClient,
    wanted: Any,
    *,
    parameter: str = "workspace",
    application_type: str | None = "Compute",
    gone_is_deleted: bool = False,
) -> JsonList:
    """Return the selected workspaces, in the order they were asked for; those of a filter oldest first.

    Calls: one for an id or a name; pages of 100 for several names or a filter; see ``Workspaces.look`` for ids.

    :param client: the client.
    :param wanted: see :func:`check_selection`.
    :param parameter: what the user calls it.
    :param application_type: kind that a name belongs to; ``None`` for any.
    :param gone_is_deleted: take an id that is not there for a deleted workspace instead of refusing it.
    :raises InvalidInputError: something is not there, or fits several; with the choices.
    """
    check_selection(wanted, parameter)
    if isinstance(wanted, Mapping):
        return _filtered(client, wanted, parameter)
    asked = list(dict.fromkeys([wanted] if isinstance(wanted, str) else wanted))
    ids = [one.lower() for one in asked if validate.is_uuid(one)]
    names = [one for one in asked if not validate.is_uuid(one)]
    found = _named(client, names, parameter, application_type)
    if ids:
        found |= client.workspaces.look(ids)
    missing = [one for one in ids if one not in found]
    if gone_is_deleted:
        found |= {one: {"id": one, "status": "deleted"} for one in missing}
    elif missing:
        allowed = "ids of workspaces that exist and that the owner of the token may see"
        raise InvalidInputError(parameter, missing, allowed)
    chosen = [found[one.lower() if validate.is_uuid(one) else one] for one in asked]
    return list({one["id"]: one for one in chosen}.values())


def _named(client: SrcClient, names: Sequence[str], parameter: str, kind: str | None) -> dict[str, Json]:
    if not names:
        return {}
    there = client.workspaces.list(application_type=kind, name=names[0] if len(names) == 1 else None)
    if len(names) == 1 and not any(one.get("name") == names[0] for one in there):
        # Only for the message: what could have been meant.
        there = client.workspaces.list(application_type=kind)
    return {name: dict(pick(there, name, parameter, name_of=_label)) for name in names}


def _label(workspace: Mapping[str, Any]) -> object:
    return workspace.get("name")


def _filtered(client: SrcClient, wanted: Mapping[str, Any], parameter: str) -> JsonList:
    statuses = validate.texts(wanted["status"], "status") if "status" in wanted else []
    listed = client.workspaces.list(
        application_type=wanted.get("kind", "Compute"),
        by_owner=True if wanted.get("mine") else None,
        co_id=_collaboration(client, wanted, parameter),
        wallet_id=_wallet(client, wanted, parameter),
        status=statuses[0] if len(statuses) == 1 else None,
    )
    return [one for one in listed if fits(one, wanted)]


def fits(workspace: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a workspace fits what a filter says of its status, kind, name and end.

    :param wanted: the filter; collaboration, wallet and owner are not compared here, but by the service.
    """
    statuses = validate.texts(wanted["status"], "status") if "status" in wanted else []
    patterns = validate.texts(wanted["name"], "name") if "name" in wanted else ["*"]
    left_out = validate.texts(wanted.get("except", ()), "except")
    until = time.time() + _seconds(wanted["ends_within"], "ends_within") if "ends_within" in wanted else None
    return (
        (not statuses or raw_status(workspace) in statuses)
        and kind_of(workspace) in (None, wanted.get("kind", "Compute"))
        and _fits(workspace, patterns)
        and not _fits(workspace, left_out)
        and (until is None or _ends_before(workspace, until))
    )


def _fits(workspace: Mapping[str, Any], patterns: Sequence[str]) -> bool:
    name = str(workspace.get("name") or "")
    return any(pattern in (name, workspace.get("id")) or fnmatchcase(name, pattern) for pattern in patterns)


def _ends_before(workspace: Mapping[str, Any], until: float) -> bool:
    end = parse_time(workspace.get("end_time"))
    return end is not None and end.timestamp() <= until


def _collaboration(client: SrcClient, wanted: Mapping[str, Any], parameter: str) -> str | None:
    value = wanted.get("collaboration")
    if value is None or validate.is_uuid(value):
        return value
    where = f"{parameter}['collaboration']"
    found = pick(client.users.collaborations(), value, where, name_of=lambda one: one.get("co_name"))
    return str(found["id"])


def _wallet(client: SrcClient, wanted: Mapping[str, Any], parameter: str) -> str | None:
    value = wanted.get("wallet")
    if value is None or validate.is_uuid(value):
        return value
    return str(pick(client.wallets.list(), value, f"{parameter}['wallet']", name_of=_label)["id"])
