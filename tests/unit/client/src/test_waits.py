"""What is done with workspaces for which nobody waits any more, and what a look proves."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_src_provider.client.src import waits
from airflow_src_provider.client.src.waits import WorkspaceWait, is_outdated, is_overtaken
from airflow_src_provider.exceptions import (
    BadRequestError,
    BudgetWaitError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OutcomeUnknownError,
    ServerError,
    ServiceUnavailableError,
)

T0 = 1_800_000_000.0
ONE, TWO = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def action(kind: str, status: str, seconds: float = 2.0, id_: str = "new") -> dict[str, Any]:
    moment = datetime.fromtimestamp(T0 + seconds, UTC).isoformat()
    return {"id": id_, "type": kind, "status": status, "time_created": moment, "time_updated": moment}


def workspace(status: str, *history: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": ONE, "name": "box", "status": status, "workspace_actions": list(history), **more}


class Workspaces:
    """A service whose answers are given as functions of the seconds since the first request."""

    def __init__(self, clock: SimpleNamespace, status: Any, refuses: Any = lambda _: False) -> None:
        self.clock, self.status, self.refuses = clock, status, refuses
        self.calls: list[tuple[str, float]] = []

    def _note(self, call: str) -> float:
        age = self.clock.time() - T0
        self.calls.append((call, age))
        return float(age)

    def look(self, ids: list[str]) -> dict[str, Any]:
        age = self._note("look")
        found = self.status(age)
        if isinstance(found, Exception):
            raise found
        return {id_: found if isinstance(found, dict) else workspace(found) for id_ in ids}

    def _end(self, call: str) -> None:
        refusal = self.refuses(self._note(call))
        if isinstance(refusal, Exception):
            raise refusal
        if refusal:
            raise BadRequestError("not now", service="workspace", method="POST", path="x")

    def pause(self, id_: str) -> None:
        self._end(f"pause {id_[-1]}")

    def delete(self, id_: str) -> None:
        self._end(f"delete {id_[-1]}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = [T0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    stepped = SimpleNamespace(time=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(waits, "time", stepped)
    return stepped


def client_of(workspaces: Workspaces, ending: bool = False) -> Any:
    return SimpleNamespace(session=SimpleNamespace(ending=ending), workspaces=workspaces)


def pausing(**more: Any) -> WorkspaceWait:
    return WorkspaceWait([ONE], action="resume", undo="pause", sent={ONE: T0}, **more)


def deleting() -> WorkspaceWait:
    return WorkspaceWait([ONE], action="create", undo="delete")


def test_what_is_created_is_deleted_once_that_is_over_with_one_look_a_minute(clock: SimpleNamespace) -> None:
    service = Workspaces(clock, lambda age: "creating" if age < 1200 else "running", lambda age: age < 1200)
    (line,) = deleting().cancel(client_of(service))
    assert line == f"Asked to delete workspace {ONE}, since nobody waits for it any more."
    deletions = [age for call, age in service.calls if call == "delete 1"]
    assert (len(deletions), 1200 <= deletions[-1] <= 1260) == (2, True)
    assert len(service.calls) < 25


def test_a_creation_without_end_is_left_after_an_hour_and_it_is_said(clock: SimpleNamespace) -> None:
    service = Workspaces(clock, lambda _: "creating", lambda _: True)
    (line,) = deleting().cancel(client_of(service))
    assert line == f"Workspace {ONE} cannot be deleted at this moment, so it may be left running: not now"
    assert 3600 <= clock.time() - T0 < 3700


def test_the_service_may_refuse_for_a_while_after_a_long_creation(clock: SimpleNamespace) -> None:
    service = Workspaces(clock, lambda age: "creating" if age < 3000 else "running", lambda age: age < 3100)
    (line,) = deleting().cancel(client_of(service))
    assert line.startswith("Asked to delete")


@pytest.mark.parametrize(
    "error",
    [
        ConflictError("409", service="workspace", method="POST", path="x"),
        ServiceUnavailableError("Queue is full", status=503),
        BudgetWaitError("the budget is used up"),
        OutcomeUnknownError("the answer was lost", service="workspace", method="POST", path="x"),
        ServerError("502", service="workspace", method="DELETE", path="x"),
    ],
)
@pytest.mark.parametrize("undo", ["pause", "delete"])
def test_what_was_not_taken_or_may_not_have_been_is_asked_for_again(
    clock: SimpleNamespace, error: Exception, undo: str
) -> None:
    service = Workspaces(clock, lambda _: "running", lambda age: error if age < 100 else False)
    (line,) = (pausing() if undo == "pause" else deleting()).cancel(client_of(service))
    assert line.startswith(f"Asked to {undo}")


@pytest.mark.parametrize("status", ["paused", "pausing"])
def test_a_pause_whose_answer_was_lost_and_that_can_be_seen_is_not_asked_for_again(
    clock: SimpleNamespace, status: str
) -> None:
    up = [action("resume", "success")]
    down = workspace(status, *up, action("pause", "success" if status == "paused" else "pending", 9.0, "pause"))
    lost = OutcomeUnknownError("the answer was lost", service="workspace", method="POST", path="x")
    service = Workspaces(clock, lambda age: down if age else workspace("running", *up), lambda _: lost)
    (line,) = pausing().cancel(client_of(service))
    assert line.endswith("paused already.")
    assert [call for call, _ in service.calls] == ["look", "pause 1", "look"]


@pytest.mark.parametrize("wait_for", [1200.0, 3000.0])
def test_a_service_that_takes_nothing_is_asked_for_up_to_an_hour_once_a_minute(
    clock: SimpleNamespace, wait_for: float
) -> None:
    down = ServiceUnavailableError("Under maintenance", status=503)
    service = Workspaces(clock, lambda _: "running", lambda age: down if age < wait_for else False)
    (line,) = pausing().cancel(client_of(service))
    assert line.startswith("Asked to pause")
    assert wait_for <= clock.time() - T0 < wait_for + 61
    assert len(service.calls) < 2 * (wait_for / 60 + 2)


def test_a_service_that_never_takes_anything_is_left_after_an_hour_and_it_is_said(clock: SimpleNamespace) -> None:
    service = Workspaces(clock, lambda _: "running", lambda _: BudgetWaitError("the budget is used up"))
    (line,) = pausing().cancel(client_of(service))
    assert line.endswith("so it may be left running: the budget is used up")
    assert 3600 <= clock.time() - T0 < 3700


def test_one_that_takes_long_does_not_use_up_the_patience_for_the_others(clock: SimpleNamespace) -> None:
    service = Workspaces(clock, lambda _: "resuming", lambda age: age < 300)
    refuse = service.pause

    def pause(id_: str) -> None:
        if id_ == ONE:
            # The request waits for a full queue.
            clock.sleep(200)
        else:
            refuse(id_)

    service.pause = pause  # type: ignore[method-assign]
    wait = WorkspaceWait([TWO, ONE], action="resume", undo="pause")
    assert [line.startswith("Asked to pause") for line in wait.cancel(client_of(service))] == [True, True]


@pytest.mark.parametrize("status", ["running", ServerError("500", service="workspace", method="GET", path="x")])
def test_what_is_refused_for_another_reason_is_left_after_three_minutes(clock: SimpleNamespace, status: Any) -> None:
    service = Workspaces(clock, lambda _: status, lambda _: True)
    (line,) = deleting().cancel(client_of(service))
    assert "may be left running" in line
    assert 180 <= clock.time() - T0 < 200


@pytest.mark.parametrize("wait", [pausing(), deleting()])
def test_a_process_that_ends_asks_once_and_looks_at_nothing(clock: SimpleNamespace, wait: WorkspaceWait) -> None:
    service = Workspaces(clock, lambda _: "creating", lambda _: True)
    (line,) = wait.cancel(client_of(service, ending=True))
    assert "may be left running" in line
    assert (len(service.calls), clock.time()) == (1, T0)


def test_what_is_gone_or_forbidden_is_not_tried_again(clock: SimpleNamespace) -> None:
    for error, text in (
        (NotFoundError("404", service="workspace", method="POST", path="x"), "is gone already"),
        (
            ForbiddenError("403", service="workspace", method="POST", path="x"),
            "is not paused, look at it in the portal",
        ),
    ):
        (line,) = pausing().cancel(client_of(Workspaces(clock, lambda _: "running", lambda _, e=error: e)))
        assert text in line
    assert clock.time() == T0


def test_each_step_tells_what_is_new(clock: SimpleNamespace) -> None:
    service = Workspaces(clock, lambda _: "resuming", lambda age: age < 30)
    steps = []
    for lines, pause in pausing().cancelling(client_of(service)):
        steps.append((lines, pause))
        clock.sleep(pause)
    assert [pause for _, pause in steps] == [10.0, 10.0, 10.0, 0.0]
    assert [len(lines) for lines, _ in steps] == [1, 0, 0, 1]
    assert "cannot be paused yet" in steps[0][0][0]


def test_nothing_to_undo_is_one_empty_step(clock: SimpleNamespace) -> None:
    wait = WorkspaceWait([ONE], action="pause")
    assert list(wait.cancelling(client_of(Workspaces(clock, lambda _: "running")))) == [([], 0.0)]
    assert wait.cancel(client_of(Workspaces(clock, lambda _: "running"))) == []


def test_who_resumed_it_since_keeps_it(clock: SimpleNamespace) -> None:
    again = workspace("running", action("resume", "failed"), action("resume", "success", 90.0, "theirs"))
    service = Workspaces(clock, lambda _: again)
    (line,) = pausing().cancel(client_of(service))
    assert line == f"Workspace {ONE} was resumed by somebody else since, so it is left alone."
    assert [call for call, _ in service.calls] == ["look"]


@pytest.mark.parametrize(
    "history",
    [
        [action("resume", "failed")],
        [action("resume", "success"), action("pause", "success", 9.0, "theirs")],
        [action("resume", "success", -90.0)],
    ],
)
def test_what_is_paused_already_needs_no_pause(clock: SimpleNamespace, history: list[dict[str, Any]]) -> None:
    service = Workspaces(clock, lambda _: workspace("paused", *history))
    (line,) = pausing(before={ONE: ["old"]}).cancel(client_of(service))
    assert line == f"Workspace {ONE} is paused already."
    assert [call for call, _ in service.calls] == ["look"]


@pytest.mark.parametrize(
    ("status", "history"),
    [
        # Each may be what was there before the resume, read late.
        ("paused", []),
        ("paused", [action("resume", "pending")]),
        ("paused", [action("resume", "success", 0.0)]),
        ("pausing", [action("pause", "pending", -60.0, "before")]),
    ],
)
def test_what_may_be_an_old_status_does_not_keep_a_machine_on(
    clock: SimpleNamespace, status: str, history: list[dict[str, Any]]
) -> None:
    service = Workspaces(clock, lambda _: workspace(status, *history))
    (line,) = pausing().cancel(client_of(service))
    assert line.startswith("Asked to pause")


OLD = action("resume", "success", -3600.0, "old")
NEW = action("resume", "pending", 2.0, "new")
NEWER = action("resume", "pending", 60.0, "newer")


@pytest.mark.parametrize(
    ("history", "before", "overtaken"),
    [
        ([], [], False),
        ([OLD], ["old"], False),
        ([OLD, NEW], ["old"], False),
        ([OLD, NEW, NEWER], ["old"], True),
        ([NEW, NEWER], ["old"], True),
        ([OLD, NEW], [], False),
        ([OLD, NEW, NEWER], [], True),
        ([NEW, action("pause", "pending", 60.0, "pause")], [], False),
    ],
)
def test_overtaken(history: list[dict[str, Any]], before: list[str], overtaken: bool) -> None:
    assert is_overtaken(workspace("running", *history), "resume", before, T0) is overtaken


@pytest.mark.parametrize(
    ("found", "age", "outdated"),
    [
        (workspace("paused", action("resume", "success", 0.0)), 20.0, True),
        (workspace("running", action("pause", "success", 0.0)), 20.0, True),
        (workspace("paused", action("resume", "success", 0.0)), 61.0, False),
        (workspace("paused", action("pause", "success", 0.0)), 20.0, False),
        (workspace("paused", action("resume", "failed", 0.0)), 20.0, False),
        (workspace("deleted", action("pause", "success", 0.0)), 20.0, False),
        (workspace("paused", action("update_nsgs", "success", 0.0)), 20.0, False),
        (workspace("paused"), 20.0, False),
    ],
)
def test_outdated(found: dict[str, Any], age: float, outdated: bool) -> None:
    assert is_outdated(found, T0 + age) is outdated


@pytest.mark.parametrize(
    ("found", "options", "state"),
    [
        (workspace("running"), {}, "done"),
        (workspace("running"), {"not_before": T0 + 1}, "waiting"),
        (workspace("running"), {"not_before": T0}, "done"),
        (workspace("resuming"), {}, "waiting"),
        (workspace("running", NEW), {}, "waiting"),
        (workspace("dozing"), {}, "done"),
        (workspace("dozing", allowed_actions=[]), {"then": "pause"}, "waiting"),
        (workspace("dozing", allowed_actions=["pause"]), {"then": "pause"}, "done"),
        (workspace("paused", allowed_actions=[]), {"then": "pause"}, "done"),
        (None, {"not_before": T0 + 1}, "done"),
    ],
)
def test_settled(clock: SimpleNamespace, found: Any, options: dict[str, Any], state: str) -> None:
    assert WorkspaceWait([ONE], action="settle", **options).judge(ONE, found).state == state


def test_a_change_that_is_over_shows_what_is_there_as_far_as_that_is_told(clock: SimpleNamespace) -> None:
    done = action("update_nsgs", "success")
    rules, volumes = ["in tcp 1 2 0.0.0.0/0 mutable"], [{"id": TWO, "name": "v", "index": 0}]
    for kind, more, shows in (
        ("update_nsgs", {"network_security_group_rules": rules}, {"network_security_group_rules": rules}),
        ("update_nsgs", {}, None),
        ("update_storages", {"meta": {"storages": volumes}}, {"meta": {"storages": [{"id": TWO}]}}),
        ("update_storages", {"meta": {}}, None),
        ("resume", {"network_security_group_rules": rules}, None),
    ):
        found = workspace("running", {**done, "type": kind}, **more)
        seen = WorkspaceWait([ONE], action=kind, sent={ONE: T0}).judge(ONE, found)
        assert (seen.state, seen.result.get("shows")) == ("done", shows)


@pytest.mark.parametrize(
    ("status", "deleted_for", "fetched"),
    [
        ("failed", (), 1),
        ("failed", ("ADMIN",), 1),
        # A status that lags behind the deletion.
        ("failed", ("API",), 0),
        ("deleting", (), 1),
        ("deleting", ("ADMIN",), 1),
        ("deleting", ("API",), 0),
        ("running", (), 0),
    ],
)
def test_the_log_of_a_failed_creation_is_fetched_unless_somebody_deletes_it(
    status: str, deleted_for: tuple[str, ...], fetched: int
) -> None:
    asked: list[str] = []
    history = [action("create", "failed"), *(action("delete", "pending", 9.0) | {"reason": why} for why in deleted_for)]
    box = workspace(status, *history)
    calls = SimpleNamespace(look=lambda ids: dict.fromkeys(ids, box), logs=lambda id_: asked.append(id_) or "no disk")
    found = WorkspaceWait.look(SimpleNamespace(workspaces=calls), [ONE])
    assert len(asked) == fetched
    assert ("provisioning_log" in found[ONE]) == bool(fetched)
