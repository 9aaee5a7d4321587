"""A sandbox with a stepped clock, in which waiting moves the clock instead of passing time."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.waiting import wait_blocking
from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.src import SrcSwitches, World
from airflow_src_provider.sandbox.src.seed import DEFAULT_SEED
from tests.unit.fakes import make_context
from tests.unit.triggers.virtual_loop import InlineExecutor, VirtualLoop

GPU_BOX = "0c5d2f1e-8b1a-4a57-9f0e-6e1f7a2b3c40"
CO = "7f1c2a9e-3b44-4d55-8e10-2a6d1c9b7e01"
WALLET = "2b8f0e54-6c8e-4a1f-9d7c-9f3f5b1c4a22"
NO_GPU = "big-gpu-box"


class SrcWorld:
    """One user's view of the sandbox, and a way to run tasks in it to their end."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.slept = 0.0
        self.deferrals = 0

    @property
    def world(self) -> World:
        world: World = self.sandbox.state.src.world
        return world

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.sandbox.advance(seconds)

    def now(self) -> float:
        return self.sandbox.clock.now()

    def status(self, name: str) -> str:
        with self.sandbox.app.lock:
            return self.world.by_name(name).status

    def id_of(self, name: str) -> str:
        return self.world.by_name(name).id

    def add_wallet(self, name: str) -> str:
        wallet = dataclasses.replace(self.world.wallets[WALLET], id="4d0b2a76-8e0a-4c3b-8f9e-1b5b7d3e6c44", name=name)
        self.world.wallets[wallet.id] = wallet
        return wallet.id

    def effects(self, name: str) -> dict[str, int]:
        """Return the accepted actions of a workspace."""
        with self.sandbox.app.lock:
            return dict(self.world.effects[self.world.by_name(name).id])

    def calls(self) -> Counter[str]:
        """Return the requests by method and path, ids left out."""
        found: Counter[str] = Counter()
        for entry in self.sandbox.journal():
            parts = ["<id>" if len(part) == 36 else part for part in entry["path"].split("/")[3:]]
            found[f"{entry['method']} {'/'.join(parts)}"] += 1
        return found

    def run(self, task: BaseOperator, context: Any = None) -> Any:
        """Run a task to its end, deferrals included."""
        context = make_context() if context is None else context
        try:
            return task.execute(context)
        except TaskDeferred as deferred:
            return self.resume(task, deferred, context)

    def resume(self, task: BaseOperator, deferred: TaskDeferred, context: Any) -> Any:
        """Run the triggers of a task, and the task after each of them."""
        while True:
            self.deferrals += 1
            event = self.event_of(deferred)
            try:
                return task.resume_execution(deferred.method_name, {"event": event}, context)
            except TaskDeferred as again:
                deferred = again

    def event_of(self, deferred: TaskDeferred) -> Any:
        path, arguments = deferred.trigger.serialize()
        assert path == f"{type(deferred.trigger).__module__}.{type(deferred.trigger).__qualname__}"
        trigger = type(deferred.trigger)(**json.loads(json.dumps(arguments)))
        world = self

        class Loop(VirtualLoop):
            @property
            def virtual(self) -> float:
                return self._virtual

            @virtual.setter
            def virtual(self, value: float) -> None:
                if value > getattr(self, "_virtual", value):
                    world.sandbox.advance(value - self._virtual)
                self._virtual = value

        async def main() -> Any:
            events = [event async for event in trigger.run()]
            assert len(events) == 1
            return json.loads(json.dumps(events[0].payload))

        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(main())


@pytest.fixture(scope="session")
def src_sandbox() -> Iterator[Sandbox]:
    with Sandbox(stepped=True) as sandbox:
        yield sandbox


@pytest.fixture
def src(src_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> SrcWorld:
    from airflow_src_provider import remote
    from airflow_src_provider.client.src import selection, waits
    from airflow_src_provider.operators import base
    from airflow_src_provider.operators.src import actions, changes, create, creation, decisions
    from airflow_src_provider.sensors import base as sensors_base
    from airflow_src_provider.sensors import src as src_sensors
    from airflow_src_provider.triggers import hub

    src_sandbox.reset({"src": DEFAULT_SEED})
    src_sandbox.clear_faults()
    src_sandbox.configure(src=dataclasses.asdict(SrcSwitches(limits=False)))
    world = SrcWorld(src_sandbox)
    real = {name: getattr(time, name) for name in ("strftime", "localtime")}
    clock = SimpleNamespace(time=world.now, monotonic=world.now, sleep=world.sleep, **real)
    operators = (base, actions, changes, create, creation, decisions)
    for module in (waits, selection, *operators, remote, sensors_base, src_sensors):
        monkeypatch.setattr(module, "time", clock)
    waiting = functools.partial(wait_blocking, sleep=world.sleep, clock=world.now)
    monkeypatch.setattr(remote, "wait_blocking", waiting)
    monkeypatch.setattr("airflow_src_provider.client.waiting.random.uniform", lambda a, b: (a + b) / 2)
    monkeypatch.setattr(hub, "_threads", InlineExecutor())
    monkeypatch.setattr(hub, "_epoch", world.now)
    monkeypatch.setenv("AIRFLOW_CONN_SRC_DEFAULT", connection(src_sandbox, "researcher1"))
    monkeypatch.setenv("AIRFLOW_CONN_SRC_OTHER", connection(src_sandbox, "researcher2"))
    return world


def connection(sandbox: Sandbox, user: str) -> str:
    return json.dumps(
        {
            "conn_type": "surf_research_cloud",
            "host": f"{sandbox.url}/v1",
            "password": sandbox.tokens[user],
            "extra": {"rate_limit": 1_000_000},
        }
    )
