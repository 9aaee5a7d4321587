"""Whole tasks on a sandbox with a stepped clock: every try, every deferral, with whatever goes wrong on the way.

As in Airflow, each leg of a task (the first one, and each one after a deferral) starts with a new operator object and a
new context; only the task state store survives. Nothing waits for real: sleeping moves the sandbox's clock.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import json
import os
import pkgutil
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    TaskDeferred,
)
from requests.adapters import HTTPAdapter

import airflow_src_provider
from airflow_src_provider.exceptions import ResearchCloudError
from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.seven_bridges.switches import SevenBridgesSwitches
from airflow_src_provider.sandbox.src import SrcSwitches
from tests.unit.fakes import FakeStore, make_context
from tests.unit.triggers.virtual_loop import InlineExecutor, VirtualLoop

TRIES = 3
TYPED = (ResearchCloudError, AirflowException)
SERVICES = {"sb": "seven_bridges", "src": "surf_research_cloud"}
USERS = {"sb": "labuser", "src": "researcher1"}


class Killed(BaseException):
    """The process is gone; nothing of it goes on."""


@dataclass
class Outcome:
    """What became of a task."""

    result: Any = None
    error: BaseException | None = None
    tries: int = 0
    deferrals: int = 0
    first_call: int = 0
    calls: int = 0
    seconds: float = 0.0
    effects: Counter[str] = field(default_factory=Counter)
    errors: list[BaseException] = field(default_factory=list)
    #: Class names of the triggers that waited, and the requests (counted from 0) that were sent while one did.
    triggers: set[str] = field(default_factory=set)
    looks: list[int] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.error is None


class Stage:
    """A sandbox, one user of it, and a clock that both go by."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self._patch = monkeypatch
        self._kills: list[tuple[int, str]] = []
        self._sent = 0
        self._dead = False
        self._later: list[tuple[float, Callable[[], None]]] = []
        #: Changes an answer on its way back.
        self.alter: Callable[[Any, Any], Any] | None = None
        #: What waits are jittered by.
        self.luck = int(os.environ.get("FAULTS_SEED") or 0)
        self._bend_clocks()

    # Time.

    def now(self) -> float:
        return self.sandbox.clock.now()

    def sleep(self, seconds: float) -> None:
        assert seconds < 1e6, f"nobody waits {seconds} s"
        until = self.now() + max(0.0, seconds)
        for moment, do in sorted((one for one in self._later if one[0] <= until), key=lambda one: one[0]):
            self.sandbox.advance(max(0.0, moment - self.now()))
            do()
        self._later = [one for one in self._later if one[0] > until]
        self.sandbox.advance(max(0.0, until - self.now()))

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Have something happen in the world when so many seconds have gone by."""
        self._later.append((self.now() + seconds, do))

    def _bend_clocks(self) -> None:
        # What is imported later would keep the real clock.
        for found in pkgutil.walk_packages(airflow_src_provider.__path__, "airflow_src_provider."):
            if ".sandbox" not in found.name:
                importlib.import_module(found.name)
        from airflow_src_provider import remote
        from airflow_src_provider.client import budget, http, waiting
        from airflow_src_provider.client.stores import MemoryStore
        from airflow_src_provider.triggers import hub

        patch = self._patch
        bent = SimpleNamespace(
            time=self.now,
            monotonic=self.now,
            sleep=self.sleep,
            strftime=time.strftime,
            localtime=time.localtime,
            gmtime=time.gmtime,
            perf_counter=time.perf_counter,
        )
        for name, module in list(sys.modules.items()):
            ours = (
                name.startswith("airflow_src_provider.") and ".sandbox" not in name and not name.endswith("transport")
            )
            if ours and getattr(module, "time", None) is not None and getattr(module.time, "monotonic", None):
                patch.setattr(module, "time", bent)
        # A sensor that pokes sleeps in Airflow's own code.
        patch.setattr("airflow.sdk.bases.sensor.time", bent)
        for owner in (http.ApiSession, budget.Budget):
            defaults = owner.__init__.__kwdefaults__
            patch.setitem(defaults, "sleep", self.sleep)
            patch.setitem(defaults, "clock", self.now)
        patch.setattr(
            budget.BudgetSettings,
            "open_store",
            lambda settings, token: MemoryStore(settings.allowed, settings.window + settings.margin, self.now),
        )
        patch.setattr(budget, "_budgets", {})
        waits = functools.partial(waiting.wait_blocking, sleep=self.sleep, clock=self.now)
        patch.setattr(remote, "wait_blocking", waits)
        patch.setattr(hub, "_threads", InlineExecutor())
        patch.setattr(hub, "_epoch", self.now)
        send = HTTPAdapter.send
        stage = self

        def killable(adapter: Any, request: Any, **options: Any) -> Any:
            stage._sent += 1
            if (stage._sent, "before") in stage._kills:
                stage._die("before")
            answer = send(adapter, request, **options)
            if (stage._sent, "after") in stage._kills:
                stage._die("after")
            return answer if stage.alter is None else stage.alter(request, answer)

        patch.setattr(HTTPAdapter, "send", killable)

    # The world.

    def begin(self, service: str, switches: dict[str, Any] | None = None, **connection: Any) -> None:
        """Start the world anew, without faults, and with the same luck at every time."""
        from airflow_src_provider.client import budget

        random.seed(self.luck)
        self.sandbox.reset()
        self.sandbox.clear_faults()
        self.sandbox.configure(
            sb=asdict(SevenBridgesSwitches(limit_clock="virtual")), src=asdict(SrcSwitches(limit_clock="virtual"))
        )
        self.sandbox.configure(**{service: switches or {}})
        budget._budgets.clear()
        self._kills, self._sent, self._later, self.alter = [], 0, [], None
        for name in SERVICES:
            self.connect(name, **connection)

    def connect(self, service: str, token: str | None = None, **extra: Any) -> None:
        conn_id = {"sb": "SEVEN_BRIDGES_DEFAULT", "src": "SRC_DEFAULT"}[service]
        made = {
            "conn_type": SERVICES[service],
            "host": f"{self.sandbox.url}/{'v2' if service == 'sb' else 'v1'}",
            "password": token or self.sandbox.tokens[USERS[service]],
            "extra": {"read_timeout": 5, **extra},
        }
        self._patch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(made))

    def kill(self, request: int, moment: str) -> None:
        """Let the process that sends the n-th request from now on die ``before`` it leaves or ``after`` its answer."""
        self._kills.append((self._sent + request, moment))

    def _die(self, moment: str) -> None:
        self._dead = True
        raise Killed(f"{moment} request {self._sent}")

    def effects(self) -> Counter[str]:
        """Return what was done at the services so far."""
        found: Counter[str] = Counter(self.sandbox.counters()["effects"].get("sb", {}))
        with self.sandbox.app.lock:
            for id_, done in self.sandbox.state.src.world.effects.items():
                for name, count in dict(done).items():
                    found[f"{name} {self._name_of(id_)}"] += count
        return found

    def _name_of(self, id_: str) -> str:
        return str(self.sandbox.state.src.world.workspaces[id_].name)

    # The task.

    def play(
        self,
        make: Callable[[], BaseOperator],
        *,
        tries: int = TRIES,
        of: int = 0,
        store: FakeStore | None = None,
        first: int = 1,
    ) -> Outcome:
        """Run a task as Airflow does, up to so many tries of all that it has, the first with the number ``first``."""
        store = FakeStore() if store is None else store
        outcome = Outcome()
        began, outcome.first_call, before = self.now(), self._sent, self.effects()
        for number in range(first, first + tries):
            outcome.tries += 1
            try:
                outcome.result = self._try(make, store, number, outcome, of or tries)
                outcome.error = None
                break
            except (Exception, Killed) as error:
                outcome.error = error
                outcome.errors.append(error)
                if isinstance(error, AirflowFailException | AirflowSensorTimeout):
                    break
            self.sleep(60.0)
        outcome.seconds = self.now() - began
        outcome.calls = self._sent - outcome.first_call
        outcome.effects = self.effects() - before
        return outcome

    def _try(
        self, make: Callable[[], BaseOperator], store: FakeStore, number: int, outcome: Outcome, tries: int
    ) -> Any:
        def context() -> Any:
            return make_context(store, try_number=number, max_tries=tries - 1, retries=tries - 1)

        step: Callable[[], Any] = lambda: make().execute(context())  # noqa: E731
        while True:
            try:
                result = step()
            except TaskDeferred as deferred:
                outcome.deferrals += 1
                assert outcome.deferrals < 500, "deferred for ever"
                outcome.triggers.add(type(deferred.trigger).__name__)
                sent = self._sent
                event = self._event_of(deferred)
                outcome.looks += range(sent - outcome.first_call, self._sent - outcome.first_call)
                method = deferred.method_name
                step = functools.partial(self._resume, make, method, event, context())
            except AirflowRescheduleException as later:
                self.sleep(max(0.0, later.reschedule_date.timestamp() - self.now()))
                step = lambda: make().execute(context())  # noqa: E731
            else:
                json.dumps(result.xcom_value if isinstance(result, PokeReturnValue) else result)
                return result

    def _resume(self, make: Callable[[], BaseOperator], method: str, event: Any, context: Any) -> Any:
        return make().resume_execution(method, {"event": event}, context)

    def _event_of(self, deferred: TaskDeferred) -> Any:
        _, arguments = deferred.trigger.serialize()
        while True:
            trigger = type(deferred.trigger)(**json.loads(json.dumps(arguments)))
            try:
                return self._run(trigger)
            except Killed:
                # Another triggerer takes over.
                self.sleep(5.0)

    def _run(self, trigger: Any) -> Any:
        stage = self
        self._dead = False

        class Loop(VirtualLoop):
            @property
            def virtual(self) -> float:
                return self._virtual

            @virtual.setter
            def virtual(self, value: float) -> None:
                if stage._dead:
                    # Whatever swallowed the exception: a dead process does not go on.
                    stage._dead = False
                    raise Killed("the triggerer")
                if value > getattr(self, "_virtual", value):
                    stage.sleep(value - self._virtual)
                self._virtual = value

        async def main() -> Any:
            events = [event async for event in trigger.run()]
            assert len(events) == 1
            return json.loads(json.dumps(events[0].payload))

        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(main())

    # What is there in the end.

    def settle(self) -> None:
        """Let everything that was started come to its end."""
        self.sleep(20_000.0)

    def digest(self) -> Any:
        """Return what users would see, without ids and times."""
        self.settle()
        with self.sandbox.app.lock:
            return copy.deepcopy({"sb": self._digest_sb(), "src": self._digest_src()})

    def _digest_sb(self) -> Any:
        store = self.sandbox.state.sb.store
        files = Counter(
            (node.project, node.name, json.dumps(node.metadata, sort_keys=True)) for node in store.nodes.values()
        )
        tasks = Counter((task.name, str(task.status)) for task in store.tasks.values())
        objects = {name: sorted(volume.objects) for name, volume in store.volumes.items()}
        return {"files": dict(files), "tasks": dict(tasks), "objects": objects, "projects": sorted(store.projects)}

    def _digest_src(self) -> Any:
        return Counter(
            (one.name, one.status, one.wallet_id, tuple(sorted(one.rules)), tuple(sorted(one.storages)))
            for one in self.sandbox.state.src.world.workspaces.values()
        )
