"""What is waited for on SURF Research Cloud, and what a look at it means.

All waits for workspaces are of one kind, whatever they wait for, so that they share their calls.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from airflow_src_provider.client.src.base import Json, mapping
from airflow_src_provider.client.src.progress import CLOCK_SKEW, READ_LAG, in_transition, judge
from airflow_src_provider.client.src.states import (
    WENT_WELL,
    WENT_WRONG,
    Status,
    StatusClass,
    action_error,
    actions_of,
    class_of,
    kind_of,
    newest_action,
    parse_time,
    possible,
    raw_status,
    status_of,
)
from airflow_src_provider.client.waiting import NOT_NOW, Seen, Wait, for_each
from airflow_src_provider.exceptions import ApiError, BadRequestError, ConflictError, NotFoundError, OutcomeUnknownError

#: Bounds of what a task reports of many workspaces.
MAX_SUMMARIES = 200
MAX_IDS = 10_000
LOG_TAIL = 4000
#: Seconds after which an action that is not over is not waited for any more.
STUCK_AFTER = 7200.0
#: Seconds for which an action that ends a wait is tried: a machine cannot be paused while it resumes.
UNDO_PATIENCE = 180.0
UNDO_AGAIN = 10.0
#: The same while one that is to be deleted is still being created, which takes ten minutes and more, and while the
#: service says that it takes nothing at all.
CREATING_PATIENCE = 3600.0
CREATING_AGAIN = 60.0
#: The newest entry of a type is enough to tell old from new: all others are older still.
BASELINE = 1
_LOG = "provisioning_log"
NO_ROOM = "Timeout waiting for VM"
_DONE = {"pause": "paused", "delete": "deleted"}
#: Where an action that ended well has led to.
_LEADS_TO = {"create": "running", "resume": "running", "reboot": "running", "pause": "paused"}

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


def is_overtaken(workspace: Mapping[str, Any], action: str, before: Sequence[str], sent: float) -> bool:
    """Tell whether an action has been asked for once more since: what came of the first is not its asker's any more.

    :param before: :func:`baseline` from before the first request.
    :param sent: moment (Unix seconds) of that request.
    """
    entries = actions_of(workspace, action)
    known = [number for number, entry in enumerate(entries) if entry.get("id") in before]
    if known:
        return len(entries) - known[-1] > 2
    times = [parse_time(entry.get("time_created")) for entry in entries]
    return sum(1 for created in times if created is not None and created.timestamp() > sent - CLOCK_SKEW) > 1


def is_outdated(workspace: Mapping[str, Any], now: float | None = None) -> bool:
    """Tell whether the history shows that the status has not caught up with it yet."""
    newest = newest_action(workspace) or {}
    ended = parse_time(newest.get("time_updated")) or parse_time(newest.get("time_created"))
    contrary = {"running": "paused", "paused": "running"}.get(raw_status(workspace))
    if ended is None or contrary is None or str(newest.get("status")).lower() not in WENT_WELL:
        return False
    age = (time.time() if now is None else now) - ended.timestamp()
    return age < READ_LAG and _LEADS_TO.get(str(newest.get("type"))) == contrary


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
    :param not_before: for ``settle``: moment (Unix seconds) until which a look proves nothing.
    :param then: for ``settle``: the action that is wanted next; a status that nobody knows is waited out unless the
        service offers it.
    :param undo: what to do to the workspaces when nobody waits any more: ``pause``, ``delete`` or nothing.
    :param undo_ids: to which ones; default all that are waited for.
    """

    kind: ClassVar[str] = "workspaces"
    names_itself: ClassVar[bool] = True
    longest_end: ClassVar[float] = CREATING_PATIENCE

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
            return _settled(found, options.get("then"), options.get("not_before", 0.0))
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
            done |= _changed_part(found, action)
            return Seen("done", _text(found, verdict.reason), done)
        text = _text(found, verdict.reason)
        log = (found or {}).get(_LOG)
        if verdict.state == "failed" and NO_ROOM in text:
            text = f"{text}. Most likely no GPU of this size was free; a capacity sensor can wait for one"
        if verdict.state == "failed" and log:
            text = f"{text}. End of its provisioning log:\n{str(log)[-LOG_TAIL:].rstrip()}"
        return Seen(verdict.state, text)

    @property
    def passes_on(self) -> bool:
        """Tell whether another try goes on with the same machine: it joins a resume, but creates its own workspace."""
        return self.options.get("undo") == "pause"

    def cancel(self, client: Any) -> list[str]:
        """Pause or delete what this wait is about, and come back as long as the service refuses that for the moment.

        Both are tried for three minutes, but for an hour while the workspace is being created, or the service takes
        nothing at all. In a process that is being ended (:attr:`ApiSession.ending`) there are only seconds: everything
        is asked for once, so a machine that cannot be paused or deleted just then is left, and the text says so.
        """
        told: Mapping[str, str] = {}
        for now, pause in self._undo(client):
            told = now
            if pause:
                time.sleep(pause)
        return list(told.values())

    def cancelling(self, client: Any) -> Iterator[tuple[list[str], float]]:
        """Do the same step by step."""
        said: Mapping[str, str] = {}
        for told, pause in self._undo(client):
            yield [text for id_, text in told.items() if said.get(id_) != text], pause
            said = dict(told)

    def _undo(self, client: Any) -> Iterator[tuple[Mapping[str, str], float]]:
        """Yield what became of each workspace, and the seconds until the next step; 0 after the last."""
        undo = str(self.options.get("undo"))
        pending = list(self.options.get("undo_ids", self.ids)) if undo in _DONE else []
        told: dict[str, str] = {}
        refused: dict[str, ApiError] = {}
        hurry, began = client.session.ending, time.time()
        refused_since: float | None = None
        while pending:
            found: Mapping[str, Json] = {}
            # Somebody may use the machine by now. A deletion has no such question, and is asked for at once.
            if not hurry and (undo == "pause" or told):
                with contextlib.suppress(ApiError):
                    found = client.workspaces.look(pending)
            kept = {id_: why for id_ in pending if undo == "pause" and (why := self._why_kept(id_, found.get(id_)))}
            creating = [id_ for id_ in pending if undo == "delete" and _is_creating(found.get(id_))]
            ready = [id_ for id_ in pending if id_ not in kept and id_ not in creating]
            tried = for_each(client.session, lambda id_: _end(client, undo, id_), ready)
            told |= kept
            again: dict[str, ApiError] = {}
            for id_, (refusal, text) in zip(ready, tried, strict=True):
                told[id_] = text
                if refusal is not None:
                    again[id_] = refusal
            refused |= again
            pending = [*creating, *again]
            now = time.time()
            is_long = bool(creating) or any(isinstance(refusal, NOT_NOW) for refusal in again.values())
            # One request may have waited for long: what was refused before it would never be asked for again.
            if is_long or refused_since is None:
                refused_since = now
            if hurry or now - began >= CREATING_PATIENCE or now - refused_since >= UNDO_PATIENCE:
                break
            if pending:
                yield told, CREATING_AGAIN if is_long else UNDO_AGAIN
        for id_ in pending:
            why = f"cannot be {_DONE[undo]} at this moment, so it may be left running: {refused[id_].message}"
            told[id_] = f"Workspace {id_} {why}"
        yield told, 0.0

    def _why_kept(self, id_: str, workspace: Mapping[str, Any] | None) -> str | None:
        """Return why a machine that this wait had resumed need not, or must not, be paused."""
        before, sent = (self.options.get(name, {}).get(id_) for name in ("before", "sent"))
        if workspace is None or sent is None:
            return None
        if is_overtaken(workspace, "resume", before or (), sent):
            return f"Workspace {id_} was resumed by somebody else since, so it is left alone."
        ours = newer_action(workspace, "resume", before or (), sent)
        if ours is None or is_outdated(workspace):
            return None
        if raw_status(workspace) == "paused" and str(ours.get("status")).lower() in (*WENT_WELL, *WENT_WRONG):
            return f"Workspace {id_} is paused already."
        if raw_status(workspace) == "pausing" and newest_action(workspace, "pause") is newest_action(workspace):
            return f"Workspace {id_} is being paused already."
        return None


def _text(workspace: Mapping[str, Any] | None, reason: str) -> str:
    name = (workspace or {}).get("name")
    return f"{name}: {reason}" if name else reason


def _creation_failed(workspace: Mapping[str, Any]) -> bool:
    # Whoever deletes it by hand has no use for the log, and would fetch it at every look.
    if (newest_action(workspace, "delete") or {"reason": None}).get("reason", "API") == "API":
        return False
    if status_of(workspace) is Status.DELETING:
        return (newest_action(workspace, "create") or {}).get("status") == "failed"
    return status_of(workspace) is Status.FAILED


def _changed_part(workspace: Mapping[str, Any] | None, action: str) -> Json:
    """Return what shows whether a change is there, should another one have replaced it."""
    rules, storages = "network_security_group_rules", mapping((workspace or {}).get("meta")).get("storages")
    if action == "update_nsgs" and workspace and isinstance(workspace.get(rules), list):
        return {"shows": {rules: workspace[rules]}}
    if action == "update_storages" and isinstance(storages, list):
        return {"shows": {"meta": {"storages": [{"id": mapping(one).get("id")} for one in storages]}}}
    return {}


def _is_creating(workspace: Mapping[str, Any] | None) -> bool:
    return workspace is not None and status_of(workspace) is Status.CREATING


def _settled(workspace: Mapping[str, Any] | None, then: str | None, not_before: float) -> Seen:
    if workspace is None:
        return Seen("done", "gone", {"id": None, "name": None, "status": "deleted"})
    shown, kind = raw_status(workspace), class_of(status_of(workspace))
    busy = (
        kind is StatusClass.TRANSITIONAL
        or open_action(workspace) is not None
        or (kind is StatusClass.INDETERMINATE and then is not None and not possible(workspace, then))
        or time.time() < not_before
    )
    return Seen("waiting" if busy else "done", _text(workspace, f"status is {shown}"), summary(workspace))


def _end(client: Any, undo: str, id_: str) -> tuple[ApiError | None, str]:
    """Return why it is to be tried again, if it is, and what happened in words."""
    try:
        if undo == "delete":
            client.workspaces.delete(id_)
        else:
            client.workspaces.pause(id_)
    except NotFoundError:
        return None, f"Workspace {id_} is gone already."
    except ApiError as error:
        # Both may be asked for twice, so a lost answer is no reason to leave a machine on.
        if error.retryable or isinstance(error, BadRequestError | ConflictError | OutcomeUnknownError):
            return error, f"Workspace {id_} cannot be {_DONE[undo]} yet, which is tried again: {error.message}"
        return None, f"Workspace {id_} is not {_DONE[undo]}, look at it in the portal: {error}"
    return None, f"Asked to {undo} workspace {id_}, since nobody waits for it any more."
