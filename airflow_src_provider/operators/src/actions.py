"""One action on one or many workspaces: decided by their state, sent at a polite pace, never sent twice."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowSkipException

from airflow_src_provider.client.src.progress import READ_LAG, in_transition
from airflow_src_provider.client.src.states import StatusClass, class_of, parse_time, possible, raw_status, status_of
from airflow_src_provider.client.src.waits import WorkspaceWait, baseline, newer_action, open_action, summary
from airflow_src_provider.exceptions import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteWorkError,
)
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.base import MAX_SUMMARIES, SrcSelectingOperator
from airflow_src_provider.remote import failures_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json
    from airflow_src_provider.client.waiting import Wait

#: Seconds between two changes: the service puts each into a queue of limited length.
PACE = 1.0
LOOK_AGAIN = 5.0
MAX_SENDS = 3
MAX_SETTLES = 5


class SrcActionOperator(SrcSelectingOperator):
    """Base of the operators that bring workspaces into another state.

    What a workspace needs is decided by its status and by the newest entry of its history: nothing when it is there
    already, only waiting when it is on its way, waiting for another action to end when one is under way, and else the
    action. Changes are sent one per second, and no more than ``at_once`` are unfinished at a time. A full queue is
    waited for. The failure of one workspace does not keep the others from being tried.

    :param at_once: unfinished changes at a time, default 4.
    :param on_item_failure: what failed workspaces mean for the task: ``fail`` (default), ``skip`` (report them only),
        or the number (1, 2, …) or fraction (0.1) of the workspaces above which it fails.
    :param only_if: skip the task when this is false, such as the output ``changed`` of the task that resumed.

    :raises RemoteWorkError: workspaces failed; with the service's own reasons.
    :raises WaitTimeoutError: not finished within ``timeout``.
    :raises InvalidInputError: unusable parameters, or no or several workspaces of that name.
    """

    #: Name of the action, as in the workspace's history.
    action: ClassVar[str]
    #: Statuses in which nothing is left to do.
    target: ClassVar[frozenset[str]] = frozenset()
    #: Whether a machine is left running when nobody waits for this action any more.
    undo: ClassVar[str | None] = None
    #: Whether a retry of the task must not repeat an action that ended well, because the state does not show it.
    once: ClassVar[bool] = False
    #: Whether the change is done as soon as the service has answered.
    instant: ClassVar[bool] = False

    _written_at = float("-inf")

    template_fields: Sequence[str] = (*SrcSelectingOperator.template_fields, "only_if")

    def __init__(
        self, *, at_once: int = 4, on_item_failure: str | float = "fail", only_if: Any = True, **kwargs: Any
    ) -> None:
        self.only_if = only_if
        super().__init__(**kwargs)
        if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
            raise InvalidInputError("at_once", at_once, "a whole number, 1 or more")
        self.at_once = at_once
        self.on_item_failure = _policy(on_item_failure)
        self._seen: dict[str, Json] = {}
        self._read: dict[str, tuple[float, Json]] = {}
        #: What :meth:`prepare` has found out.
        self.given: dict[str, Any] = {}

    # What a subclass may say.

    def prepare(self) -> dict[str, Any]:
        """Look up what all the workspaces need; JSON-able, and there as ``given`` ever after."""
        return {}

    def reached(self, workspace: Json) -> bool:
        """Tell whether nothing is left to do."""
        return raw_status(workspace) in self.target

    def send(self, workspace_id: str) -> Json | None:
        """Ask for the action; return the workspace, if the service sends it."""
        answer: Json = self.client.workspaces.action(workspace_id, self.action)
        return answer

    # The course of the task.

    def execute(self, context: Context) -> Any:
        """Do the work, unless it is not wanted."""
        if not self.only_if or str(self.only_if).strip().lower() in ("false", "none", "0", ""):
            raise AirflowSkipException(f"{self.action} is not wanted: only_if is {self.only_if!r}")
        return super().execute(context)

    def submit(self, context: Context) -> dict[str, Any]:
        """Find out what each workspace needs."""
        carry: dict[str, Any] = {
            "todo": [], "busy": [], "wave": [], "stage": self.action, "settles": 0,
            "before": {}, "sent": {}, "names": {}, "results": {}, "failed": {}, "changed": [],
        }  # fmt: skip
        self.given = carry["given"] = self.prepare()
        self._sort(context, carry, self.select())
        return carry

    def go_on(self, context: Context, carry: dict[str, Any]) -> Any:
        """Send and wait, in turns, until every workspace is done or has failed."""
        while self._next_wave(context, carry):
            last = carry["stage"] == self.action and not carry["todo"] and not carry["busy"]
            if last and not self.wait_for_completion:
                carry["results"] |= {id_: self._brief(carry, id_) for id_ in carry["wave"]}
                break
            wave = carry["wave"]
            known = {id_: self._seen[id_] for id_ in wave} if all(id_ in self._seen for id_ in wave) else None
            self._seen.clear()
            wait = self.waits_for(carry)
            assert wait is not None
            event = self.wait_for(wait, trigger=self.trigger_path, deadline=carry["deadline"], carry=carry, found=known)
            self._take_in(context, carry, self.outcome(event, carry))
        return self.finish(context, carry, None)

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after a wait."""
        self.given = carry["given"]
        self._take_in(context, carry, self.outcome(event, carry))
        return self.go_on(context, carry)

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return what to wait for."""
        wave = carry["wave"]
        if not wave:
            return None
        if carry["stage"] == "settle":
            return WorkspaceWait(wave, action="settle")
        options = {
            "action": self.action,
            "sent": {id_: carry["sent"][id_] for id_ in wave},
            "before": {id_: carry["before"][id_] for id_ in wave if carry["before"].get(id_)},
        }
        if self.undo and (mine := [id_ for id_ in wave if id_ in carry["changed"]]):
            options |= {"undo": self.undo, "undo_ids": mine}
        return WorkspaceWait(wave, **options)

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report, or raise."""
        results, failed = carry["results"], carry["failed"]
        self.link_to(list(results.values()))
        if failed and (self.is_single or self._too_many(len(failed), len(failed) + len(results))):
            if self.is_single:
                raise RemoteWorkError(next(iter(failed.values())), failed)
            total = len(failed) + len(results)
            raise RemoteWorkError(f"{len(failed)} of {total} workspaces failed:\n{failures_text(failed)}", failed)
        if failed:
            self.log.warning("%d workspaces failed:\n%s", len(failed), failures_text(failed))
        return self.report(results, failed, carry["changed"], self.api_calls(carry))

    def _too_many(self, failed: int, total: int) -> bool:
        if isinstance(self.on_item_failure, str):
            return self.on_item_failure == "fail"
        limit = self.on_item_failure
        return failed > (limit * total if limit < 1 else limit)

    # Stages.

    def _sort(self, context: Context, carry: dict[str, Any], workspaces: Iterable[Json]) -> None:
        for workspace in workspaces:
            id_ = str(workspace["id"])
            name = carry["names"][id_] = str(workspace.get("name") or id_)
            self._read[id_] = time.monotonic(), workspace
            try:
                need, detail = self._need(workspace)
            except InvalidInputError as error:
                need, detail = "failed", str(error)
            if need == "act":
                workspace, need, detail = self._recall(context, workspace, need, detail)
            if need == "done":
                if id_ not in carry["changed"]:
                    self.log.info("%s: nothing to do, %s", name, detail)
                carry["results"][id_] = self._cut(carry, summary(workspace))
            elif need == "failed":
                carry["failed"][id_] = f"{name}: {detail}"
            elif need == "join":
                self.log.info("%s: %s is under way already.", name, self.action)
                carry["sent"][id_], carry["before"][id_] = detail, []
                carry["wave"].append(id_)
                self._seen[id_] = workspace
            elif need == "busy":
                self.log.info("%s: %s; %s comes after that.", name, detail, self.action)
                carry["busy"].append(id_)
            else:
                carry["before"][id_] = baseline(workspace, self.action)
                carry["todo"].append(id_)

    def _need(self, workspace: Json) -> tuple[str, Any]:
        shown = raw_status(workspace)
        if self.instant:
            if self.reached(workspace):
                return "done", "it is as wanted"
            if possible(workspace, "update"):
                return "act", None
            return "failed", f"it may not be changed by you now, its status is {shown}"
        under_way = open_action(workspace)
        if under_way is not None and under_way.get("type") != self.action:
            return "busy", f"{under_way.get('type')} is under way"
        if under_way is not None:
            started = parse_time(under_way.get("time_created"))
            return "join", started.timestamp() if started else time.time()
        if self.reached(workspace):
            return "done", f"status is {shown}"
        if in_transition(workspace, self.action):  # type: ignore[arg-type]
            return "join", time.time()
        kind = class_of(status_of(workspace))
        if kind is StatusClass.TRANSITIONAL and shown != "deleting":
            return "busy", f"status is {shown}"
        if not possible(workspace, self.action):
            offered = ", ".join(workspace.get("allowed_actions") or []) or "none"
            return "failed", f"{self.action} is not possible: status is {shown}, actions allowed to you are: {offered}"
        return "act", None

    def _recall(self, context: Context, workspace: Json, need: str, detail: Any) -> tuple[Json, str, Any]:
        """Find out what an earlier try of this run has sent, before sending anything."""
        ledger = Ledger(context, self.durable)
        record = ledger.get(self._key(workspace["id"])) if ledger.may_have_acted else None
        if record is None:
            return workspace, need, detail
        self.log.info("%s: an earlier try may have asked for %s; looking.", workspace.get("name"), self.action)
        found = self._evidence(workspace["id"], record["before"], record["sent"], workspace)
        if found is None:
            return workspace, need, detail
        earlier = newer_action(found, self.action, record["before"], record["sent"]) or {}
        if self.once and earlier.get("status") in ("success", "done"):
            return found, "done", "an earlier try has done it"
        return found, *self._need(found)

    def _next_wave(self, context: Context, carry: dict[str, Any]) -> bool:
        while carry["todo"] and len(carry["wave"]) < self.at_once:
            self._act(context, carry, carry["todo"].pop(0))
        if carry["wave"]:
            carry["stage"] = self.action
            return True
        if not carry["busy"]:
            return False
        carry["settles"] += 1
        if carry["settles"] > MAX_SETTLES:
            for id_ in carry["busy"]:
                carry["failed"][id_] = f"{carry['names'][id_]}: other actions keep it busy"
            return False
        carry["stage"], carry["wave"], carry["busy"] = "settle", carry["busy"], []
        return True

    def _take_in(self, context: Context, carry: dict[str, Any], event: dict[str, Any]) -> None:
        wave, carry["wave"] = carry["wave"], []
        if carry["stage"] == "settle":
            found = self.client.workspaces.look(wave)
            self._sort(context, carry, [found.get(id_) or {"id": id_, "status": "deleted"} for id_ in wave])
            return
        for id_, result in event["results"].items():
            carry["results"][id_] = self._cut(carry, {**result, "name": result.get("name") or carry["names"][id_]})
        carry["failed"] |= event["failed"]
        for id_ in wave:
            carry["sent"].pop(id_, None)
            carry["before"].pop(id_, None)

    # One workspace.

    def _act(self, context: Context, carry: dict[str, Any], id_: str) -> None:
        ledger = Ledger(context, self.durable)
        name, before = carry["names"][id_], carry["before"][id_]
        for attempt in range(1, MAX_SENDS + 1):
            self._keep_pace()
            sent = time.time()
            ledger.put(self._key(id_), {"sent": sent, "before": before})
            try:
                answer = self.send(id_)
            except OutcomeUnknownError as error:
                self.log.warning("%s: %s. Looking at the workspace.", name, error)
                answer = self._evidence(id_, before, sent)
                if answer is None and attempt < MAX_SENDS:
                    self.log.info("%s: nothing has begun, so it is sent again.", name)
                    continue
                if answer is None:
                    carry["failed"][id_] = f"{name}: {error.message}"
                    return
            except NotFoundError:
                self._sort(context, carry, [{"id": id_, "name": name, "status": "deleted"}])
                return
            except (BadRequestError, ConflictError) as error:
                self._refused(context, carry, id_, error)
                return
            except ForbiddenError as error:
                carry["failed"][id_] = f"{name}: {self.action} was refused: {error.message}"
                return
            self.log.info("%s: %s", name, "changed." if self.instant else f"asked for {self.action}.")
            carry["changed"].append(id_)
            if self.instant:
                carry["results"][id_] = self._cut(carry, {**summary(answer or {}), "id": id_})
                return
            carry["sent"][id_] = sent
            carry["wave"].append(id_)
            if answer is not None:
                self._seen[id_] = answer
            return

    def _refused(self, context: Context, carry: dict[str, Any], id_: str, error: Any) -> None:
        """Look why an action was refused: it may be done, or on its way, by now."""
        try:
            workspace = self.client.workspaces.get(id_)
        except NotFoundError:
            workspace = {"id": id_, "name": carry["names"][id_], "status": "deleted"}
        if self._need(workspace)[0] in ("act", "failed"):
            carry["failed"][id_] = f"{carry['names'][id_]}: {self.action} was refused: {error.message}"
        else:
            self._sort(context, carry, [workspace])

    def _evidence(self, id_: str, before: list[str], sent: float, first: Json | None = None) -> Json | None:
        """Return the workspace if it shows that the action has begun; look for as long as reads may lag behind."""
        workspace = first
        while True:
            if workspace is None:
                workspace = self.client.workspaces.get(id_)
            if (
                newer_action(workspace, self.action, before, sent)
                or in_transition(workspace, self.action)  # type: ignore[arg-type]
                or self.reached(workspace)
            ):
                return workspace
            if time.time() - sent > READ_LAG:
                return None
            self._sleep(LOOK_AGAIN)
            workspace = None

    def current(self, id_: str) -> Json:
        """Return a workspace that was read within the last seconds."""
        read_at, workspace = self._read.get(id_, (float("-inf"), {}))
        if time.monotonic() - read_at > LOOK_AGAIN:
            workspace = self.client.workspaces.get(id_)
        return workspace

    def _key(self, id_: str) -> str:
        return f"{self.action}.{id_}"

    def _keep_pace(self) -> None:
        pause = self._written_at + PACE - time.monotonic()
        if pause > 0:
            self._sleep(pause)
        self._written_at = time.monotonic()

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _brief(self, carry: dict[str, Any], id_: str) -> Json:
        known = summary(self._seen.get(id_, {}))
        return self._cut(carry, {**known, "id": id_, "name": known["name"] or carry["names"][id_]})

    def _cut(self, carry: dict[str, Any], result: Json) -> Json:
        """Keep what travels through a deferral small when there are many."""
        return result if len(carry["results"]) < MAX_SUMMARIES else {"id": result["id"]}


def _policy(value: Any) -> str | float:
    allowed = "'fail', 'skip', a number of workspaces (1, 2, …) or a fraction (above 0, below 1)"
    if isinstance(value, Mapping | bool) or (isinstance(value, str) and value not in ("fail", "skip")):
        raise InvalidInputError("on_item_failure", value, allowed)
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or not value > 0 or (value >= 1 and value != int(value)):
        raise InvalidInputError("on_item_failure", value, allowed)
    return value
