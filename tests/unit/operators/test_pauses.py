"""A deferrable task that cannot go on gives its worker back, and begins anew where it was, within its time."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider import remote
from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.client.seven_bridges.waits import ABORT_AGAIN
from airflow_src_provider.exceptions import (
    BudgetWaitError,
    MaintenanceError,
    ServiceUnavailableError,
    WaitTimeoutError,
)
from airflow_src_provider.operators import base
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.seven_bridges import SevenBridgesSubmitTasksOperator
from airflow_src_provider.triggers.pause import PauseTrigger
from tests.unit.client.server import SteppedClock
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.test_base import CANCELLED, Client, JobWait, client, make
from tests.unit.operators.test_killed_early import ENDED, at_call, many, statuses
from tests.unit.sb_world import APP, ARCHIVE, SbWorld, sb, sb_sandbox

__all__ = ["client", "sb", "sb_sandbox"]


class Pausing:
    """Submits three things, each once, and hears "not now" before some of them."""

    def __init__(self, client: Client, errors: dict[int, Exception], **kwargs: Any) -> None:
        self.sent: list[int] = []
        self.errors = errors
        self.store = FakeStore()
        self.operator = make(client, deferrable=True, **kwargs)
        self.operator.submit = self.submit  # type: ignore[method-assign]

    def submit(self, context: Any) -> dict[str, Any]:
        ledger = Ledger(context, self.operator.durable)
        for number in range(3):
            ledger.once(f"part.{number}", lambda number=number: self.send(number), lambda: None)  # type: ignore[misc]
        return {"job": "j1"}

    def send(self, number: int) -> str:
        if error := self.errors.pop(number, None):
            raise error
        self.operator.client.session.calls += 1
        self.sent.append(number)
        return f"id {number}"

    def run(self) -> tuple[Any, list[float]]:
        """Run the task to its end; return its result, and how long its pauses were to be."""
        pauses = []

        def step() -> Any:
            return self.operator.execute(make_context(self.store))

        while True:
            try:
                return step(), pauses
            except TaskDeferred as deferred:
                path, kwargs = deferred.trigger.serialize()
                if path != "airflow_src_provider.triggers.pause.PauseTrigger":
                    raise
                pauses.append(kwargs["until"] - time.time())
                # The next worker is another process.
                self.operator.client.session.calls = 0
                payload = json.loads(json.dumps({"status": "success", "carry": kwargs["carry"]}))

                def step(method: str = deferred.method_name, payload: Any = payload) -> Any:
                    return self.operator.resume_execution(method, {"event": payload}, make_context(self.store))


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (BudgetWaitError("used up", retry_after=250.0), 250),
        (MaintenanceError("under maintenance", status=503, code=0), 60),
        (ServiceUnavailableError("queue full", status=503, retry_after=90.0), 90),
    ],
)
def test_a_worker_is_no_waiting_room(client: Client, error: Exception, pause: float) -> None:
    task = Pausing(client, {1: error})
    result, pauses = task.run()
    assert task.sent == [0, 1, 2], "what was done before the pause is not done again"
    assert pauses == [pytest.approx(pause, rel=0.15)]
    assert result["api_calls"] == 4
    assert client.session.patience == [60.0]


@pytest.mark.parametrize("kwargs", [{"deferrable": False}, {"durable": False}])
def test_who_cannot_go_on_later_waits_where_he_is(client: Client, kwargs: Any) -> None:
    task = Pausing(client, {1: BudgetWaitError("used up", retry_after=250.0)})
    for name, value in kwargs.items():
        setattr(task.operator, name, value)
    with pytest.raises(BudgetWaitError):
        task.run()
    assert client.session.patience == []


def test_pauses_come_to_an_end(client: Client) -> None:
    task = Pausing(client, {0: BudgetWaitError("used up", retry_after=250.0)}, timeout=100)
    with pytest.raises(BudgetWaitError):
        task.run()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppedClock:
    stepped = SteppedClock()
    names = {name: getattr(time, name) for name in ("strftime", "localtime")}
    bent = SimpleNamespace(time=stepped, monotonic=stepped, sleep=stepped.sleep, **names)
    for module in (base, remote):
        monkeypatch.setattr(module, "time", bent)
    return stepped


@pytest.fixture
def shown(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pause be able to say when it ends."""
    names = {name: getattr(time, name) for name in ("strftime", "localtime")}
    monkeypatch.setattr(base, "time", SimpleNamespace(time=sb.now, **names))


def event_of(deferred: TaskDeferred) -> Any:
    """Return what a task is told after a pause, as another process gets it."""
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_src_provider.triggers.pause.PauseTrigger"
    trigger = PauseTrigger(**json.loads(json.dumps({**arguments, "until": 0.0})))

    async def events() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(events())
    return json.loads(json.dumps(event))


def pause_of(call: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        call()
    assert type(deferred.value.trigger) is PauseTrigger
    return deferred.value


def test_a_pause_does_not_renew_the_time(client: Client, clock: SteppedClock) -> None:
    client.looks_needed = 10
    task = Pausing(client, {1: BudgetWaitError("used up", retry_after=900.0)}, timeout=1000)
    first = pause_of(lambda: task.operator.execute(make_context(task.store)))
    give_up_at = clock() + 1000
    assert first.timeout is not None
    assert first.timeout.total_seconds() > 1000, "a triggerer may be away for as long as the task may wait"
    clock.sleep(900)
    with pytest.raises(TaskDeferred) as waiting:
        task.operator.resume_execution("after_pause", {"event": event_of(first)}, make_context(task.store))
    assert waiting.value.trigger.serialize()[1]["deadline"] == give_up_at


def test_a_pause_after_a_wait_keeps_its_deadline(client: Client, clock: SteppedClock) -> None:
    client.looks_needed = 10
    with pytest.raises(TaskDeferred) as waiting:
        make(client, deferrable=True, timeout=1000).execute(make_context())
    carry = waiting.value.trigger.serialize()[1]["carry"]
    clock.sleep(500)
    task = make(client, deferrable=True, timeout=1000)
    client.errors = [ServiceUnavailableError("queue full", status=503)]
    task.finish = lambda *_: task.client.look(["next"])  # type: ignore[method-assign]
    event = {"status": "success", "results": {}, "failed": {}, "pending": [], "carry": carry}
    again = pause_of(lambda: task.resume_execution("execute_complete", {"event": event}, make_context()))
    assert again.trigger.serialize()[1]["carry"]["give_up_at"] == carry["deadline"]


def test_when_time_is_over_a_busy_service_does_not_give_more(
    client: Client, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: JobWait, client: Any) -> list[str]:
        raise MaintenanceError("under maintenance", status=503, code=0)

    monkeypatch.setattr(JobWait, "cancel", refuse)
    carry = {"job": "j1", "deadline": clock()}
    event = {"status": "timeout", "results": {}, "failed": {}, "pending": ["j1"], "carry": carry}
    task = make(client, deferrable=True)
    told: list[str] = []
    monkeypatch.setattr(task.log, "error", lambda message, *values: told.append(message % values))
    with pytest.raises(WaitTimeoutError):
        task.resume_execution("execute_complete", {"event": event}, make_context())
    assert told[0].endswith("may go on, look at it in the portal: j1")


def test_what_was_started_is_ended_when_the_next_try_would_come_too_late(client: Client, clock: SteppedClock) -> None:
    task = Pausing(client, {2: BudgetWaitError("used up", retry_after=250.0)}, timeout=100)
    send = task.send

    def send_and_say(number: int) -> str:
        done = send(number)
        task.operator.end_if_killed(JobWait([done]), task.operator.trigger_path)
        return done

    task.send = send_and_say  # type: ignore[method-assign]
    with pytest.raises(BudgetWaitError):
        task.run()
    assert [job for job, _ in CANCELLED] == ["id 1"]


def test_ending_much_does_not_keep_a_worker_for_each(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is maintenance when the time of four tasks is over: a request that waits by itself waits a quarter hour."""
    with pytest.raises(TaskDeferred) as waiting:
        many(sb, deferrable=True).execute(make_context(FakeStore()))
    arguments = waiting.value.trigger.serialize()[1]
    clock = SteppedClock()
    began = clock()
    monkeypatch.setitem(ApiSession.__init__.__kwdefaults__, "clock", clock)
    monkeypatch.setitem(ApiSession.__init__.__kwdefaults__, "sleep", clock.sleep)
    monkeypatch.setattr(remote, "time", SimpleNamespace(time=clock, monotonic=clock, sleep=clock.sleep))

    def turn(session: ApiSession, call: Any) -> None:
        raise MaintenanceError("not now", status=503, code=0)

    monkeypatch.setattr(ApiSession, "_wait_for_turn", turn)
    event = {"status": "timeout", "results": {}, "failed": {}, "pending": [], "carry": arguments["carry"]}
    with pytest.raises(WaitTimeoutError):
        many(sb, deferrable=True).resume_execution("execute_complete", {"event": event}, make_context(FakeStore()))
    assert clock() - began < remote.LOOK + ABORT_AGAIN


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("during", ["the next pause", "the look before it"])
def test_what_was_started_is_ended_when_killed_after_a_pause(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    store = FakeStore()
    busy = MaintenanceError("not now", status=503, code=0)
    at_call(monkeypatch, Tasks, "create", 3, lambda: busy)
    first = pause_of(lambda: many(sb, deferrable=True).execute(make_context(store)))
    task = many(sb, deferrable=True)

    def look() -> MaintenanceError:
        if during == "the look before it":
            task.on_kill()
        return busy

    monkeypatch.setattr(SevenBridgesSubmitTasksOperator, "submit", lambda *_: (_ for _ in ()).throw(look()))
    resume = {"event": event_of(first)}
    if during == "the look before it":
        with pytest.raises(MaintenanceError):
            task.resume_execution("after_pause", resume, make_context(store))
    else:
        second = pause_of(lambda: task.resume_execution("after_pause", resume, make_context(store)))
        monkeypatch.setattr("airflow_src_provider.triggers.base.WaitTrigger._task_state", lambda self: "failed")
        trigger = PauseTrigger(**second.trigger.serialize()[1])
        trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)  # type: ignore[assignment]
        asyncio.run(trigger.on_kill())
    assert (len(statuses(sb)), set(statuses(sb)) <= ENDED) == (2, True)


@pytest.mark.usefixtures("shown")
def test_what_needs_more_than_a_window_of_the_budget_is_done_all_the_same(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve look-ups before the first note, with ten requests in each window."""
    window, allowed = 300.0, 10
    left = allowed

    def turn(session: ApiSession, call: Any) -> None:
        nonlocal left
        if not left:
            if call.deadline - session._clock() < window:
                raise BudgetWaitError("used up", retry_after=window)
            sb.sleep(window)
            left = allowed
        left -= 1

    monkeypatch.setattr(ApiSession, "_wait_for_turn", turn)
    nodes = [node for node in sb.store.nodes.values() if node.project == ARCHIVE and node.name.endswith(".fastq.gz")]
    names = sorted(node.name for node in nodes)[:12]
    tasks = [{"name": name, "inputs": {"reads": {"project": ARCHIVE, "names": [name]}}} for name in names]

    def task() -> SevenBridgesSubmitTasksOperator:
        return SevenBridgesSubmitTasksOperator(
            task_id="many", project=ARCHIVE, app=APP, tasks=tasks, deferrable=True, wait_for_completion=False
        )

    store = FakeStore()
    patience = []
    pause = pause_of(lambda: task().execute(make_context(store)))
    for _ in range(5):
        patience.append(pause.trigger.serialize()[1]["carry"]["patient"])
        sb.sleep(window)
        left = allowed
        try:
            task().resume_execution("after_pause", {"event": event_of(pause)}, make_context(store))
        except TaskDeferred as deferred:
            pause = deferred
        else:
            break
    assert len(statuses(sb)) == len(names)
    assert patience[0], "nothing came of the first ten requests"


@pytest.mark.parametrize(
    ("error", "calls", "acted", "patient"),
    [
        (BudgetWaitError("used up", retry_after=250.0), 3, False, True),
        (BudgetWaitError("used up", retry_after=250.0), 0, False, False),
        (BudgetWaitError("used up", retry_after=250.0), 3, True, False),
        (MaintenanceError("under maintenance", status=503, code=0), 3, False, False),
    ],
)
def test_only_who_begins_in_vain_keeps_his_worker(
    client: Client, error: Exception, calls: int, acted: bool, patient: bool
) -> None:
    def submit(context: Any) -> Any:
        client.session.calls = calls
        if acted:
            task._announce()
        raise error

    task = make(client, deferrable=True)
    task.submit = submit  # type: ignore[method-assign]
    pause = pause_of(lambda: task.execute(make_context()))
    assert client.session.patience == [60.0]
    again = make(client, deferrable=True)
    again.resume_execution("after_pause", {"event": event_of(pause)}, make_context())
    assert client.session.patience == [60.0] if patient else [60.0, 60.0]
