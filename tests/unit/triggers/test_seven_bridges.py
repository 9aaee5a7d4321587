"""The Seven Bridges triggers: what they are made of, what many of them cost together, and what a kill does."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesAbortTaskOperator,
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
)
from airflow_src_provider.sensors.seven_bridges import SevenBridgesJobSensor, SevenBridgesTaskSensor
from airflow_src_provider.triggers import seven_bridges as triggers
from airflow_src_provider.triggers.base import WaitTrigger
from tests.unit.fakes import make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, PROJECT, RESULTS, VOLUME, SbWorld, sb, sb_sandbox

__all__ = ["sb", "sb_sandbox"]


def submit(sb: SbWorld, run_id: str = "run", **more: Any) -> tuple[BaseOperator, Any]:
    operator = SevenBridgesSubmitTaskOperator(
        task_id="salmon",
        name="salmon",
        project=ARCHIVE,
        app=APP,
        inputs={"reads": archive_ids(sb, 2)},
        **{"deferrable": True, "check_inputs": False, **more},
    )
    return operator, make_context(run_id=run_id)


def trigger_of(operator: BaseOperator, context: Any = None) -> WaitTrigger:
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(make_context() if context is None else context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, WaitTrigger)
    return trigger


def all_triggers(sb: SbWorld) -> dict[str, WaitTrigger]:
    ids = archive_ids(sb, 4)
    task = sb.run(*submit(sb, wait_for_completion=False))["task_id"]
    imports = SevenBridgesImportFilesOperator(
        task_id="i", volume=VOLUME, prefix="run1/", pattern="S000*", project=PROJECT, deferrable=True
    )
    exports = SevenBridgesExportFilesOperator(
        task_id="e", files=ids, volume=VOLUME, prefix="out/", keep_on_platform=True, deferrable=True
    )
    copies = SevenBridgesCopyFilesOperator(task_id="c", files=ids, project=RESULTS, rename="a-{name}", deferrable=True)
    found = {
        "SevenBridgesImportTrigger": trigger_of(imports),
        "SevenBridgesExportTrigger": trigger_of(exports),
        "SevenBridgesAsyncJobTrigger": trigger_of(copies),
        "SevenBridgesTaskTrigger": trigger_of(SevenBridgesTaskSensor(task_id="s", tasks=task, deferrable=True)),
    }
    abort = SevenBridgesAbortTaskOperator(task_id="a", tasks=task, deferrable=True)
    sb.sandbox.advance(31)
    found["SevenBridgesTaskEndTrigger"] = trigger_of(abort)
    return found


def test_every_trigger_travels_through_the_database(sb: SbWorld) -> None:
    found = all_triggers(sb)
    assert {f"SevenBridges{name}Trigger" for name in ("Import", "Export", "AsyncJob", "Task", "TaskEnd")} == set(found)
    for name, trigger in found.items():
        path, arguments = trigger.serialize()
        assert path == f"airflow_src_provider.triggers.seven_bridges.{name}"
        again = getattr(triggers, name)(**deserialize(serialize(json.loads(json.dumps(arguments)))))
        assert again.serialize() == (path, arguments)
        assert "sandbox-sb" not in json.dumps(arguments), "a token in a trigger"


@pytest.mark.parametrize(("state", "aborts"), [("deferred", 0), ("failed", 1)])
def test_a_kill_aborts_the_task_but_a_moved_trigger_does_not(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch, state: str, aborts: int
) -> None:
    trigger = trigger_of(*submit(sb))
    monkeypatch.setattr(trigger, "_task_state", lambda: state)
    asyncio.run(trigger.on_kill())
    assert sb.effects().get("tasks_aborted_by_user", 0) == aborts


@pytest.mark.parametrize("operator", ["task sensor", "job sensor", "left alone"])
def test_a_kill_ends_only_what_the_task_started(sb: SbWorld, operator: str) -> None:
    task, context = submit(sb, wait_for_completion=False)
    started = sb.run(task, context)["task_id"]
    sensors: dict[str, Any] = {
        "task sensor": lambda: trigger_of(SevenBridgesTaskSensor(task_id="s", tasks=started, deferrable=True)),
        "job sensor": lambda: trigger_of(
            SevenBridgesJobSensor(
                task_id="s",
                kind="imports",
                jobs=sb.run(
                    SevenBridgesImportFilesOperator(
                        task_id="i",
                        volume=VOLUME,
                        prefix="run1/",
                        pattern="S0001*",
                        project=PROJECT,
                        wait_for_completion=False,
                    )
                ),
                deferrable=True,
            )
        ),
        "left alone": lambda: trigger_of(*submit(sb, run_id="other", cancel_on_kill=False)),
    }
    asyncio.run(sensors[operator]().on_kill())
    assert "tasks_aborted_by_user" not in sb.effects()


def test_many_waits_cost_what_their_ids_cost(sb: SbWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred and fifty waits for tasks of one connection are two calls a round, not a hundred and fifty."""
    caplog.set_level(logging.INFO)
    sb.sandbox.configure(sb={"task_running_seconds": 0.5, "task_queued_seconds": 0.1, "task_jitter": 0.0})
    waits = [trigger_of(*submit(sb, run_id=str(n))) for n in range(150)]
    sb.sandbox.advance(2)
    mark = sb.mark()

    async def all_events() -> list[Any]:
        async def event(trigger: WaitTrigger) -> Any:
            events = [one.payload async for one in trigger.run()]
            assert len(events) == 1
            return events[0]

        return await asyncio.gather(*(event(trigger) for trigger in waits))

    events = asyncio.run(all_events())
    assert [event["status"] for event in events] == ["success"] * 150
    assert {*sb.calls(mark)} == {"POST bulk/tasks/get"}
    assert sb.count(mark, polls=True) <= 4
