"""What a look at jobs and tasks means, whatever the service says."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import SevenBridgesClient, waits
from airflow_src_provider.client.seven_bridges.bulk import ItemError
from airflow_src_provider.client.waiting import Progress
from airflow_src_provider.exceptions import (
    ApiError,
    BadRequestError,
    BudgetWaitError,
    MaintenanceError,
    NotFoundError,
    ServerError,
    TokenRejectedError,
)
from tests.unit.client.fakes import Call, FakeSession

KINDS = [waits.ImportWait, waits.ExportWait, waits.AsyncJobWait, waits.TaskWait, waits.TaskEndWait]
GONE = ItemError(404, 7002, "no such task")
A, B = "a" * 24, "b" * 24
TASKS = [f"{n:08d}-0000-0000-0000-000000000000" for n in range(3)]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=8) | st.sampled_from(["COMPLETED", "FINISHED"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["state", "status", "result", "error", "resource", "batch", "outputs", "execution_status"])
            | st.sampled_from(
                ["id", "children", "code", "class", "path", "batch_group", "value", "failed_files", "errors"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("kind", KINDS)
@given(found=st.dictionaries(st.sampled_from(["id", "state", "status", "error", "result", "batch"]), anything))
@example(found={"state": "COMPLETED", "result": [None]})
@example(found={"state": "FINISHED", "result": 3})
@example(found={"state": "FINISHED", "result": [3, ["error"]]})
def test_no_answer_ends_a_wait_with_a_guess(kind: Any, found: dict[str, Any]) -> None:
    seen = kind(["x"]).judge("x", found)
    assert seen.state in ("waiting", "done", "failed")
    json.dumps(seen.result)
    word = str(found.get("status" if kind in (waits.TaskWait, waits.TaskEndWait) else "state")).strip().upper()
    if word not in ("COMPLETED", "FAILED", "ABORTED", "FINISHED"):
        assert seen.state == "waiting"


@pytest.mark.parametrize("kind", KINDS)
def test_silence_and_absence(kind: Any) -> None:
    assert kind(["x"]).judge("x", None).state == "waiting"
    assert kind(["x"]).judge("x", GONE) == kind(["x"]).judge("x", GONE)
    assert (kind(["x"]).judge("x", GONE).state, kind(["x"]).judge("x", GONE).text) == ("failed", "7002: no such task")


@pytest.mark.parametrize(("kind", "code"), [(waits.ImportWait, 9108), (waits.ExportWait, 9107)])
def test_what_is_there_already_may_count_as_done(kind: Any, code: int) -> None:
    found = {"state": "FAILED", "error": {"status": 409, "code": code, "message": "taken"}}
    assert kind(["x"]).judge("x", found).text == f"{code}: taken"
    seen = kind(["x"], skip_taken=True).judge("x", found)
    assert (seen.state, seen.result) == ("done", None)
    other = {"state": "FAILED", "error": {"code": 9105, "message": "no object"}}
    assert kind(["x"], skip_taken=True).judge("x", other).state == "failed"


def test_a_batch_is_judged_by_its_children() -> None:
    children = [
        {"id": "1", "status": "COMPLETED", "outputs": {"o": {"class": "File", "path": A}}},
        {
            "id": "2",
            "status": "FAILED",
            "batch_group": {"value": "S2", "fields": {}},
            "execution_status": {"message": "out of memory"},
            "errors": [{"message": "exit code 137"}],
        },
    ]
    counters = {"queued": 0, "running": 0, "completed": 1, "failed": 1, "aborted": 0}
    for status in ("COMPLETED", "FAILED"):
        parent = {"batch": True, "status": status, "execution_status": counters, "children": children}
        seen = waits.TaskWait(["x"]).judge("x", parent)
        assert seen.state == "done"
        assert seen.result == {
            "status": "FAILED",
            "children": ["1"],
            "failed": {"2": "S2: FAILED: out of memory; exit code 137"},
            "outputs": [A],
        }


def test_children_are_listed_once_and_only_when_nothing_moves_any_more() -> None:
    moving = {"id": TASKS[0], "batch": True, "status": "RUNNING", "execution_status": {"running": 1, "completed": 1}}
    ended = {"id": TASKS[1], "batch": True, "status": "FAILED", "execution_status": {"completed": 2}}
    single = {"id": TASKS[2], "batch": False, "status": "QUEUED", "execution_status": {"system_limit": True}}
    children = [{"id": "c1", "status": "COMPLETED"}, {"id": "c2", "status": "COMPLETED"}]
    session = FakeSession(
        {"items": [{"resource": task} for task in (moving, ended, single)]}, {"items": children, "links": []}
    )
    wait = waits.TaskWait(TASKS)
    progress = Progress(wait)
    line = progress.update(wait.look(SevenBridgesClient(session), TASKS))  # type: ignore[arg-type]
    assert session.last.query["parent"] == TASKS[1]
    assert session.calls == 2
    assert progress.pending == [TASKS[0], TASKS[2]]
    assert line is not None
    assert "1 of 2 children completed" in line
    assert "the platform's limit on machines" in line


@pytest.mark.parametrize("not_now", [BudgetWaitError("no room"), MaintenanceError("back soon", status=503)])
def test_batches_that_cannot_be_listed_just_now_keep_nobody_from_an_end(not_now: ApiError) -> None:
    """Or else a hundred that have ended would be listed from the first one on in each window, and never to the last."""
    batches = [
        {"id": id_, "batch": True, "status": "COMPLETED", "execution_status": {"completed": size}}
        for id_, size in zip(TASKS[:2], (900, 2), strict=True)
    ]
    single = {"id": TASKS[2], "status": "COMPLETED"}
    listed = {"items": [{"id": "c", "status": "COMPLETED"}], "links": []}
    session = FakeSession({"items": [{"resource": task} for task in (*batches, single)]}, listed, not_now)
    wait = waits.TaskWait(TASKS)
    progress = Progress(wait)
    line = progress.update(wait.look(SevenBridgesClient(session), TASKS))  # type: ignore[arg-type]
    assert list(progress.results) == TASKS[1:], "the largest is the last"
    assert (progress.pending, line) == (TASKS[:1], "2 done, 0 failed, 1 to go (ended, its children are not listed yet)")


def test_few_async_jobs_are_asked_for_one_by_one_and_many_by_listing() -> None:
    def job(number: int) -> dict[str, Any]:
        return {"id": str(number), "type": "COPY", "state": "FINISHED", "completed_files": 1, "result": []}

    session = FakeSession(job(1), job(2))
    waits.AsyncJobWait.look(SevenBridgesClient(session), ["copy/1", "copy/2"])  # type: ignore[arg-type]
    assert [call.path for call in session.sent] == ["/async/files/copy/1", "/async/files/copy/2"]
    session = FakeSession({"items": [job(n) for n in range(9)], "links": []})
    found = waits.AsyncJobWait.look(SevenBridgesClient(session), [f"copy/{n}" for n in range(5)])  # type: ignore[arg-type]
    assert (len(found), session.calls) == (5, 1)


def test_only_the_platform_itself_can_say_that_an_async_job_is_gone() -> None:
    session = FakeSession(NotFoundError("no such job", status=404, code=57039), NotFoundError("Not Found", status=404))
    found = waits.AsyncJobWait.look(SevenBridgesClient(session), ["copy/1", "copy/2"])  # type: ignore[arg-type]
    states = [waits.AsyncJobWait([id_]).judge(id_, found.get(id_)).state for id_ in ("copy/1", "copy/2")]
    assert states == ["failed", "waiting"]


def test_an_async_job_that_finished_may_have_failed() -> None:
    result = [{"resource": {"id": A, "name": "a"}}, {"error": {"status": 404, "code": 5002, "message": "gone"}}]
    found = {"state": "FINISHED", "completed_files": 1, "failed_files": "1", "result": result}
    seen = waits.AsyncJobWait(["copy/1"]).judge("copy/1", found)
    assert (seen.state, seen.result["failed"]) == ("done", 1)
    assert seen.result["entries"] == [{"id": A, "name": "a"}, {"error": "5002: gone"}]


def test_ending_a_task_that_has_ended_is_no_error() -> None:
    session = FakeSession(BadRequestError("too late", code=7011), ServerError("later"))
    client: Any = SevenBridgesClient(session)  # type: ignore[arg-type]
    text, again = waits.abort(client, TASKS[0])
    assert ("was not aborted" in text, again) == (True, False)
    text, again = waits.abort(client, TASKS[0])
    assert ("is not known" in text, again) == (True, True)


@pytest.mark.parametrize("look", [ServerError("oops", status=500), MaintenanceError("not now", status=503)])
def test_all_are_aborted_when_the_one_look_of_a_killed_process_fails(look: ApiError) -> None:
    answers = [{}, BadRequestError("it has ended", code=7011), ServerError("later")]
    by_path = {f"/tasks/{id_}/actions/abort": answer for id_, answer in zip(TASKS, answers, strict=True)}
    session = FakeSession(always=lambda call: by_path.get(call.path, look))
    session.ending = True  # type: ignore[attr-defined]
    lines = waits.TaskWait(TASKS).cancel(SevenBridgesClient(session))  # type: ignore[arg-type]
    # Side by side, so in any order.
    assert {call.path for call in session.sent[1:]} == set(by_path)
    assert [id_ in line for id_, line in zip(TASKS, lines[1:], strict=True)] == [True] * 3
    assert ("all are aborted" in lines[0], "is not known" in lines[3]) == (True, True)


def test_a_look_that_was_patient_is_not_followed_by_as_many_patient_aborts() -> None:
    session = FakeSession(MaintenanceError("not now", status=503))
    session.ending = False  # type: ignore[attr-defined]
    with pytest.raises(MaintenanceError):
        waits.TaskWait(TASKS).cancel(SevenBridgesClient(session))  # type: ignore[arg-type]
    assert session.calls == 1


class Outage:
    """A service that is away until some moment, and a clock that pauses move on."""

    def __init__(self, patch: pytest.MonkeyPatch, end: float, error: ApiError) -> None:
        self.now, self.end, self.error = 0.0, end, error
        self.session = FakeSession(always=self.answer)
        self.session.ending = False  # type: ignore[attr-defined]
        patch.setattr(waits, "time", SimpleNamespace(time=lambda: self.now))

    def answer(self, call: Call) -> Any:
        if self.now < self.end:
            raise self.error
        running = [{"resource": {"id": id_, "status": "RUNNING"}} for id_ in (call.json or {}).get("task_ids", ())]
        return {"items": running} if running else {}

    def kill(self, ids: list[str]) -> list[str]:
        said = []
        for lines, pause in waits.TaskWait(ids).cancelling(SevenBridgesClient(self.session)):  # type: ignore[arg-type]
            said += lines
            self.now += pause
        return said

    @property
    def aborted(self) -> list[str]:
        return [call.path.split("/")[2] for call in self.session.sent if call.path.endswith("abort")]


@pytest.mark.parametrize("ids", [TASKS, TASKS[:1]])
def test_an_outage_at_the_kill_leaves_no_task_running(monkeypatch: pytest.MonkeyPatch, ids: list[str]) -> None:
    outage = Outage(monkeypatch, 200.0, ServerError("bad gateway", status=502))
    said = outage.kill(ids)
    assert outage.aborted[-len(ids) :] == ids
    assert ("not known" in said[0], said[1:]) == (True, [f"Aborted task {id_}" for id_ in ids]), "each line once"


def test_an_abort_without_an_answer_is_tried_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(monkeypatch, 1e9, ServerError("bad gateway", status=502))
    assert "not known" in outage.kill(TASKS[:1])[-1]
    assert outage.now == 3600
    with pytest.raises(ServerError):
        outage.kill(TASKS)
    assert (outage.now, outage.aborted) == (7200, TASKS[:1] * 61)


@pytest.mark.parametrize("ids", [TASKS, TASKS[:1]])
def test_a_refused_abort_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, ids: list[str]) -> None:
    outage = Outage(monkeypatch, 1e9, TokenRejectedError("no", status=401))
    with contextlib.suppress(TokenRejectedError):
        outage.kill(ids)
    assert outage.session.calls == 1


def test_only_tasks_about_which_there_was_no_answer_are_aborted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage(monkeypatch, 0.0, ServerError("bad gateway", status=502))
    answer = outage.answer
    outage.session._always = lambda call: outage.error if TASKS[1] in call.path and not outage.now else answer(call)
    outage.kill(TASKS)
    assert outage.aborted == [*TASKS, TASKS[1]]


def test_files_at_any_depth() -> None:
    file = {"class": "File", "path": A, "secondaryFiles": [{"class": "File", "path": B}]}
    outputs = {"a": [[file], None, 3], "b": {"c": {"class": "Directory", "path": B}, "d": {"x": file}}}
    assert waits.output_files({"outputs": outputs}) == [A]
    assert [one["path"] for one in waits.files_in(outputs, ("Directory",))] == [B]
    assert waits.output_files({"outputs": None}) == []
