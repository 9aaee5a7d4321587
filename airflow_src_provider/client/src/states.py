"""What the words in a workspace mean: its status, its history, what may be done with it.

All of it reads whatever the server sent and never fails; words that are not known are kept as they are.

Wiki pages: "Resource Statuses", "Workspace actions".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from airflow_src_provider.client.src.base import Json, JsonList, mapping, objects


class Status(StrEnum):
    """The known statuses; :data:`UNKNOWN_TO_CLIENT` stands for every other text."""

    CREATING = "creating"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    REBOOTING = "rebooting"
    UPDATING = "updating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    FULL = "full"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    UNHEALTHY = "unhealthy"
    UNACCOUNTED = "unaccounted"
    UNKNOWN = "unknown"
    UNKNOWN_TO_CLIENT = "unknown-to-client"


class StatusClass(StrEnum):
    """What kind of status it is."""

    TRANSITIONAL = "transitional"
    STABLE = "stable"
    FAILED = "failed"
    FINAL = "final"
    INDETERMINATE = "indeterminate"


_CLASSES = {
    StatusClass.TRANSITIONAL: {"creating", "pausing", "resuming", "rebooting", "updating", "deleting"},
    StatusClass.STABLE: {"running", "paused", "available", "in-use", "full"},
    StatusClass.FAILED: {"failed", "unhealthy", "unaccounted"},
    StatusClass.FINAL: {"deleted"},
}
#: How entries of the history end; every other word means that nobody knows yet.
WENT_WELL = ("success", "done")
WENT_WRONG = ("failed", "cancelled")
ACTIONS = ("pause", "resume", "reboot", "update_nsgs", "update_storages")
KINDS = ("Compute", "Storage", "IP", "Network")


def raw_status(workspace: Mapping[str, Any]) -> str:
    """Return the status as the server wrote it, ``""`` when there is none."""
    status = workspace.get("status")
    return status if isinstance(status, str) else ""


def status_of(workspace: Mapping[str, Any]) -> Status:
    """Return the status, :data:`Status.UNKNOWN_TO_CLIENT` for a text that is not known."""
    try:
        return Status(raw_status(workspace).strip().lower())
    except ValueError:
        return Status.UNKNOWN_TO_CLIENT


def class_of(status: Status) -> StatusClass:
    """Return the class of a status."""
    for status_class, members in _CLASSES.items():
        if status in members:
            return status_class
    return StatusClass.INDETERMINATE


def kind_of(workspace: Mapping[str, Any]) -> str | None:
    """Return ``Compute``, ``Storage``, ``IP`` or ``Network``; ``None`` while the server does not say."""
    for part in ("meta", "resource_meta"):
        kind = mapping(workspace.get(part)).get("application_type")
        if kind in KINDS:
            return str(kind)
    return None


def parse_time(value: object) -> datetime | None:
    """Return a moment that the server wrote, ``None`` when it cannot be read."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.strip())
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def actions_of(workspace: Mapping[str, Any], action: str | None = None) -> JsonList:
    """Return the history of a workspace, oldest first; entries without a readable time come before all others.

    :param action: only entries of this type, e.g. ``resume``.
    """
    entries = [
        entry for entry in objects(workspace.get("workspace_actions")) if action is None or entry.get("type") == action
    ]
    return sorted(entries, key=lambda entry: parse_time(entry.get("time_created")) or datetime.min.replace(tzinfo=UTC))


def newest_action(workspace: Mapping[str, Any], action: str | None = None) -> Json | None:
    """Return the newest entry of the history, by its time and not by its place in the list."""
    entries = actions_of(workspace, action)
    return entries[-1] if entries else None


def action_error(action: Mapping[str, Any] | None) -> str | None:
    """Return the server's own words about why an action failed.

    They are in ``result.error``; ``reason`` tells who started the action.
    """
    error = mapping((action or {}).get("result")).get("error")
    return str(error) if error else None


def possible(workspace: Mapping[str, Any], action: str) -> bool:
    """Tell whether an action is possible in this state and allowed to this user.

    It has to be in ``actions`` and in ``allowed_actions``, as far as they are there. ``delete`` and ``update`` are
    in neither, they have the flags ``deletable`` and ``editable``. Without any word from the server it is possible.

    :param action: ``pause``, ``resume``, ``reboot``, ``update_nsgs``, ``update_storages``, ``delete``, ``update``.
    """
    if action in ("delete", "update"):
        return workspace.get("deletable" if action == "delete" else "editable") is not False
    lists = [names for key in ("actions", "allowed_actions") if isinstance(names := workspace.get(key), list)]
    return all(action in names for names in lists)
