"""What comes of a sensor does not depend on where the time passes."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_src_provider.client.src.waits import WorkspaceWait
from airflow_src_provider.exceptions import (
    ApiError,
    ForbiddenError,
    InvalidInputError,
    MaintenanceError,
    RemoteWorkError,
    ServerError,
)
from airflow_src_provider.operators.src import SrcDeleteWorkspaceOperator, SrcResumeWorkspaceOperator
from airflow_src_provider.sensors.src import SrcCapacitySensor, SrcWorkspaceSensor
from tests.unit.sensors.modes import MODES, JsonStore, context_of, every_mode, look, sense
from tests.unit.src_world import GPU_BOX, NO_GPU, SrcWorld, src, src_sandbox

__all__ = ["src", "src_sandbox"]

HOUR = 3600.0


def resume(src: SrcWorld, workspace: str = "gpu-box") -> None:
    src.run(SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, wait_for_completion=False))


def delete(src: SrcWorld, workspace: str = "gpu-box") -> None:
    src.run(SrcDeleteWorkspaceOperator(task_id="delete", workspace=workspace, wait_for_completion=False))


def set_status(src: SrcWorld, name: str, status: str) -> None:
    src.world.by_name(name).status = status


class Silent:
    """A service that gives no answer from some moment on."""

    def __init__(self, src: SrcWorld, patch: pytest.MonkeyPatch, error: ApiError, **spells: float) -> None:
        real, started = WorkspaceWait.look, src.now()
        begin, end = spells.get("begin", 0.0), spells.get("end", float("inf"))

        def answer(_: Any, client: Any, ids: Any) -> Any:
            if begin <= src.now() - started < end:
                raise error
            return real(client, ids)

        patch.setattr(WorkspaceWait, "look", classmethod(answer))


@every_mode
def test_a_name_stands_for_what_it_meant_at_first(src: SrcWorld, mode: str) -> None:
    delete(src)
    result = sense(src, SrcWorkspaceSensor, mode, workspace="gpu-box", states="deleted")
    assert result["status"] == "deleted"


@every_mode
def test_a_filter_stands_for_what_it_fitted_at_first(src: SrcWorld, mode: str) -> None:
    resume(src)
    wanted = {"name": "gpu-box", "status": ["paused", "resuming"]}
    assert sense(src, SrcWorkspaceSensor, mode, workspace=wanted)["ids"] == [GPU_BOX]


@every_mode
def test_what_was_there_once_need_not_be_there_together(src: SrcWorld, mode: str) -> None:
    second = src.world.add_workspaces(1, "another", status="paused")[0].name
    for after, name, status in (
        (40, "gpu-box", "running"), (100, "gpu-box", "paused"), (160, second, "running"), (200, second, "paused"),
    ):  # fmt: skip
        src.world.later(after, lambda name=name, status=status: set_status(src, name, status))
    result = sense(src, SrcWorkspaceSensor, mode, workspace=["gpu-box", second], timeout=600)
    assert {one["name"]: one["status"] for one in result["workspaces"]} == {"gpu-box": "running", second: "running"}


@every_mode
def test_what_failed_once_has_failed(src: SrcWorld, mode: str) -> None:
    src.world.later(40, lambda: set_status(src, "gpu-box", "unhealthy"))
    src.world.later(100, lambda: set_status(src, "gpu-box", "running"))
    src.world.later(160, lambda: set_status(src, NO_GPU, "running"))
    with pytest.raises(AirflowFailException, match="unhealthy"):
        sense(src, SrcWorkspaceSensor, mode, workspace=["gpu-box", NO_GPU], timeout=600)


@every_mode
@pytest.mark.parametrize("begin", [0.0, 50.0])
@pytest.mark.parametrize(("option", "ends"), [("", RemoteWorkError), ("soft_fail", AirflowSkipException),
                                              ("never_fail", AirflowSkipException)])  # fmt: skip
def test_an_hour_without_an_answer_ends_it(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str, begin: float, option: str, ends: type[Exception]
) -> None:
    Silent(src, monkeypatch, ServerError("down"), begin=begin)
    started = src.now()
    with pytest.raises(ends, match=None if option else "waiting came to an end: down"):
        sense(src, SrcWorkspaceSensor, mode, workspace=GPU_BOX, poke_interval=60, **({option: True} if option else {}))
    assert HOUR < src.now() - started < HOUR + 600


@every_mode
@pytest.mark.parametrize(
    ("error", "end"), [(ServerError("down"), 0.9 * HOUR), (MaintenanceError("back soon"), 9 * HOUR)]
)
def test_shorter_silence_and_maintenance_end_nothing(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str, error: ApiError, end: float
) -> None:
    Silent(src, monkeypatch, error, begin=50.0, end=end)
    src.world.later(1.8 * end, lambda: set_status(src, "gpu-box", "running"))
    assert sense(src, SrcWorkspaceSensor, mode, workspace=GPU_BOX, poke_interval=300)["status"] == "running"


@every_mode
def test_an_error_after_hours_of_maintenance_ends_nothing(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    Silent(src, monkeypatch, ServerError("starting"), begin=3 * HOUR, end=3 * HOUR + 600)
    Silent(src, monkeypatch, MaintenanceError("back soon"), begin=50.0, end=3 * HOUR)
    src.world.later(4 * HOUR, lambda: set_status(src, "gpu-box", "running"))
    assert sense(src, SrcWorkspaceSensor, mode, workspace=GPU_BOX, poke_interval=300)["status"] == "running"


@every_mode
def test_one_look_that_fails_ends_nothing_however_rare_the_looks_are(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    Silent(src, monkeypatch, ServerError("down"), begin=HOUR, end=2 * HOUR)
    src.world.later(2 * HOUR, lambda: set_status(src, "gpu-box", "running"))
    assert sense(src, SrcWorkspaceSensor, mode, workspace=GPU_BOX, poke_interval=4000)["status"] == "running"


@every_mode
@pytest.mark.parametrize("begin", [0.0, 50.0])
def test_a_refusal_ends_it(src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str, begin: float) -> None:
    Silent(src, monkeypatch, ForbiddenError("not yours"), begin=begin)
    with pytest.raises(RemoteWorkError, match="waiting came to an end: not yours"):
        sense(src, SrcWorkspaceSensor, mode, workspace=GPU_BOX)
    with pytest.raises(AirflowSkipException):
        sense(src, SrcWorkspaceSensor, mode, workspace=GPU_BOX, soft_fail=True)


@every_mode
@pytest.mark.parametrize(
    ("given", "plain", "soft"),
    [
        ({"workspace": "gpu-box", "timeout": 60}, AirflowSensorTimeout, AirflowSkipException),
        ({"workspace": "broken-box"}, AirflowFailException, AirflowSkipException),
        ({"workspace": "nobody's box"}, InvalidInputError, InvalidInputError),
        ({"workspace": "gpu-box", "src_conn_id": " "}, InvalidInputError, InvalidInputError),
    ],
)
def test_what_fails_skips_and_never_fails(
    src: SrcWorld, mode: str, given: dict[str, Any], plain: type[Exception], soft: type[Exception]
) -> None:
    for option, ends in (({}, plain), ({"soft_fail": True}, soft), ({"never_fail": True}, AirflowSkipException)):
        with pytest.raises(ends):
            sense(src, SrcWorkspaceSensor, mode, **given, **option)


@pytest.mark.parametrize("name", ["gpu-box", GPU_BOX])
def test_all_report_the_same_and_count_their_own_calls(src: SrcWorld, name: str) -> None:
    results, sent = {}, {}
    for mode in MODES:
        set_status(src, "gpu-box", "paused")
        src.world.later(100, lambda: set_status(src, "gpu-box", "running"))
        before = len(src.sandbox.journal())
        results[mode] = sense(src, SrcWorkspaceSensor, mode, workspace=name)
        sent[mode] = len(src.sandbox.journal()) - before
    calls = {mode: result.pop("api_calls") for mode, result in results.items()}
    assert results["poke"] == results["reschedule"] == results["deferrable"]
    assert calls["poke"] == calls["reschedule"] == sent["poke"] == sent["reschedule"]
    # The name and the first look; the others were the triggerer's.
    assert calls["deferrable"] == 1 + (name != GPU_BOX) < sent["deferrable"]


@pytest.mark.parametrize("mode", MODES)
def test_a_size_is_looked_up_once(src: SrcWorld, mode: str) -> None:
    def free() -> None:
        src.world.pick(src.world.flavours.values(), "name", "A10 - 2 GPU").free = 1

    src.world.later(300, free)
    before = src.calls()["GET workspaces/"] + src.calls()["GET workspaces/<id>/"]
    result = sense(src, SrcCapacitySensor, mode, workspace=NO_GPU)
    assert result["size"] == "A10 - 2 GPU"
    assert result["api_calls"] > 0
    assert src.calls()["GET workspaces/"] + src.calls()["GET workspaces/<id>/"] - before == 1


GIVES_UP = (AirflowRescheduleException, TaskDeferred)


@pytest.mark.parametrize("mode", ["reschedule", "deferrable"])
def test_a_retry_goes_on_with_the_same_and_a_clear_looks_anew(src: SrcWorld, mode: str) -> None:
    store = JsonStore()
    asked = {"workspace": {"name": ["gpu-box", NO_GPU], "status": "paused"}}
    with pytest.raises(GIVES_UP):
        look(src, SrcWorkspaceSensor, mode, context_of(src, store), **asked)
    set_status(src, "gpu-box", "running")
    if mode == "reschedule":
        with pytest.raises(GIVES_UP):
            look(src, SrcWorkspaceSensor, mode, context_of(src, store), **asked)
        set_status(src, "gpu-box", "paused")
        src.world.later(60, lambda: set_status(src, "gpu-box", "running"))
    set_status(src, NO_GPU, "running")
    retried = context_of(src, store, try_number=2)
    assert sense(src, SrcWorkspaceSensor, mode, retried, **asked)["count"] == 2
    cleared = context_of(src, store, try_number=3, max_tries=4)
    with pytest.raises(InvalidInputError, match="fits at least one"):
        sense(src, SrcWorkspaceSensor, mode, cleared, **asked)


@every_mode
def test_a_retry_does_not_get_more_time(src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    store = JsonStore()
    started = src.now()
    given = {"workspace": GPU_BOX, "timeout": 2 * HOUR, "poke_interval": 120}
    with monkeypatch.context() as patch:
        Silent(src, patch, ServerError("down"))
        with pytest.raises(RemoteWorkError):
            sense(src, SrcWorkspaceSensor, mode, context_of(src, store), **given)
    with pytest.raises(AirflowSensorTimeout):
        sense(src, SrcWorkspaceSensor, mode, context_of(src, store, try_number=2), **given)
    assert 2 * HOUR <= src.now() - started < 2 * HOUR + 300


@every_mode
def test_it_works_without_a_store(src: SrcWorld, mode: str) -> None:
    resume(src)
    context = context_of(src)
    del context["task_state_store"]
    assert sense(src, SrcWorkspaceSensor, mode, context, workspace="gpu-box")["status"] == "running"


@every_mode
def test_hundreds_of_ends_are_kept_in_records_of_moderate_size(src: SrcWorld, mode: str) -> None:
    boxes = src.world.add_workspaces(120, status="paused")
    for number, box in enumerate(boxes):
        src.world.later(20 + number, lambda box=box: setattr(box, "status", "running"))
    store = JsonStore()
    result = sense(src, SrcWorkspaceSensor, mode, context_of(src, store), workspace=[box.id for box in boxes])
    assert sorted(result["ids"]) == sorted(box.id for box in boxes)
    assert all(len(str(value)) < 65536 for value in store.values())


def test_a_timeout_too_long_for_a_date_is_no_trouble(src: SrcWorld) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        look(src, SrcWorkspaceSensor, "deferrable", context_of(src), workspace=GPU_BOX, timeout=10**13)
    timeout = deferred.value.timeout
    assert timeout is not None
    assert timeout.days < 4000


@every_mode
def test_the_time_of_a_worker_that_is_over_is_skipped(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def too_slow(_: Any) -> list[str]:
        raise AirflowTaskTimeout("execution_timeout")

    monkeypatch.setattr(SrcWorkspaceSensor, "find", too_slow)
    with pytest.raises(AirflowTaskTimeout):
        sense(src, SrcWorkspaceSensor, mode, workspace="gpu-box")
    with pytest.raises(AirflowSkipException):
        sense(src, SrcWorkspaceSensor, mode, workspace="gpu-box", soft_fail=True)


@every_mode
def test_looks_that_become_rarer_see_the_same_end(src: SrcWorld, mode: str) -> None:
    resume(src)
    options = {"exponential_backoff": True, "max_wait": 120}
    assert sense(src, SrcWorkspaceSensor, mode, workspace="gpu-box", **options)["status"] == "running"


@every_mode
def test_mapped_sensors_are_checked_when_they_are_unmapped(mode: str) -> None:
    given: dict[str, Any] = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
    with DAG("mapped", schedule=None):
        mapped = SrcWorkspaceSensor.partial(task_id="s", **given).expand(workspace=["gpu-box", ""])
    assert mapped.unmap({"workspace": "gpu-box"}).workspace == "gpu-box"
    with pytest.raises(InvalidInputError):
        mapped.unmap({"workspace": ""})
