"""Sensors of a Seven Bridges platform end alike, in whatever mode they wait."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
)
from airflow_src_provider.sensors.seven_bridges import SevenBridgesJobSensor, SevenBridgesTaskSensor
from tests.unit.fakes import make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, PROJECT, RESULTS, VOLUME, SbWorld, sb, sb_sandbox

__all__ = ["sb", "sb_sandbox"]

MODES = ("poke", "reschedule", "deferrable")
every_mode = pytest.mark.parametrize("mode", MODES)


def wait(sb: SbWorld, make: Any, mode: str, **more: Any) -> Any:
    """Run a sensor in a mode, as Airflow would."""
    given = {"task_id": "sensor", "poke_interval": 30, **more}
    if mode == "deferrable":
        return sb.run(make(deferrable=True, **given))
    if mode == "poke":
        return sb.run(make(**given))
    started = sb.now()
    context = make_context()
    while True:
        context["ti"].get_first_reschedule_date = lambda _: None
        try:
            return make(mode="reschedule", **given).execute(context)
        except AirflowRescheduleException:
            if sb.now() - started > given.get("timeout", 1e9):
                raise AirflowSensorTimeout("Airflow gives up") from None
            sb.sleep(30)


def start(sb: SbWorld, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"batch_input": "reads", "batch_by": ["metadata.sample_id"]}
    operator = SevenBridgesSubmitTaskOperator(
        task_id="salmon",
        name="salmon",
        project=ARCHIVE,
        app=APP,
        inputs={"reads": archive_ids(sb, 12)},
        wait_for_completion=False,
        **{**given, **more},
    )
    result: dict[str, Any] = sb.run(operator, make_context(run_id=str(more)))
    return result


def sensor(tasks: Any, **fixed: Any) -> Any:
    return lambda **more: SevenBridgesTaskSensor(tasks=tasks, **fixed, **more)


@every_mode
def test_batch_and_single_task(sb: SbWorld, mode: str) -> None:
    batch, single = start(sb), start(sb, batch_input=None, batch_by=None)
    result = wait(sb, sensor([batch["task_id"], single["task_id"]]), mode)
    assert (result["status"], result["completed"], result["failed"]) == ("COMPLETED", 7, 0)
    assert len(result["task_ids"]) == 7
    assert len(result["output_file_ids"]) >= 7


@every_mode
@pytest.mark.parametrize("parent_status", ["COMPLETED", "FAILED"])
def test_failed_children_fail_the_sensor_without_a_retry(sb: SbWorld, mode: str, parent_status: str) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 2, "batch_parent_on_partial_failure": parent_status})
    tasks = start(sb)
    with pytest.raises(AirflowFailException, match="S0001: FAILED"):
        wait(sb, sensor(tasks), mode)
    with pytest.raises(AirflowSkipException):
        wait(sb, sensor(tasks), mode, soft_fail=True)
    assert wait(sb, sensor(tasks, on_item_failure=2), mode)["failed"] == 2
    assert wait(sb, sensor(tasks, on_item_failure="skip"), mode)["completed"] == 4


@every_mode
def test_time_over(sb: SbWorld, mode: str) -> None:
    tasks = start(sb)
    with pytest.raises(AirflowSensorTimeout):
        wait(sb, sensor(tasks), mode, timeout=60)
    assert "tasks_aborted_by_user" not in sb.effects()


@every_mode
def test_children_are_listed_once_and_calls_are_counted(sb: SbWorld, mode: str) -> None:
    early = start(sb)["task_id"]
    sb.sleep(7200)
    late = start(sb, batch_input=None, batch_by=None, description="late")["task_id"]
    mark = sb.mark()
    result = wait(sb, sensor([early, late]), mode)
    assert result["completed"] == 7
    assert sb.calls(mark)["GET tasks"] == 1
    sent = sb.count(mark, polls=True)
    assert result["api_calls"] == (2 if mode == "deferrable" else sent)
    assert sent > 3


def test_a_template_stands_for_what_it_gave_at_first(sb: SbWorld) -> None:
    first, other = (
        start(sb, batch_input=None, batch_by=None, description=one)["task_id"] for one in ("first", "other")
    )
    context = make_context()
    context["ti"].get_first_reschedule_date = lambda _: None
    for task in (first, other):
        with pytest.raises(AirflowRescheduleException):
            SevenBridgesTaskSensor(task_id="sensor", tasks=task, mode="reschedule").execute(context)
    sb.sleep(7200)
    result = SevenBridgesTaskSensor(task_id="sensor", tasks=other, mode="reschedule").execute(context)
    assert result["task_ids"] == [first]


@every_mode
def test_a_task_that_is_not_there(sb: SbWorld, mode: str) -> None:
    with pytest.raises(AirflowFailException, match="7002"):
        wait(sb, sensor("0" * 8 + "-0000-0000-0000-" + "0" * 12), mode)


@every_mode
def test_trouble_on_the_way_ends_no_wait(sb: SbWorld, mode: str) -> None:
    tasks = start(sb)
    sb.sandbox.fault(service="sb", path="bulk/tasks/get", action="html", times=2)
    assert wait(sb, sensor(tasks), mode)["status"] == "COMPLETED"


def test_a_killed_sensor_leaves_the_work_alone(sb: SbWorld) -> None:
    tasks = start(sb)
    waiting = SevenBridgesTaskSensor(task_id="sensor", tasks=tasks, deferrable=True)
    with pytest.raises(TaskDeferred):
        waiting.execute(make_context())
    waiting.on_kill()
    assert "tasks_aborted_by_user" not in sb.effects()


@every_mode
def test_imports_and_exports(sb: SbWorld, mode: str) -> None:
    imports = sb.run(
        SevenBridgesImportFilesOperator(
            task_id="i", volume=VOLUME, prefix="run1/", pattern="S000*", project=PROJECT, wait_for_completion=False
        )
    )
    result = wait(sb, lambda **more: SevenBridgesJobSensor(kind="imports", jobs=imports, **more), mode)
    assert (result["completed"], len(set(result["file_ids"]))) == (18, 18)
    sb.sandbox.configure(sb={"fail_exports": "S0002_R1"})
    exports = sb.run(
        SevenBridgesExportFilesOperator(
            task_id="e",
            files=archive_ids(sb, 6),
            volume=VOLUME,
            prefix="out/",
            keep_on_platform=True,
            wait_for_completion=False,
        )
    )
    jobs = exports["job_ids"]
    with pytest.raises(AirflowFailException, match="1 of 6 failed"):
        wait(sb, lambda **more: SevenBridgesJobSensor(kind="exports", jobs=jobs, **more), mode)


@every_mode
def test_async_jobs(sb: SbWorld, mode: str) -> None:
    copies = sb.run(
        SevenBridgesCopyFilesOperator(
            task_id="c", files=archive_ids(sb, 120), project=RESULTS, rename="new-{name}", wait_for_completion=False
        )
    )
    result = wait(sb, lambda **more: SevenBridgesJobSensor(kind="copy", jobs=copies["job_ids"], **more), mode)
    assert (result["completed"], len(set(result["file_ids"]))) == (120, 120)
    with pytest.raises(AirflowFailException, match="57039"):
        wait(sb, lambda **more: SevenBridgesJobSensor(kind="move", jobs=copies["job_ids"], **more), mode)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SevenBridgesTaskSensor(task_id="s", tasks=[]),
        lambda: SevenBridgesTaskSensor(task_id="s", tasks="salmon"),
        lambda: SevenBridgesTaskSensor(task_id="s", tasks="0" * 36, on_item_failure="no"),
        lambda: SevenBridgesJobSensor(task_id="s", kind="uploads", jobs=["a"]),
        lambda: SevenBridgesJobSensor(task_id="s", kind="imports", jobs=[]),
        lambda: SevenBridgesJobSensor(task_id="s", kind="imports", jobs=["a/b"]),
        lambda: SevenBridgesJobSensor(task_id="s", kind="imports", jobs=["a"], deferrable="yes"),
    ],
)
def test_bad_input(make: Any) -> None:
    with pytest.raises(InvalidInputError):
        make()


def test_a_worker_is_no_waiting_room(sb: SbWorld) -> None:
    task = start(sb)["task_id"]
    maintenance = {"status": 503, "json": {"status": 503, "code": 0, "message": "maintenance"}}
    sb.sandbox.fault(service="sb", path="bulk/tasks/get", action="status", **maintenance)
    mark, deferrals = sb.mark(), sb.deferrals
    sensor = SevenBridgesTaskSensor(task_id="sensor", tasks=task, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(make_context())
    assert (sb.count(mark, polls=True), sb.deferrals) == (1, deferrals)
    assert sb.resume(sensor, deferred.value, make_context())["status"] == "COMPLETED"
