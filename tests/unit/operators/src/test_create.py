"""A workspace from names: resolved with few calls, created once, explained when it fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators.src import (
    SrcCreateWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcRebootWorkspaceOperator,
    SrcResumeWorkspaceOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import CO, GPU_BOX, WALLET, SrcWorld

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])
POST = "POST workspaces/"
BY_NAME: dict[str, Any] = {
    "name": "box",
    "collaboration": "Example Project",
    "wallet": "SRC account for Example Project",
    "catalog_item": "Ubuntu 22.04",
    "size": "2 Core- 16 GB RAM",
    "lifetime": timedelta(days=1),
}


def create(**options: Any) -> SrcCreateWorkspaceOperator:
    return SrcCreateWorkspaceOperator(task_id="create", **(BY_NAME | options))


def boxes(src: SrcWorld, name: str = "box") -> int:
    with src.sandbox.app.lock:
        return sum(one.name == name for one in src.world.workspaces.values())


def calls_before_post(src: SrcWorld) -> int:
    return [entry["method"] for entry in src.sandbox.journal()].index("POST")


@BOTH_MODES
def test_a_machine_is_created_from_names(src: SrcWorld, deferrable: bool) -> None:
    options: dict[str, Any] = {"storages": ["reference-data"], "networks": ["lab-network"], "ips": "lab-ip"}
    result = src.run(create(**options, os_flavour="Ubuntu 22.04", parameters={"username": "x"}, deferrable=deferrable))
    assert (result["name"], result["status"], result["user"], result["created"]) == ("box", "running", "ubuntu", True)
    assert result["ip"].startswith("198.18.")
    assert calls_before_post(src) <= 7
    made = src.world.by_name("box")
    assert made.storages == [src.id_of("reference-data")]
    assert made.end_time == pytest.approx(made.created + 86400, abs=2)
    assert boxes(src) == 1


def test_ids_cost_two_calls_before_the_request(src: SrcWorld) -> None:
    flavours = {one.name: one.id for one in src.world.flavours.values()}
    ids = {
        "collaboration": CO,
        "wallet": WALLET,
        "catalog_item": "5b2f8d1c-9ea1-4d46-8c20-4e3a1c7d8e55",
        "cloud": "5a1e7c0b-8d90-4c35-b1ff-3d2f0b6c7d44",
        "os_flavour": flavours["Ubuntu 22.04"],
        "size": flavours["2 Core- 16 GB RAM"],
        "storages": [src.id_of("reference-data")],
    }
    assert src.run(create(**ids))["status"] == "running"
    assert calls_before_post(src) == 2


@pytest.mark.parametrize(
    ("kind", "item", "more"),
    [("Storage", "Storage volume", {"size": "250 GB"}), ("Network", "Private network", {"size": None})],
)
def test_other_kinds_are_available_when_done(src: SrcWorld, kind: str, item: str, more: dict[str, Any]) -> None:
    result = src.run(create(application_type=kind, catalog_item=item, lifetime=None, **more))
    assert (result["status"], result["end_time"]) == ("available", None)


@BOTH_MODES
def test_a_failed_creation_is_explained_by_its_log(
    src: SrcWorld, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    src.world.plan("create", outcome="failed", error="Component docker failed.", seconds=100.0)
    with pytest.raises(RemoteWorkError, match=r"box: create failed: Component docker failed\."):
        src.run(create(deferrable=deferrable))
    assert "GET workspaces/<id>/logs/" in src.calls()


def test_the_log_goes_to_the_tasks_log(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    src.world.plan("create", outcome="failed", error="Component docker failed.", seconds=100.0)
    told: list[str] = []
    task = create()
    monkeypatch.setattr(task.log, "info", lambda message, *values: told.append(message % values if values else message))
    with pytest.raises(RemoteWorkError):
        src.run(task)
    assert any("fatal: Component docker failed." in line for line in told)
    pasted = next(line for line in told if "Resolved" in line)
    assert f"collaboration='{CO}'," in pasted
    assert "# 2 Core- 16 GB RAM" in pasted


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_looked_for(src: SrcWorld, when: str) -> None:
    src.sandbox.fault(service="src", method="POST", path="workspaces/$", action="close", when=when)
    result = src.run(create())
    assert (result["status"], boxes(src)) == ("running", 1)
    assert src.calls()[POST] == (2 if when == "before" else 1)


def test_a_namesake_from_before_is_not_taken_for_the_lost_one(src: SrcWorld) -> None:
    src.world.add_workspace("box")
    src.sandbox.fault(service="src", method="POST", path="workspaces/$", action="close", when="before")
    assert src.run(create())["created"]
    assert boxes(src) == 2


@pytest.mark.parametrize("died", ["before storing", "after storing"])
def test_a_retry_adopts_what_the_dead_worker_created(src: SrcWorld, died: str) -> None:
    store = FakeStore()
    create().submit(make_context(store))
    if died == "before storing":
        del store["create"]
    src.sandbox.advance(90)
    result = src.run(create(), make_context(store, try_number=2))
    assert (result["status"], result["created"], boxes(src), src.calls()[POST]) == ("running", True, 1, 1)


def test_running_it_twice_creates_once_and_a_clear_creates_again(src: SrcWorld) -> None:
    store = FakeStore()
    for _ in range(2):
        src.run(create(), make_context(store))
    assert boxes(src) == 1
    src.run(create(), make_context(store, max_tries=4))
    assert boxes(src) == 2


def test_a_retry_after_a_failed_creation_creates_again(src: SrcWorld) -> None:
    store = FakeStore()
    src.world.plan("create", outcome="failed", seconds=30.0)
    with pytest.raises(RemoteWorkError):
        src.run(create(), make_context(store))
    assert src.run(create(), make_context(store, try_number=2))["status"] == "running"


def test_what_exists_is_used_or_refused_if_asked_for(src: SrcWorld) -> None:
    there = src.world.add_workspace("box")
    result = src.run(create(if_exists="use"))
    assert (result["id"], result["created"]) == (there.id, False)
    with pytest.raises(RemoteWorkError, match="there is one already"):
        src.run(create(if_exists="fail"))
    assert src.calls()[POST] == 0


@BOTH_MODES
@pytest.mark.parametrize("doing", ["nothing", "pause", "resume", "reboot", "create"])
def test_what_exists_is_used_as_it_is_once_nothing_is_under_way(src: SrcWorld, deferrable: bool, doing: str) -> None:
    operators: dict[str, Any] = {
        "pause": SrcPauseWorkspaceOperator,
        "resume": SrcResumeWorkspaceOperator,
        "reboot": SrcRebootWorkspaceOperator,
    }
    if doing == "create":
        src.run(create(wait_for_completion=False), make_context(run_id="other"))
    else:
        src.world.add_workspace("box", status="paused" if doing in ("nothing", "resume") else "running")
    if doing in operators:
        src.run(operators[doing](task_id="other", workspace="box", wait_for_completion=False))
        src.sandbox.advance(5)
    result = src.run(create(if_exists="use", deferrable=deferrable))
    expected = "paused" if doing in ("nothing", "pause") else "running"
    assert (result["status"], result["created"], boxes(src)) == (expected, False, 1)


@BOTH_MODES
@pytest.mark.parametrize("status", ["unhealthy", "unknown"])
def test_what_cannot_be_used_is_no_workspace_to_use(src: SrcWorld, deferrable: bool, status: str) -> None:
    there = src.world.add_workspace("box", status="paused")
    src.run(SrcResumeWorkspaceOperator(task_id="other", workspace="box", wait_for_completion=False))
    src.sandbox.advance(5)
    src.world.later(30, lambda: there.overrides.update(status=status, workspace_actions=[]))
    with pytest.raises(RemoteWorkError, match=f"cannot be used: it is {status}"):
        src.run(create(if_exists="use", deferrable=deferrable))
    with pytest.raises(RemoteWorkError, match=f"there is one already .* it is {status}"):
        src.run(create(if_exists="use"))


@pytest.mark.parametrize("if_exists", ["use", "fail"])
def test_a_volume_of_that_name_is_no_machine(src: SrcWorld, if_exists: str) -> None:
    src.world.add_workspace("box", kind="Storage", status="available")
    result = src.run(create(if_exists=if_exists))
    assert (result["status"], result["created"]) == ("running", True)


@BOTH_MODES
def test_without_room_it_is_refused_waited_for_or_tried(src: SrcWorld, deferrable: bool) -> None:
    full = {"size": "A10 - 2 GPU", "deferrable": deferrable}
    with pytest.raises(RemoteWorkError, match="no room"):
        src.run(create(**full))
    with pytest.raises(RemoteWorkError, match="create failed"):
        src.run(create(**full, when_full="try"))
    src.world.later(300, lambda: setattr(src.world.pick(src.world.flavours.values(), "name", "A10 - 2 GPU"), "free", 1))
    before = src.calls()[POST]
    assert src.run(create(**full, when_full="wait"))["status"] == "running"
    assert src.calls()[POST] == before + 1


def test_an_existing_machine_is_copied_without_its_volumes(src: SrcWorld) -> None:
    task = SrcCreateWorkspaceOperator(task_id="copy", name="copy", from_workspace="gpu-box", lifetime=3600)
    assert src.run(task)["status"] == "running"
    made = src.world.by_name("copy")
    assert (made.size.name if made.size else None, made.storages) == ("A10 - 1 GPU", [])
    assert calls_before_post(src) == 1


def test_a_copy_can_wait_for_room(src: SrcWorld) -> None:
    src.world.later(300, lambda: setattr(src.world.pick(src.world.flavours.values(), "name", "A10 - 2 GPU"), "free", 1))
    task = SrcCreateWorkspaceOperator(
        task_id="copy", name="copy", from_workspace="big-gpu-box", lifetime=86400, when_full="wait"
    )
    started = src.now()
    assert src.run(task)["status"] == "running"
    assert src.now() - started > 300


@BOTH_MODES
def test_when_the_time_is_over_the_new_machine_is_deleted(src: SrcWorld, deferrable: bool) -> None:
    src.sandbox.configure(create_seconds=150.0)
    with pytest.raises(WaitTimeoutError):
        src.run(create(timeout=60, deferrable=deferrable))
    assert src.effects("box") == {"create": 1, "delete": 1}


@BOTH_MODES
def test_a_machine_that_is_created_for_long_is_deleted_when_it_can_be(
    src: SrcWorld, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests of an end have one time in common, in which the creation has to be over."""
    lasting = ApiSession.lasting

    def by_the_clock_of_the_sandbox(session: ApiSession, within: float) -> ApiSession:
        session = session.hasty(within)
        session._clock = src.now
        return lasting(session, within)

    monkeypatch.setattr(ApiSession, "lasting", by_the_clock_of_the_sandbox)
    src.sandbox.configure(create_seconds=1800.0)
    with pytest.raises(WaitTimeoutError):
        src.run(create(timeout=60, deferrable=deferrable))
    assert src.effects("box") == {"create": 1, "delete": 1}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "name"),
    ({"name": "..."}, "host_name"),
    ({"wallet": None}, "wallet"),
    ({"lifetime": None}, "one of them for Compute"),
    ({"end_time": "2030-01-01T00:00:00Z"}, "one of them"),
    ({"lifetime": None, "end_time": "soon"}, "time zone"),
    ({"application_type": "Storage"}, "none for the other kinds"),
    ({"application_type": "VM"}, "one of Compute"),
    ({"when_full": "hope"}, "one of refuse"),
    ({"if_exists": "overwrite"}, "one of create"),
    ({"host_name": "Not_Allowed"}, "lower case"),
    ({"parameters": {"script": "a\nb"}}, "one line"),
    ({"from_workspace": GPU_BOX}, "left out"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_refused_before_the_first_call(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        create(**options)


def test_an_end_that_has_passed_is_refused_by_the_task_and_not_by_the_dag(src: SrcWorld) -> None:
    task = create(lifetime=None, end_time="2020-01-01T00:00:00Z")
    with pytest.raises(InvalidInputError, match="not over yet"):
        src.run(task)
    assert not src.calls()


WRONG_NAMES = [
    ("collaboration", "'Example Project'"),
    ("wallet", "'SRC account for Example Project'"),
    ("catalog_item", "'Jupyter Notebook'"),
    ("cloud", "'Oracle Cloud'"),
    ("size", "'A10 - 1 GPU'"),
    ("os_flavour", "'Ubuntu 22.04'"),
]


@pytest.mark.parametrize(("parameter", "choice"), WRONG_NAMES)
def test_a_wrong_name_lists_the_choices_and_creates_nothing(src: SrcWorld, parameter: str, choice: str) -> None:
    with pytest.raises(InvalidInputError, match=choice) as error:
        src.run(create(**{parameter: "nonsense"}))
    assert error.value.parameter == parameter
    assert src.calls()[POST] == 0


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(st.sampled_from(["before", "after", "503"]), max_size=2))
def test_whatever_happens_to_the_answer_there_is_one_machine(src: SrcWorld, faults: list[str]) -> None:
    src.sandbox.reset()
    src.sandbox.clear_faults()
    for fault in faults:
        rule: dict[str, Any] = {"service": "src", "method": "POST", "path": "workspaces/$"}
        if fault == "503":
            rule |= {"action": "status", "status": 503, "json": {"code": 503, "message": ["Queue is full"]}}
        else:
            rule |= {"action": "close", "when": fault}
        src.sandbox.fault(**rule)
    task, store = create(), FakeStore()
    for number in range(1, 5):
        task = create()
        task.client.session._sleep = src.sleep
        try:
            src.run(task, make_context(store, try_number=number))
            break
        except Exception:
            src.sandbox.advance(300)
    assert boxes(src) == 1
