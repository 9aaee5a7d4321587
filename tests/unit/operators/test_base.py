"""What all operators share: check, submit, wait in either place, report; and what happens at the end of patience."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_src_provider.client.waiting import Seen, Wait
from airflow_src_provider.exceptions import (
    InvalidInputError,
    NotFoundError,
    RemoteWorkError,
    ServerError,
    WaitTimeoutError,
)
from airflow_src_provider.operators.base import RemoteOperator
from airflow_src_provider.triggers.base import WaitTrigger
from tests.unit.fakes import make_context


class Session:
    """What is known about the service; the urgent copy is another one."""

    def __init__(self) -> None:
        self.calls = 0
        self.looks_needed = 1
        self.errors: list[Exception] = []
        self.outcome = "done"
        self.patience: list[float] = []
        settings = SimpleNamespace(allowed=1000, window=0.0)
        self.budget = SimpleNamespace(settings=settings, used=lambda: 0)

    def urgent(self) -> Session:
        return Session()

    def yielding(self, max_wait: float) -> Session:
        return self

    def hasty(self, max_wait: float) -> Session:
        self.patience.append(max_wait)
        return self

    def lasting(self, within: float) -> Session:
        return self

    def announcing(self, before_effect: Callable[[], None]) -> Session:
        return self


class Client:
    """A service with one job that needs a number of looks."""

    def __init__(self, session: Session | None = None) -> None:
        self.__dict__["session"] = session or Session()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self.session):
            setattr(self.session, name, value)
        else:
            super().__setattr__(name, value)

    def look(self, ids: Sequence[str]) -> dict[str, str]:
        session = self.session
        session.calls += 1
        if session.errors:
            raise session.errors.pop(0)
        session.looks_needed -= 1
        return dict.fromkeys(ids, session.outcome if session.looks_needed <= 0 else "running")


CANCELLED: list[tuple[str, Any]] = []


class JobWait(Wait):
    kind = "job"

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        return client.look(ids)

    def judge(self, id_: str, found: Any) -> Seen:
        states = {"done": Seen("done", "done", "file"), "broken": Seen("failed", "it broke")}
        return states.get(found, Seen("waiting", str(found)))

    def cancel(self, client: Any) -> list[str]:
        CANCELLED.append((self.ids[0], client))
        return ["cancelled"]


class JobTrigger(WaitTrigger):
    hook_path = "x.Hook"
    wait_class = JobWait
    client: Any = None

    def make_client(self) -> Any:
        return type(self).client


class JobOperator(RemoteOperator):
    hook_path = "x.Hook"
    conn_id_field = "job_conn_id"
    trigger_path = f"{__name__}.JobTrigger"

    def __init__(self, *, size: int = 1, job_conn_id: str = "c", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.job_conn_id = job_conn_id

    def check(self) -> None:
        if self.size < 1:
            raise InvalidInputError("size", self.size, "1 or more")

    def submit(self, context: Any) -> dict[str, Any]:
        self.client.session.calls += 1
        return {"job": "j1"}

    def waits_for(self, carry: dict[str, Any]) -> Wait:
        return JobWait([carry["job"]])

    def finish(self, context: Any, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        if event and event["failed"]:
            raise RemoteWorkError("failed", event["failed"])
        return {"job": carry["job"], "results": event and event["results"], "api_calls": self.api_calls(carry)}


@pytest.fixture
def client() -> Client:
    CANCELLED.clear()
    JobTrigger.client = Client()
    return JobTrigger.client


def make(client: Client, **kwargs: Any) -> JobOperator:
    operator = JobOperator(task_id="job", **{"poll_interval": 0.01, **kwargs})
    operator.__dict__["hook"] = SimpleNamespace(client=client)
    return operator


def resume(operator: JobOperator, deferred: TaskDeferred) -> Any:
    """Do what Airflow does between a deferral and the resumed task, everything through JSON."""
    path, kwargs = deferred.trigger.serialize()
    assert path == operator.trigger_path
    trigger = JobTrigger(**json.loads(json.dumps(kwargs)))

    async def event() -> Any:
        return [e.payload async for e in trigger.run()]

    (payload,) = json.loads(json.dumps(asyncio.run(event())))
    # Only the event survives in dag.test().
    assert not deferred.kwargs
    return operator.resume_execution(deferred.method_name, {"event": payload}, make_context())


def run_through(operator: JobOperator) -> Any:
    try:
        return operator.execute(make_context())
    except TaskDeferred as deferred:
        return resume(operator, deferred)


@pytest.mark.parametrize("looks", [1, 3])
def test_both_modes_report_the_same(client: Client, looks: int) -> None:
    client.looks_needed = looks
    blocking = make(client, deferrable=False).execute(make_context())

    client.looks_needed = looks
    client.session.calls = 0
    deferred_result = run_through(make(client, deferrable=True))
    for result in (blocking, deferred_result):
        assert result["job"] == "j1"
        assert result["results"] == {"j1": "file"}
    assert blocking["api_calls"] == 1 + looks


def test_work_that_is_over_already_is_not_deferred(client: Client) -> None:
    assert make(client, deferrable=True).execute(make_context())["results"] == {"j1": "file"}


def test_without_waiting_nothing_is_looked_at(client: Client) -> None:
    result = make(client, wait_for_completion=False).execute(make_context())
    assert result == {"job": "j1", "results": None, "api_calls": 1}


@pytest.mark.parametrize("deferrable", [False, True])
def test_failed_work_fails_in_both_modes(client: Client, deferrable: bool) -> None:
    client.looks_needed, client.outcome = 2, "broken"
    operator = make(client, deferrable=deferrable)
    with pytest.raises(RemoteWorkError) as failed:
        run_through(operator)
    assert failed.value.failures == {"j1": "it broke"}


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("cancel", [False, True])
def test_when_time_is_over_the_work_is_ended_if_asked(client: Client, deferrable: bool, cancel: bool) -> None:
    client.looks_needed = 10**6
    operator = make(client, deferrable=deferrable, timeout=0.05, cancel_on_kill=cancel)
    with pytest.raises(WaitTimeoutError, match="j1"):
        run_through(operator)
    assert [job for job, _ in CANCELLED] == (["j1"] if cancel else [])


def test_a_blocking_wait_outlives_what_may_pass(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.looks_needed = 2
    operator = make(client, deferrable=False)
    operator.submit = lambda context: {"job": "j1"}  # type: ignore[method-assign]
    original, calls = client.look, []

    def shaky(ids: Sequence[str]) -> dict[str, str]:
        calls.append(1)
        if len(calls) == 2:
            raise ServerError("busy")
        return original(ids)

    monkeypatch.setattr(Client, "look", lambda _, ids: shaky(ids))
    assert operator.execute(make_context())["results"] == {"j1": "file"}
    assert len(calls) == 3


def test_on_kill_uses_a_client_that_shares_nothing(client: Client) -> None:
    client.looks_needed = 2
    operator = make(client, deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(make_context())
    operator.on_kill()
    ((job, used),) = CANCELLED
    assert job == "j1"
    assert used is not client


def test_on_kill_before_anything_was_submitted_does_nothing(client: Client) -> None:
    make(client).on_kill()
    assert not CANCELLED


@pytest.mark.parametrize(
    "event",
    [None, "success", {}, {"status": "fine"}, {"status": "error", "message": "the token was refused"}, []],
)
def test_events_that_are_not_understood_fail(client: Client, event: Any) -> None:
    with pytest.raises(RemoteWorkError):
        make(client).execute_complete(make_context(), event, {"job": "j1"})


def test_bad_input_is_refused_before_any_request(client: Client) -> None:
    with pytest.raises(InvalidInputError, match="size=0"):
        make(client, size=0).execute(make_context())
    assert client.session.calls == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("poll_interval", 0),
        ("poll_interval", "30"),
        ("poll_interval", float("nan")),
        ("timeout", -1),
        ("timeout", True),
        ("timeout", timedelta(0)),
        ("deferrable", "yes"),
        ("cancel_on_kill", 1),
        ("durable", "no"),
        ("wait_for_completion", "true"),
    ],
)
def test_bad_settings_are_named(client: Client, name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=name):
        JobOperator(task_id="job", **{name: value})


def test_durations_may_be_timedeltas(client: Client) -> None:
    operator = make(client, timeout=timedelta(hours=1), poll_interval=timedelta(seconds=5))
    assert (operator.timeout, operator.poll_interval) == (3600.0, 5.0)


def test_airflows_own_limit_comes_after_ours(client: Client) -> None:
    client.looks_needed = 5
    with pytest.raises(TaskDeferred) as deferred:
        make(client, deferrable=True, timeout=100).execute(make_context())
    deadline = deferred.value.trigger.serialize()[1]["deadline"]
    assert deferred.value.timeout is not None
    assert time.time() + deferred.value.timeout.total_seconds() > deadline + 60


@pytest.mark.parametrize("conn_id", [None, "", "  ", 7, object()])
def test_what_could_not_travel_to_the_triggerer_is_refused_before_any_request(client: Client, conn_id: Any) -> None:
    with pytest.raises(InvalidInputError, match="job_conn_id"):
        make(client, job_conn_id=conn_id).execute(make_context())
    assert client.session.calls == 0


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_first_look_without_an_answer_is_no_failure(client: Client, deferrable: bool) -> None:
    client.errors = [ServerError("busy")]
    assert run_through(make(client, deferrable=deferrable))["results"] == {"j1": "file"}


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_first_look_that_will_never_succeed_is_one(client: Client, deferrable: bool) -> None:
    client.errors = [NotFoundError("no such job", status=404)]
    with pytest.raises(NotFoundError):
        run_through(make(client, deferrable=deferrable))
