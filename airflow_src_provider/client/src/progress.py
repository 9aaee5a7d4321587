"""Has it happened? Judges a workspace after an action was asked for, without asking anybody.

Two things make this more than comparing two words. Right after an action is accepted, reads may show the old status
for up to a minute, and a new workspace not at all. And a resume that finds no free GPU ends where it began, in
``paused``: only the newest entry of the workspace's history tells that from one that has not begun.

Wiki pages: "Resource Statuses", "Workspace actions".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_src_provider.client.src.base import Json
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
    raw_status,
    status_of,
)
from airflow_src_provider.exceptions import InvalidInputError

Target = Literal["create", "resume", "pause", "delete", "reboot", "update_nsgs", "update_storages"]

READ_LAG = 60.0
"""Seconds for which a read may still show the status from before the action."""

CLOCK_SKEW = 30.0
"""Seconds by which the server's clock may be behind ours."""

_TRANSITIONS: Mapping[str, frozenset[Status]] = {
    "create": frozenset({Status.CREATING}),
    "resume": frozenset({Status.RESUMING}),
    "pause": frozenset({Status.PAUSING}),
    "delete": frozenset({Status.DELETING}),
    "reboot": frozenset({Status.REBOOTING, Status.PAUSING, Status.RESUMING}),
    "update_nsgs": frozenset({Status.UPDATING}),
    "update_storages": frozenset({Status.UPDATING}),
}
_BROKEN = frozenset({Status.FAILED, Status.UNHEALTHY, Status.UNACCOUNTED, Status.DELETING, Status.DELETED})


@dataclass(frozen=True)
class Verdict:
    """What became of an action.

    :param state: ``done``, ``failed`` or ``waiting``.
    :param reason: why, for people; holds the server's own error text where there is one.
    """

    state: Literal["done", "failed", "waiting"]
    reason: str


@dataclass(frozen=True)
class _Seen:
    """What is known about one action at one moment."""

    workspace: Mapping[str, Any]
    target: str
    status: Status
    shown: str
    action: Json | None
    transition: bool
    late: bool

    @property
    def action_status(self) -> str:
        return str((self.action or {}).get("status")).lower()

    @property
    def action_over(self) -> bool:
        return self.action_status in WENT_WELL

    @property
    def action_open(self) -> bool:
        return self.action is not None and not self.action_over and not self.action_failed

    @property
    def action_failed(self) -> bool:
        return self.action_status in WENT_WRONG

    def waiting(self) -> Verdict:
        return Verdict("waiting", f"status is {self.shown}")

    def failed(self) -> Verdict:
        return Verdict("failed", f"{self.target} failed: {self._explanation()}")

    def _explanation(self) -> str:
        # An action that went well does not explain where the workspace is now; what came after it does.
        entry = self.action if self.action and not self.action_over else newest_action(self.workspace)
        told = action_error(entry)
        if told:
            return f"{told} (status is {self.shown})"
        cause = (entry or {}).get("reason")
        return f"status is {self.shown}" + (f" ({cause})" if isinstance(cause, str) and cause != "API" else "")


def in_transition(workspace: Mapping[str, Any] | None, target: str) -> bool:
    """Tell whether a workspace is seen on its way; remember it, and hand it to :func:`judge` as ``seen_transition``.

    Changes that are done with the answer, such as another wallet, have no way to be on.
    """
    return workspace is not None and status_of(workspace) in _TRANSITIONS.get(target, frozenset())


def action_ids(workspace: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids in the history, to be taken before an action is asked for."""
    return frozenset(entry["id"] for entry in actions_of(workspace) if isinstance(entry.get("id"), str))


def judge(
    workspace: Mapping[str, Any] | None,
    target: Target,
    *,
    t0: float,
    now: float,
    seen_transition: bool = False,
    baseline_action_ids: Collection[str] = (),
    skew: float = CLOCK_SKEW,
    application_type: str | None = None,
) -> Verdict:
    """Judge whether an action is done, has failed, or needs more time.

    :param workspace: the workspace as just read; ``None`` when it was not found (404, or absent from the list).
    :param target: the action: create, resume, pause, delete, reboot, update_nsgs or update_storages.
    :param t0: moment of the request, Unix seconds.
    :param now: moment of the read, Unix seconds.
    :param seen_transition: whether :func:`in_transition` was true at any read since ``t0``.
    :param baseline_action_ids: :func:`action_ids` from before the request; the newest few of this type suffice. When
        there are none, entries of the history are told apart by their time instead.
    :param skew: seconds by which the server's clock may be behind, default 30.
    :param application_type: kind of the workspace, if the server does not say; default: found in ``meta``.
    :raises InvalidInputError: for an unknown target.
    """
    if target not in _TRANSITIONS:
        raise InvalidInputError("target", target, f"one of {', '.join(_TRANSITIONS)}")
    if workspace is None:
        if target == "delete":
            return Verdict("done", "the workspace is gone")
        if target == "create" and now - t0 <= READ_LAG + skew:
            return Verdict("waiting", "the workspace is so young that it is not shown yet")
        return Verdict("failed", f"{target} failed: the workspace is gone")
    seen = _Seen(
        workspace=workspace,
        target=target,
        status=status_of(workspace),
        shown=raw_status(workspace) or "not given",
        action=_new_action(workspace, target, t0 - skew, baseline_action_ids),
        transition=seen_transition or in_transition(workspace, target),
        late=now - t0 > READ_LAG,
    )
    if target == "create":
        return _create(seen, application_type or kind_of(workspace))
    return _RULES.get(target, _update)(seen)


def _new_action(workspace: Mapping[str, Any], target: str, since: float, baseline: Collection[str]) -> Json | None:
    entries = actions_of(workspace, target)
    if not entries:
        return None
    # The newest alone: behind an entry that was there before, all others are older still.
    entry = entries[-1]
    created = parse_time(entry.get("time_created"))
    if baseline and isinstance(entry.get("id"), str):
        return entry if entry["id"] not in baseline else None
    return entry if created is not None and created.timestamp() > since else None


def _create(seen: _Seen, kind: str | None) -> Verdict:
    if seen.status in _BROKEN:
        return seen.failed()
    ready = {Status.RUNNING} if kind == "Compute" else {Status.AVAILABLE, Status.IN_USE, Status.FULL}
    if kind is None:
        ready.add(Status.RUNNING)
    if seen.status in ready:
        return Verdict("done", f"status is {seen.shown}")
    # Built, but stopped by something else, e.g. an empty wallet: nothing will start it again.
    return seen.failed() if seen.status is Status.PAUSED else seen.waiting()


def _resume(seen: _Seen) -> Verdict:
    if seen.status is Status.RUNNING:
        return Verdict("done", "status is running")
    if seen.status in _BROKEN or seen.action_failed:
        return seen.failed()
    # With the action over, it did run, and something else has paused it since.
    fell_back = seen.status is Status.PAUSED and seen.late and (seen.transition or seen.action_over)
    return seen.failed() if fell_back else seen.waiting()


def _pause(seen: _Seen) -> Verdict:
    if seen.status is Status.PAUSED:
        return Verdict("done", "status is paused")
    if seen.status in _BROKEN or seen.action_failed:
        return seen.failed()
    fell_back = seen.status is Status.RUNNING and (seen.transition or (seen.late and seen.action_over))
    return seen.failed() if fell_back else seen.waiting()


def _delete(seen: _Seen) -> Verdict:
    if seen.status is Status.DELETED:
        return Verdict("done", "status is deleted")
    return seen.failed() if seen.action_failed else seen.waiting()


def _reboot(seen: _Seen) -> Verdict:
    if seen.status in _BROKEN or seen.action_failed:
        return seen.failed()
    if seen.status is Status.RUNNING:
        return _settled(seen)
    # A reboot is a pause and a resume, so it can lose its GPU to somebody else on the way.
    stuck = seen.status is Status.PAUSED and seen.transition and seen.late and not seen.action_open
    return seen.failed() if stuck else seen.waiting()


def _update(seen: _Seen) -> Verdict:
    if seen.status in _BROKEN or seen.action_failed:
        return seen.failed()
    return _settled(seen) if class_of(seen.status) is StatusClass.STABLE else seen.waiting()


def _settled(seen: _Seen) -> Verdict:
    """Judge a workspace that is where it was: not yet begun, or already over?"""
    over = seen.action_over or (not seen.action_open and (seen.transition or seen.late))
    return Verdict("done", f"{seen.target} is over, status is {seen.shown}") if over else seen.waiting()


_RULES: Mapping[str, Callable[[_Seen], Verdict]] = {
    "resume": _resume,
    "pause": _pause,
    "delete": _delete,
    "reboot": _reboot,
}
