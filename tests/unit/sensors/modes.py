"""A sensor in each of its modes, every look and every resumption by an object of its own, as by another process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.bases import sensor as airflow_sensor
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import SrcWorld

MODES = ("poke", "reschedule", "deferrable")
every_mode = pytest.mark.parametrize("mode", MODES)


class JsonStore(FakeStore):
    """A store that keeps what can be written as JSON."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        super().set(key, json.loads(json.dumps(value)))


def context_of(world: SrcWorld, store: FakeStore | None = None, **more: Any) -> Any:
    started = SimpleNamespace(start_date=datetime.fromtimestamp(world.now(), UTC))
    context = make_context(JsonStore() if store is None else store, **{"dag_run": started, **more})
    # Airflow's own limit is out of the way, which is not the same in every mode.
    context["ti"].get_first_reschedule_date = lambda _: None
    return context


def look(world: SrcWorld, kind: Any, mode: str, context: Any, **options: Any) -> Any:
    """Do what a worker does at first: all in the mode ``poke``, one look in the others."""
    given = {"task_id": "sensor", "poke_interval": 30, **options}
    task = kind(deferrable=True, **given) if mode == "deferrable" else kind(mode=mode, **given)
    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(monotonic=world.now, time=world.now, sleep=world.sleep)
        patch.setattr(airflow_sensor, "time", clock)
        return task.execute(context)


def sense(world: SrcWorld, kind: Any, mode: str, context: Any = None, **options: Any) -> Any:
    """Run a sensor to its end."""
    context = context_of(world) if context is None else context
    while True:
        try:
            return look(world, kind, mode, context, **options)
        except AirflowRescheduleException:
            world.sleep(options.get("poke_interval", 30))
        except TaskDeferred as deferred:
            event = world.event_of(deferred)
            task = kind(task_id="sensor", deferrable=True, **options)
            return task.resume_execution(deferred.method_name, {"event": event}, context)
