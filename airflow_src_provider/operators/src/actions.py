"""One action on one or many workspaces: decided by their state, sent at a polite pace, never sent twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowSkipException

from airflow_src_provider.client.src.progress import READ_LAG, in_transition
from airflow_src_provider.client.src.states import WENT_WELL, WENT_WRONG, raw_status
from airflow_src_provider.client.src.waits import MAX_SUMMARIES, UNDO_AGAIN, baseline, newer_action, summary
from airflow_src_provider.exceptions import (
    ApiError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteWorkError,
)
from airflow_src_provider.items import check_policy, tolerates
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.undoing import SrcUndoingOperator
from airflow_src_provider.remote import failures_text

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.src.base import Json
    from airflow_src_provider.client.waiting import Wait

#: Seconds between two changes: the service puts each into a queue of limited length.
PACE = 1.0
LOOK_AGAIN = 5.0
MAX_SENDS = 3
MAX_SETTLES = 5
#: Seconds after which one who joined somebody else's action looks again: a wait that was ended may undo it until then.
JOINED_AGAIN = 2 * UNDO_AGAIN


class SrcActionOperator(SrcUndoingOperator):
    """Base of the operators that bring workspaces into another state.

    What a workspace needs is decided by its status and by the newest entry of its history: nothing when it is there
    already, only waiting when it is on its way, waiting for another action to end when one is under way, and else the
    action. Changes are sent one per second, and no more than ``at_once`` are unfinished at a time. A full queue is
    waited for. The failure of one workspace does not keep the others from being tried.

    :param at_once: unfinished changes at a time, default 4.
    :param on_item_failure: what to do when single workspaces failed, after all the others are done: ``fail`` (default),
        ``skip`` them, or tolerate up to a number of them (whole number) or a share (between 0 and 1).
    :param only_if: skip the task when this is false, such as the output ``changed`` of the task that resumed.

    :raises RemoteWorkError: workspaces failed; with the service's own reasons.
    :raises WaitTimeoutError: not finished within ``timeout``.
    :raises InvalidInputError: unusable parameters, or no or several workspaces of that name.
    """

    #: Whether a retry of the task must not repeat an action that ended well, because the state does not show it.
    once: ClassVar[bool] = False

    _written_at = float("-inf")

    template_fields: Sequence[str] = (*SrcUndoingOperator.template_fields, "only_if")

    def __init__(
        self, *, at_once: int = 4, on_item_failure: str | float = "fail", only_if: Any = True, **kwargs: Any
    ) -> None:
        self.only_if = only_if
        super().__init__(**kwargs)
        if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
            raise InvalidInputError("at_once", at_once, "a whole number, 1 or more")
        self.at_once = at_once
        check_policy(on_item_failure, "on_item_failure")
        self.on_item_failure = on_item_failure
        self._seen: dict[str, Json] = {}
        #: What :meth:`prepare` has found out.
        self.given: dict[str, Any] = {}

    # What a subclass may say.

    def prepare(self) -> dict[str, Any]:
        """Look up what all the workspaces need; JSON-able, and there as ``given`` ever after."""
        return {}

    def send(self, workspace_id: str) -> Json | None:
        """Ask for the action; return the workspace, if the service sends it."""
        answer: Json = self.client.workspaces.action(workspace_id, self.action)
        return answer

    # The course of the task.

    def execute(self, context: Context) -> Any:
        """Do the work, unless it is not wanted."""
        wanted = self.only_if
        if not wanted or (isinstance(wanted, str) and wanted.strip().lower() in ("false", "none", "0", "")):
            raise AirflowSkipException(f"{self.action} is not wanted: only_if is {self.only_if!r}")
        return super().execute(context)

    def submit(self, context: Context) -> dict[str, Any]:
        """Find out what each workspace needs."""
        carry: dict[str, Any] = {
            "todo": [], "busy": [], "wave": [], "stage": self.action, "settles": 0,
            "before": {}, "sent": {}, "names": {}, "results": {}, "failed": {}, "changed": [],
            "joined": [], "doubted": [], "not_before": 0.0,
        }  # fmt: skip
        self.given = carry["given"] = self.prepare()
        chosen = self.select_once(Ledger(context, self.durable))
        self.link_to([summary(one) for one in chosen])
        with self.giving_up(context):
            self._sort(context, carry, chosen)
        return carry

    def go_on(self, context: Context, carry: dict[str, Any]) -> Any:
        """Send and wait, in turns, until every workspace is done or has failed."""
        with self.giving_up(context):
            self._in_waves(context, carry)
        return self.finish(context, carry, None)

    def _in_waves(self, context: Context, carry: dict[str, Any]) -> None:
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

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after a wait."""
        self.given = carry["given"]
        self.undo_if_killed(carry)
        with self.giving_up(context):
            self._take_in(context, carry, self.outcome(event, carry))
        return self.go_on(context, carry)

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return what to wait for."""
        wave = carry["wave"]
        if not wave:
            return None
        if carry["stage"] == "settle":
            return self.wait_of(
                carry, wave, carry["changed"], action="settle", then=self.action, not_before=carry["not_before"]
            )
        return self.wait_of(carry, wave, carry["changed"])

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report, or raise."""
        results, failed = carry["results"], carry["failed"]
        self.link_to(list(results.values()))
        total = len(failed) + len(results)
        tolerated = not self.is_single and tolerates(self.on_item_failure, len(failed), total)
        error = None
        if failed and not tolerated:
            text = f"{len(failed)} of {total} workspaces failed:\n{failures_text(failed)}"
            error = RemoteWorkError(next(iter(failed.values())) if self.is_single else text, failed)
        self.undo_failed(context, carry, error)
        if error:
            raise error
        if failed:
            self.log.warning("%d workspaces failed:\n%s", len(failed), failures_text(failed))
        return self.report(results, failed, carry["changed"], self.api_calls(carry))

    # Stages.

    def _sort(self, context: Context, carry: dict[str, Any], workspaces: Sequence[Json]) -> None:
        notes = {str(one["id"]): self.asked(context, str(one["id"])) for one in workspaces}
        for id_, note in notes.items():
            if note:
                carry["sent"][id_], carry["before"][id_] = note["sent"], note["before"]
        if any(notes.values()):
            # Finding out what became of that may take a minute for each.
            self.undo_if_killed(carry, *(id_ for id_, note in notes.items() if note))
        for workspace in workspaces:
            id_ = str(workspace["id"])
            name = carry["names"][id_] = str(workspace.get("name") or id_)
            self.keep(workspace)
            try:
                need, detail = self.need(workspace)
            except InvalidInputError as error:
                need, detail = "failed", str(error)
            if (asked := notes[id_]) and need == "act":
                workspace, need, detail = self._recall(workspace, asked)
            own = bool(asked and self.is_own(workspace, asked))
            if asked and own and need != "act":
                self.mark(carry, id_, **asked)
            if not own and need == "join":
                carry["joined"] += [] if id_ in carry["doubted"] else [id_]
                carry["sent"][id_], carry["before"][id_] = detail or time.time(), []
            if not own and need in ("done", "join", "later"):
                self.adopt(context, carry, workspace)
            if need == "done" and self.may_be_old(context, workspace):
                need = "later"
            if need == "later" and id_ in carry["doubted"]:
                need = "done"
            if need == "done":
                if id_ not in carry["changed"]:
                    self.log.info("%s: nothing to do, %s", name, detail)
                carry["results"][id_] = self._cut(carry, summary(workspace))
            elif need == "failed":
                carry["failed"][id_] = f"{name}: {detail}"
            elif need == "join":
                self.log.info("%s: %s is under way already.", name, self.action)
                carry["wave"].append(id_)
                self._seen[id_] = workspace
            elif need == "later":
                self.log.info("%s: %s, but that may be old; looking again.", name, detail or "nothing to do")
                self._look_again(carry, id_, READ_LAG)
            elif need == "busy":
                self.log.info("%s: %s; %s comes after that.", name, detail, self.action)
                carry["busy"].append(id_)
            else:
                carry["before"][id_] = baseline(workspace, self.action)
                carry["todo"].append(id_)

    def _recall(self, workspace: Json, asked: dict[str, Any]) -> tuple[Json, str, Any]:
        """Find out whether what was asked for has begun, before asking again."""
        self.log.info("%s: %s may have been asked for already; looking.", workspace.get("name"), self.action)
        found = self._evidence(workspace["id"], **asked, first=workspace)
        if found is None:
            return workspace, "act", None
        earlier = newer_action(found, self.action, **asked)
        if self.once and earlier is not None:
            ended = str(earlier.get("status")).lower()
            if ended in WENT_WELL:
                return found, "done", "an earlier try has done it"
            if ended not in WENT_WRONG:
                return found, "join", asked["sent"]
        return found, *self.need(found)

    def _next_wave(self, context: Context, carry: dict[str, Any]) -> bool:
        carry["stage"] = self.action
        while carry["todo"] and len(carry["wave"]) < self.at_once:
            id_ = carry["todo"].pop(0)
            # Until it is known what became of the request, it counts as done.
            self.undo_if_killed(carry, id_)
            self._act(context, carry, id_)
            self.undo_if_killed(carry)
        if carry["wave"]:
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
            carry["not_before"] = 0.0
            found = self.client.workspaces.look(wave)
            self._sort(context, carry, [found.get(id_) or {"id": id_, "status": "deleted"} for id_ in wave])
            return
        joined, carry["joined"] = carry["joined"], []
        for id_, result in event["results"].items():
            name = carry["names"][id_]
            result = {**result, "name": result.get("name") or name}
            shows = result.pop("shows", None)
            if id_ in joined and self.undo:
                # Whoever asked for it may have been killed, and then it is taken back before long.
                self._look_again(carry, id_, JOINED_AGAIN)
            elif shows and not self.is_there({**shows, "id": id_}):
                missing = f"{name}: {self.action} is over, but what it asked for is not there"
                if carry["doubted"].count(id_) + 1 < MAX_SENDS:
                    self.log.info("%s; looking again.", missing)
                    self._look_again(carry, id_, carry["sent"][id_] + READ_LAG - time.time())
                else:
                    carry["failed"][id_] = f"{missing}; another change may have replaced it"
            else:
                carry["results"][id_] = self._cut(carry, result)
        for id_, reason in event["failed"].items():
            if id_ in joined:
                self.log.info("%s; but that was asked for by somebody else. Looking again.", reason)
                self._look_again(carry, id_, 0.0)
            else:
                carry["failed"][id_] = reason
        for id_ in wave:
            if not self.undo or id_ not in carry["changed"]:
                carry["sent"].pop(id_, None)
                carry["before"].pop(id_, None)

    def _look_again(self, carry: dict[str, Any], id_: str, seconds: float) -> None:
        carry["doubted"].append(id_)
        carry["busy"].append(id_)
        carry["not_before"] = max(carry["not_before"], time.time() + seconds)

    # One workspace.

    def _act(self, context: Context, carry: dict[str, Any], id_: str) -> None:
        ledger = Ledger(context, self.durable)
        key, name = f"{self.action}.{id_}", carry["names"][id_]
        if not self.is_still_meant(id_):
            self.log.warning("%s does not fit the filter any more, so it is left alone.", name)
            return
        self._keep_pace()
        asked = self.notes[id_] = {"before": carry["before"][id_], "sent": time.time()}
        ledger.put(key, asked)
        for attempt in range(1, MAX_SENDS + 1):
            sent = time.time()
            try:
                answer = self.send(id_)
            except OutcomeUnknownError as error:
                self.log.warning("%s: %s. Looking at the workspace.", name, error)
                answer = self._evidence(id_, **asked)
                if answer is None and attempt < MAX_SENDS:
                    self.log.info("%s: nothing has begun, so it is sent again.", name)
                    continue
                if answer is None:
                    carry["failed"][id_] = f"{name}: {error.message}"
                    return
            except ApiError as error:
                if attempt == 1:
                    # Certainly not done. With a note, what somebody else asked for meanwhile would count as ours.
                    ledger.put(key, None)
                    del self.notes[id_]
                    self.undo_if_killed(carry)
                self._refused(context, carry, id_, error)
                return
            self.log.info("%s: %s", name, "changed." if self.instant else f"asked for {self.action}.")
            self.mark(carry, id_, sent=sent, before=asked["before"])
            if self.instant:
                carry["results"][id_] = self._cut(carry, {**summary(answer or {}), "id": id_})
                return
            carry["wave"].append(id_)
            if answer is not None:
                self._seen[id_] = answer
            return

    def _refused(self, context: Context, carry: dict[str, Any], id_: str, error: ApiError) -> None:
        """Look why an action was refused: it may be done, or on its way, by now."""
        name = carry["names"][id_]
        if isinstance(error, ForbiddenError):
            carry["failed"][id_] = f"{name}: {self.action} was refused: {error.message}"
        elif isinstance(error, BadRequestError | ConflictError | NotFoundError):
            # "Not found" is also what a gateway says that does not find the service.
            workspace = self._get(id_)
            if self.need(workspace)[0] in ("act", "failed"):
                carry["failed"][id_] = f"{name}: {self.action} was refused: {error.message}"
            else:
                self._sort(context, carry, [{"name": name, **workspace}])
        else:
            raise error

    def _get(self, id_: str) -> Json:
        try:
            workspace: Json = self.client.workspaces.get(id_)
        except NotFoundError:
            return {"id": id_, "status": "deleted"}
        return workspace

    def _evidence(self, id_: str, before: list[str], sent: float, first: Json | None = None) -> Json | None:
        """Return the workspace if it shows that the action has begun; look for as long as reads may lag behind."""
        workspace, until = first, time.time() + READ_LAG
        while True:
            if workspace is None:
                workspace = self._get(id_)
            if (
                newer_action(workspace, self.action, before, sent)
                or in_transition(workspace, self.action)
                or self.reached(workspace)
                or raw_status(workspace) == "deleted"
            ):
                return workspace
            if time.time() > until:
                return None
            self._sleep(LOOK_AGAIN)
            workspace = None

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
