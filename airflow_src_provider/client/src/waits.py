"""What is waited for on SURF Research Cloud, and what a look at it means.

All waits for workspaces are of one kind, whatever they wait for, so that they share their calls.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_src_provider.client.src.base import Json, mapping
from airflow_src_provider.client.src.progress import CLOCK_SKEW, in_transition, judge
from airflow_src_provider.client.src.states import (
    Status,
    StatusClass,
    action_error,
    actions_of,
    class_of,
    kind_of,
    newest_action,
    parse_time,
    raw_status,
    status_of,
)
from airflow_src_provider.client.waiting import Seen, Wait, for_each
from airflow_src_provider.exceptions import ApiError, BadRequestError, NotFoundError

#: Bounds of what a task reports of many workspaces.
MAX_SUMMARIES = 200
MAX_IDS = 10_000
LOG_TAIL = 4000
#: Seconds after which an action that is not over is not waited for any more.
STUCK_AFTER = 7200.0
#: Seconds for which an action that ends a wait is tried: a machine cannot be paused while it resumes.
UNDO_PATIENCE = 180.0
UNDO_AGAIN = 10.0
#: The newest entry of a type is enough to tell old from new: all others are older still.
BASELINE = 1
_LOG = "provisioning_log"
NO_ROOM = "Timeout waiting for VM"
_DONE = {"pause": "paused", "delete": "deleted"}

_OF_KIND = {
    "Compute": {"creating", "running", "pausing", "paused", "resuming", "rebooting", "updating"},
    "Storage": {"creating", "available", "in-use", "full", "updating"},
    "IP": {"creating", "available", "in-use", "updating"},
    "Network": {"creating", "available", "in-use", "updating"},
}
_ENDED = {"failed", "unhealthy", "unaccounted", "unknown", "deleting", "deleted"}


def summary(workspace: Mapping[str, Any]) -> Json:
    """Return what tasks need of a workspace; what the server does not say (yet) is ``None``.

    ``ip``, ``fqdn`` and ``user`` are how to log in, ``url`` is the address of what runs on it.
    """
    resource = mapping(workspace.get("resource_meta"))
    meta = mapping(workspace.get("meta"))
    return {
        "id": workspace.get("id"),
        "name": workspace.get("name"),
        "status": raw_status(workspace),
        "ip": resource.get("ip") or resource.get("address"),
        "fqdn": resource.get("workspace_fqdn") or meta.get("workspace_fqdn"),
        "user": resource.get("instance_user"),
        "url": resource.get("service_url") or None,
        "end_time": workspace.get("end_time"),
    }


def baseline(workspace: Mapping[str, Any], action: str) -> list[str]:
    """Return the ids of the newest entries of one type, to be taken before an action is asked for."""
    ids = [entry["id"] for entry in actions_of(workspace, action) if isinstance(entry.get("id"), str)]
    return ids[-BASELINE:]


def open_action(workspace: Mapping[str, Any], now: float | None = None) -> Json | None:
    """Return the newest entry of the history if it is not over, whatever the status still says.

    An old one that never ended is not taken for work under way.
    """
    newest = newest_action(workspace)
    if newest is None or str(newest.get("status")).lower() not in ("initialized", "pending"):
        return None
    created = parse_time(newest.get("time_created"))
    age = (time.time() if now is None else now) - created.timestamp() if created else 0.0
    return newest if age < STUCK_AFTER else None


def newer_action(workspace: Mapping[str, Any], action: str, before: Sequence[str], sent: float) -> Json | None:
    """Return the newest entry of a type if it began after ``before`` was taken, or, without that, after ``sent``."""
    newest = newest_action(workspace, action)
    if newest is None or newest.get("id") in before:
        return None
    created = parse_time(newest.get("time_created"))
    if before or (created is not None and created.timestamp() > sent - CLOCK_SKEW):
        return newest
    return None


def judge_states(workspace: Mapping[str, Any] | None, states: Sequence[str], since: float) -> Seen:
    """Judge a workspace that somebody else brings into one of some states.

    :param workspace: as just read; ``None`` when it is not there.
    :param states: the wanted statuses; ``deleted`` is also met by a workspace that is not there.
    :param since: moment (Unix seconds); a resume that failed before is somebody's old trouble.
    """
    if workspace is None:
        if "deleted" in states:
            return Seen("done", "gone", {"id": None, "name": None, "status": "deleted"})
        return Seen("failed", "it is gone: deleted, or not visible to the owner of the token")
    shown, name = raw_status(workspace), workspace.get("name")
    if shown in states:
        return Seen("done", f"{name} is {shown}", summary(workspace))
    leads = "" if _may_lead(workspace, shown, states) else f"{name} is {shown}, which does not lead to"
    resume = newest_action(workspace, "resume")
    if not leads and resume is not None and shown == "paused" and "running" in states:
        ended = parse_time(resume.get("time_updated")) or parse_time(resume.get("time_created"))
        over = str(resume.get("status")).lower() in ("failed", "cancelled")
        if over and resume is newest_action(workspace) and ended is not None and ended.timestamp() >= since:
            error = action_error(resume) or f"it was {resume.get('status')}"
            return Seen("failed", f"{name} is paused again, its resume failed: {error}")
    if leads:
        return Seen("failed", f"{leads} {' or '.join(states)}{_cause(workspace)}")
    return Seen("waiting", f"{name} is {shown}")


def _may_lead(workspace: Mapping[str, Any], shown: str, states: Sequence[str]) -> bool:
    wanted = {state.lower() for state in states}
    if shown == "deleted":
        return False
    if shown == "deleting":
        return "deleted" in wanted
    if shown in ("failed", "unaccounted"):
        return bool(wanted & {"deleting", "deleted"})
    if shown == "unhealthy":
        return bool(wanted & _ENDED)
    kind = kind_of(workspace)
    return kind is None or bool(wanted & (_OF_KIND[kind] | _ENDED))


def _cause(workspace: Mapping[str, Any]) -> str:
    newest = newest_action(workspace) or {}
    told = action_error(newest)
    reason = newest.get("reason")
    if told:
        return f": {told}"
    return f" (started by {reason})" if isinstance(reason, str) and reason not in ("API", "UNKNOWN") else ""


class WorkspaceWait(Wait):
    """Workspaces on their way.

    :param ids: ids of the workspaces.
    :param action: the action that was asked for: ``create``, ``resume``, ``pause``, ``reboot``, ``delete``,
        ``update_nsgs``, ``update_storages``; or ``settle``: until no action is under way.
    :param sent: moment (Unix seconds) of the request, by id.
    :param before: :func:`baseline` from before the request, by id.
    :param kind: application type, while the server may not say it yet.
    :param states: instead of ``action``: statuses that somebody else brings about.
    :param since: for ``states``, see :func:`judge_states`.
    :param undo: what to do to the workspaces when nobody waits any more: ``pause``, ``delete`` or nothing.
    :param undo_ids: to which of them; default all.
    """

    kind: ClassVar[str] = "workspaces"
    names_itself: ClassVar[bool] = True

    def __init__(self, ids: Sequence[str], **options: Any) -> None:
        super().__init__(ids, **options)
        self._moved: set[str] = set()

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        """Read the workspaces, and the log of a failed creation before the platform removes it."""
        found: dict[str, Json] = client.workspaces.look(ids)
        for id_, workspace in found.items():
            if _creation_failed(workspace):
                with contextlib.suppress(ApiError):
                    found[id_] = {**workspace, _LOG: client.workspaces.logs(id_)}
        return found

    def judge(self, id_: str, found: Any) -> Seen:
        """Say what one workspace means for this wait."""
        options = self.options
        if options.get("states"):
            return judge_states(found, options["states"], options.get("since", 0.0))
        action = options["action"]
        if action == "settle":
            return _settled(found)
        if in_transition(found, action):
            self._moved.add(id_)
        verdict = judge(
            found,
            action,
            t0=options.get("sent", {}).get(id_, 0.0),
            now=time.time(),
            seen_transition=id_ in self._moved,
            baseline_action_ids=options.get("before", {}).get(id_, ()),
            application_type=options.get("kind"),
        )
        if verdict.state == "done":
            done = summary(found) if found else {"id": id_, "name": None, "status": "deleted"}
            return Seen("done", _text(found, verdict.reason), done)
        text = _text(found, verdict.reason)
        log = (found or {}).get(_LOG)
        if verdict.state == "failed" and NO_ROOM in text:
            text = f"{text}. Most likely no GPU of this size was free; a capacity sensor can wait for one"
        if verdict.state == "failed" and log:
            text = f"{text}. End of its provisioning log:\n{str(log)[-LOG_TAIL:].rstrip()}"
        return Seen(verdict.state, text)

    def cancel(self, client: Any) -> list[str]:
        """Pause or delete what this wait is about; while the service refuses that, try again for a few minutes."""
        undo = self.options.get("undo")
        if undo not in _DONE:
            return []
        told: dict[str, str] = {}
        pending = list(self.options.get("undo_ids", self.ids))
        until = time.time() + (0.0 if client.session.ending else UNDO_PATIENCE)
        while pending:
            tried = zip(pending, for_each(client.session, lambda id_: _undo(client, undo, id_), pending), strict=True)
            pending = []
            for id_, (refused, told[id_]) in tried:
                if refused:
                    pending.append(id_)
            if not pending or time.time() >= until:
                break
            time.sleep(UNDO_AGAIN)
        return list(told.values())


def _text(workspace: Mapping[str, Any] | None, reason: str) -> str:
    name = (workspace or {}).get("name")
    return f"{name}: {reason}" if name else reason


def _creation_failed(workspace: Mapping[str, Any]) -> bool:
    if status_of(workspace) is Status.FAILED:
        return True
    newest = newest_action(workspace, "create") or {}
    return status_of(workspace) is Status.DELETING and newest.get("status") == "failed"


def _settled(workspace: Mapping[str, Any] | None) -> Seen:
    if workspace is None:
        return Seen("done", "gone", {"id": None, "name": None, "status": "deleted"})
    shown = raw_status(workspace)
    busy = class_of(status_of(workspace)) is StatusClass.TRANSITIONAL or open_action(workspace) is not None
    return Seen("waiting" if busy else "done", _text(workspace, f"status is {shown}"), summary(workspace))


def _undo(client: Any, undo: str, id_: str) -> tuple[bool, str]:
    """Return whether it was refused for the moment, and what happened in words."""
    try:
        if undo == "delete":
            client.workspaces.delete(id_)
        else:
            client.workspaces.pause(id_)
    except NotFoundError:
        return False, f"Workspace {id_} is gone already."
    except BadRequestError as error:
        why = f"cannot be {_DONE[undo]} at this moment, so it may be left running: {error.message}"
        return True, f"Workspace {id_} {why}"
    except ApiError as error:
        return False, f"Whether workspace {id_} is {_DONE[undo]} is not known, look at it in the portal: {error}"
    return False, f"Asked to {undo} workspace {id_}, since nobody waits for it any more."
