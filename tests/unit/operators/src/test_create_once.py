"""A workspace is made once per task run, and only what the run has made is taken for its own."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.src.workspaces import Workspaces
from airflow_src_provider.exceptions import ApiError, ForbiddenError, OutcomeUnknownError, RemoteWorkError
from airflow_src_provider.operators.src import SrcCreateWorkspaceOperator
from airflow_src_provider.retry import ResearchCloudRetryPolicy
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.src.test_create import BOTH_MODES, POST, boxes, create
from tests.unit.src_world import SrcWorld

LAST = {"try_number": 3}
MARK = re.compile(r"\[airflow [0-9a-f]{16}-[0-9a-f]{8}\]")


class Died(BaseException):
    """The end of a worker."""


def made(src: SrcWorld) -> list[str]:
    """Return the ids of those of our name, oldest first."""
    with src.sandbox.app.lock:
        return [one.id for one in src.world.workspaces.values() if one.name == "box" and one.kind == "Compute"]


def lose(src: SrcWorld, when: str) -> None:
    src.sandbox.fault(service="src", method="POST", path="workspaces/$", action="close", when=when)


def hide(src: SrcWorld, id_: str, times: int | None, **answer: Any) -> None:
    answer = answer or {"json": {"detail": "Not found."}}
    src.sandbox.fault(service="src", method="GET", path=id_, action="status", status=404, times=times, **answer)


def die_at(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Let the worker die before or after its next request for a workspace."""
    original = Workspaces.create

    def dying(self: Workspaces, body: Any) -> Any:
        monkeypatch.setattr(Workspaces, "create", original)
        if when == "after":
            original(self, body)
        raise Died

    monkeypatch.setattr(Workspaces, "create", dying)


@BOTH_MODES
@pytest.mark.parametrize("later", [5.0, 80.0])
def test_what_a_retry_knows_and_does_not_see_yet_is_waited_for(src: SrcWorld, deferrable: bool, later: float) -> None:
    store = FakeStore()
    create().submit(make_context(store))
    src.sandbox.advance(later)
    hide(src, made(src)[0], times=1)
    result = src.run(create(deferrable=deferrable), make_context(store, try_number=2))
    assert (result["id"], result["status"], result["created"], src.calls()[POST]) == (*made(src), "running", True, 1)


def test_a_gateway_that_does_not_find_the_service_does_not_make_a_machine_vanish(src: SrcWorld) -> None:
    store = FakeStore()
    create().submit(make_context(store))
    src.sandbox.advance(900)
    hide(src, made(src)[0], times=1, text="Not Found")
    assert src.run(create(), make_context(store, try_number=2))["id"] == made(src)[0]
    assert boxes(src) == 1


def test_what_is_gone_is_made_again_and_again_only_once(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    create().submit(make_context(store))
    src.sandbox.advance(900)
    hide(src, made(src)[0], times=None)
    die_at(monkeypatch, "after")
    with pytest.raises(Died):
        src.run(create(), make_context(store, try_number=2))
    result = src.run(create(), make_context(store, try_number=3))
    assert (boxes(src), result["id"]) == (2, made(src)[1])


@pytest.mark.parametrize("other_run", ["two", "one"], ids=["another run", "another deployment"])
def test_a_retry_leaves_the_machine_of_another_run_alone(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, other_run: str
) -> None:
    store = FakeStore()
    die_at(monkeypatch, "before")
    with pytest.raises(Died):
        src.run(create(), make_context(store, run_id="one"))
    src.sandbox.advance(1800)
    other = src.run(create(), make_context(run_id=other_run))
    mine = src.run(create(), make_context(store, run_id="one", try_number=2))
    assert (mine["created"], made(src)) == (True, [other["id"], mine["id"]])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_not_found_in_the_machine_of_another_run(src: SrcWorld, when: str) -> None:
    other = src.run(create(wait_for_completion=False), make_context(run_id="one"))
    src.sandbox.advance(10)
    lose(src, when)
    mine = src.run(create(wait_for_completion=False), make_context(run_id="two"))
    assert made(src) == [other["id"], mine["id"]]


def test_a_volume_of_the_same_name_and_minute_is_not_the_machine(src: SrcWorld) -> None:
    volume = create(
        application_type="Storage",
        catalog_item="Storage volume",
        size="250 GB",
        lifetime=None,
        wait_for_completion=False,
    )
    src.run(volume, make_context(task_id="volume"))
    lose(src, "before")
    assert src.run(create())["id"] == made(src)[0]


def test_without_a_memory_the_mark_alone_is_looked_for(src: SrcWorld) -> None:
    other = src.run(create(wait_for_completion=False), make_context(run_id="other"))
    mine = src.run(create(wait_for_completion=False))
    again = src.run(create(wait_for_completion=False), make_context(FakeStore(), try_number=2))
    assert (again["id"], again["created"], made(src)) == (mine["id"], True, [other["id"], mine["id"]])


def test_a_clear_has_another_mark(src: SrcWorld) -> None:
    store = FakeStore()
    src.run(create(wait_for_completion=False), make_context(store))
    lose(src, "before")
    src.run(create(wait_for_completion=False), make_context(store, max_tries=4, try_number=3))
    assert boxes(src) == 2


def test_people_can_read_the_description(src: SrcWorld) -> None:
    src.run(create(description="for the course", wait_for_completion=False))
    shown = src.world.by_name("box").description
    assert MARK.sub("", shown) == "for the course "
    copy = SrcCreateWorkspaceOperator(task_id="copy", name="copy", from_workspace="box", lifetime=3600)
    src.sandbox.advance(1000)
    src.run(copy, make_context(task_id="copy"))
    copied = src.world.by_name("copy").description
    assert (len(MARK.findall(copied)), MARK.sub("", copied)) == (1, "for the course ")
    assert copied != shown


@pytest.mark.parametrize("when", ["before", "after"])
def test_without_descriptions_name_kind_and_time_have_to_do(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    src.world.add_workspace("box")
    src.world.add_workspace("box", kind="Storage", created_ago=0)
    original = Workspaces.list

    def mute(self: Workspaces, **options: Any) -> Any:
        return [{**one, "description": None} for one in original(self, **options)]

    monkeypatch.setattr(Workspaces, "list", mute)
    lose(src, when)
    assert src.run(create())["id"] == made(src)[1]
    assert len(made(src)) == 2


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("off", [-120.0, 120.0])
def test_the_clock_of_the_service_may_be_off(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, off: float, lost: bool
) -> None:
    original = Workspaces.create

    def elsewhere(self: Workspaces, body: Any) -> Any:
        answer = original(self, body)
        there = src.world.workspaces[answer["id"]]
        there.overrides["time_created"] = datetime.fromtimestamp(src.now() + off, UTC).isoformat()
        hide(src, there.id, times=2)
        if lost:
            raise OutcomeUnknownError("no answer")
        return answer | there.overrides

    monkeypatch.setattr(Workspaces, "create", elsewhere)
    assert src.run(create())["status"] == "running"
    assert boxes(src) == 1


# Killed.


def kill_in_look(src: SrcWorld, monkeypatch: pytest.MonkeyPatch, task: SrcCreateWorkspaceOperator) -> None:
    """Kill the task while it looks for a machine that is not listed yet."""
    original, looks = Workspaces.list, []

    def late(self: Workspaces, **options: Any) -> Any:
        looks.append(options)
        return [] if len(looks) == 1 else original(self, **options)

    def kill(seconds: float) -> None:
        src.sandbox.advance(900)
        task.on_kill()
        raise Died

    monkeypatch.setattr(Workspaces, "list", late)
    monkeypatch.setattr("airflow_src_provider.operators.src.creation.time.sleep", kill)


@pytest.mark.parametrize("cancel", [True, False])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_before_the_id_is_known(src: SrcWorld, monkeypatch: pytest.MonkeyPatch, when: str, cancel: bool) -> None:
    task = create(cancel_on_kill=cancel)
    kill_in_look(src, monkeypatch, task)
    lose(src, when)
    with pytest.raises(Died):
        src.run(task)
    assert [src.world.workspaces[id_].status for id_ in made(src)] == (
        [] if when == "before" else ["deleting"] if cancel else ["running"]
    )


def test_killed_before_the_id_is_known_and_the_service_silent(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create()
    warned: list[str] = []
    monkeypatch.setattr(task.log, "warning", lambda message, *values: warned.append(message % values))
    kill_in_look(src, monkeypatch, task)
    lose(src, "after")
    src.sandbox.fault(service="src", method="GET", path=r"workspaces/\?", action="status", status=403, json={}, times=1)
    with pytest.raises(Died):
        src.run(task)
    assert "look at it in the portal" in warned[-1]


@BOTH_MODES
def test_killed_before_the_id_is_written_down(src: SrcWorld, monkeypatch: pytest.MonkeyPatch, deferrable: bool) -> None:
    task = create(deferrable=deferrable)

    class Store(FakeStore):
        def set(self, key: str, value: Any, **more: Any) -> None:
            if key == "create":
                src.sandbox.advance(900)
                task.on_kill()
                raise Died
            super().set(key, value, **more)

    with pytest.raises(Died):
        src.run(task, make_context(Store()))
    assert src.effects("box") == {"create": 1, "delete": 1}


def died_after_the_request(src: SrcWorld, is_written_down: bool = True) -> FakeStore:
    store = FakeStore()
    create().submit(make_context(store))
    if not is_written_down:
        del store["create"]
    src.sandbox.advance(900)
    return store


@pytest.mark.parametrize("is_written_down", [True, False])
def test_killed_while_a_retry_looks_for_it(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, is_written_down: bool
) -> None:
    store, task = died_after_the_request(src, is_written_down), create()
    name = "look" if is_written_down else "list"
    original = getattr(Workspaces, name)

    def killed(self: Workspaces, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(Workspaces, name, original)
        task.on_kill()
        raise Died

    monkeypatch.setattr(Workspaces, name, killed)
    with pytest.raises(Died):
        src.run(task, make_context(store, try_number=2))
    assert src.effects("box") == {"create": 1, "delete": 1}


def test_killed_in_a_pause_of_a_retry_that_could_not_look(src: SrcWorld) -> None:
    store = died_after_the_request(src)
    answer = {"status": 503, "json": {"code": 0, "message": ["Maintenance"]}, "headers": {"Retry-After": "600"}}
    src.sandbox.fault(service="src", method="GET", action="status", **answer)
    with pytest.raises(TaskDeferred) as paused:
        create(deferrable=True).execute(make_context(store, try_number=2))
    path, arguments = paused.value.trigger.serialize()[1]["on_kill_of"]
    assert (path, arguments["wait"]["ids"]) == ("airflow_src_provider.triggers.src.SrcWorkspaceTrigger", made(src))
    assert arguments["wait"]["undo"] == "delete"


# Failed.


def forbid_a_look(src: SrcWorld) -> None:
    rule = {"service": "src", "method": "GET", "action": "status", "status": 403, "times": 1}
    src.sandbox.fault(**rule, json={"code": 403, "message": ["no"]})


@pytest.mark.parametrize(("context", "deleted"), [(LAST, True), ({"try_number": 2}, False)])
def test_what_a_last_try_cannot_look_at_is_deleted(src: SrcWorld, context: dict[str, int], deleted: bool) -> None:
    store = died_after_the_request(src)
    forbid_a_look(src)
    with pytest.raises(ForbiddenError):
        src.run(create(), make_context(store, **context))
    assert src.effects("box") == {"create": 1, **({"delete": 1} if deleted else {})}


@pytest.mark.parametrize("hopeless", [True, False])
def test_an_error_after_which_the_retry_policy_is_against_a_retry_is_the_end(src: SrcWorld, hopeless: bool) -> None:
    task = create(retries=2, retry_policy=ResearchCloudRetryPolicy() if hopeless else None)
    src.world.later(100, lambda: forbid_a_look(src))
    with pytest.raises(ForbiddenError):
        src.run(task)
    src.sandbox.advance(900)
    assert src.effects("box").get("delete", 0) == hopeless


def spoil(src: SrcWorld) -> None:
    def spoilt() -> None:
        there = src.world.by_name("box")
        there.busy, there.status = False, "unhealthy"

    src.world.plan("create", outcome="stuck")
    src.world.later(300, spoilt)


@BOTH_MODES
@pytest.mark.parametrize("cancel", [True, False])
def test_what_failed_for_good_is_deleted(src: SrcWorld, deferrable: bool, cancel: bool) -> None:
    spoil(src)
    with pytest.raises(RemoteWorkError, match="unhealthy"):
        src.run(create(deferrable=deferrable, cancel_on_kill=cancel), make_context(**LAST))
    assert src.effects("box") == {"create": 1, **({"delete": 1} if cancel else {})}


def test_what_failed_is_deleted_when_a_retry_would_not_know_it(src: SrcWorld) -> None:
    spoil(src)
    with pytest.raises(RemoteWorkError, match="unhealthy"):
        src.run(create(durable=False))
    assert src.effects("box") == {"create": 1, "delete": 1}


@BOTH_MODES
def test_what_failed_is_left_to_a_retry(src: SrcWorld, deferrable: bool) -> None:
    spoil(src)
    store = FakeStore()
    with pytest.raises(RemoteWorkError, match="unhealthy"):
        src.run(create(deferrable=deferrable), make_context(store))
    src.world.by_name("box").status = "running"
    assert src.run(create(deferrable=deferrable), make_context(store, **LAST))["created"]
    assert src.effects("box") == {"create": 1}


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("used", [True, False])
def test_a_wait_that_came_to_an_end_for_good_deletes_what_it_created(src: SrcWorld, used: bool, last: bool) -> None:
    if used:
        src.run(create(wait_for_completion=False), make_context(run_id="other"))
    task, context = create(deferrable=True, if_exists="use"), make_context(**(LAST if last else {}))
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    src.sandbox.advance(900)
    event = {"status": "error", "message": "no answer for an hour", "results": {}, "failed": {}, "pending": []}
    event["carry"] = deferred.value.trigger.carry  # type: ignore[attr-defined]
    with pytest.raises(RemoteWorkError, match="no answer"):
        task.resume_execution(deferred.value.method_name, {"event": event}, context)
    assert ("delete" in src.effects("box")) is (last and not used)


@pytest.mark.parametrize("last", [True, False])
def test_a_wait_in_the_worker_that_came_to_an_end_deletes_as_well(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Workspaces, "delete", lambda self, id_: asked.append(id_))
    src.sandbox.fault(
        service="src", method="GET", path="workspaces/.+", action="status", status=403, json={}, times=None
    )
    with pytest.raises(ApiError):
        src.run(create(), make_context(**(LAST if last else {})))
    assert asked == (made(src) if last else [])
