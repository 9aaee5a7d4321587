"""What is measured of a session is true, costs no request and no permit, and can never spoil a request."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.budget import Budget
from airflow_src_provider.client.metrics import LOOK_EVERY, Meter, Metric, WaitedFor
from airflow_src_provider.client.stores import MemoryStore
from tests.unit.client.server import Answer, ScriptedServer, SteppedClock
from tests.unit.client.sessions import TOKEN, new_budget, new_session

MAINTENANCE = Answer(503, {"status": 503, "code": 0, "message": "platform under maintenance"})
QUEUE_FULL = Answer(503, {"code": 503, "message": ["Queue is full"]})
REFUSED = Answer(429, {"error": "Rate Limit Exceeded"})


class Notebook:
    """Writes every measurement down."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Metric, Any, Mapping[str, str]]] = []

    def count(self, metric: Metric, tags: Mapping[str, str]) -> None:
        self.entries.append(("counter", metric, 1, tags))

    def time(self, metric: Metric, seconds: float, tags: Mapping[str, str]) -> None:
        self.entries.append(("timer", metric, seconds, tags))

    def level(self, metric: Metric, value: float) -> None:
        self.entries.append(("gauge", metric, value, {}))

    def counts(self, metric: Metric) -> Counter[str]:
        """Count by tags, in the order of their names."""
        return Counter(" ".join(tags[key] for key in sorted(tags)) for _, m, _, tags in self.entries if m == metric)

    def values(self, metric: Metric) -> list[Any]:
        finish_looks()
        return [value for _, m, value, _ in self.entries if m == metric]


def finish_looks() -> None:
    for thread in threading.enumerate():
        if thread.name == "budget-left":
            thread.join()


def test_a_course_of_requests_is_measured_exactly(server: ScriptedServer, clock: SteppedClock) -> None:
    notebook = Notebook()
    session = new_session(
        server.url, clock, observer=notebook, budget=new_budget(clock, limit=9), refresh_token=lambda: "another-token"
    )
    server.script(
        Answer(body=[]),
        Answer(201, {"id": 1}),
        Answer(404),
        REFUSED, Answer(204, b""),
        QUEUE_FULL, MAINTENANCE, Answer(),
        Answer(lose=True), Answer(500), Answer(body=b"<html>"), Answer(),
    )  # fmt: skip
    session.request("GET", "workspaces/0815/")
    session.request("POST", "workspaces/", json={"name": "x"})
    with pytest.raises(exc.NotFoundError):
        session.request("GET", "files/abc")
    session.request("DELETE", "files/abc")
    session.request("POST", "tasks", json={})
    clock.now += 120
    session.request("GET", "tasks")

    assert notebook.counts(Metric.REQUESTS) == {
        "GET 2xx": 3,  # one of them without a usable body
        "GET 4xx": 1,
        "GET 5xx": 1,
        "GET none": 1,
        "POST 2xx": 2,
        "POST 5xx": 2,
        "DELETE 4xx": 1,
        "DELETE 2xx": 1,
    }
    assert len(notebook.values(Metric.REQUESTS)) == session.calls == len(server.requests) == 12
    assert notebook.counts(Metric.REQUEST_TIME) == notebook.counts(Metric.REQUESTS)
    assert notebook.counts(Metric.REFUSALS) == {"": 1}
    assert notebook.counts(Metric.RETRIES) == {
        "unavailable": 1,
        "maintenance": 1,
        "no_answer": 1,
        "server_error": 1,
        "bad_answer": 1,
    }
    assert notebook.counts(Metric.BUDGET_WAIT) == {"refused": 1}
    assert notebook.values(Metric.BUDGET_WAIT) == [pytest.approx(60, abs=1)]
    assert notebook.values(Metric.POSTPONED) == []

    server.script(Answer(401), Answer())
    session.request("GET", "user")
    assert notebook.counts(Metric.RETRIES)["new_token"] == 1


def test_a_request_whose_turn_comes_too_late_is_postponed(server: ScriptedServer, clock: SteppedClock) -> None:
    notebook = Notebook()
    session = new_session(server.url, clock, observer=notebook, budget=new_budget(clock, limit=1))
    session.request("GET", "a")
    for _ in range(2):
        with pytest.raises(exc.BudgetWaitError):
            session.request("GET", "b", max_wait=5)
    assert notebook.counts(Metric.POSTPONED) == {"": 2}
    assert notebook.counts(Metric.REQUESTS) == {"GET 2xx": 1}
    assert notebook.values(Metric.BUDGET_WAIT) == []


def test_a_wait_says_who_waits_and_why(server: ScriptedServer, clock: SteppedClock) -> None:
    notebook = Notebook()
    session = new_session(server.url, clock, observer=notebook, budget=new_budget(clock, limit=10))
    for _ in range(11):
        session.request("GET", "a")
    assert notebook.counts(Metric.BUDGET_WAIT) == {"turn": 1}
    look = session.yielding(300.0)
    for _ in range(9):
        look.request("GET", "a")
    assert notebook.counts(Metric.BUDGET_WAIT) == {"turn": 1, "look": 1}
    assert all(0 < wait < 62 for wait in notebook.values(Metric.BUDGET_WAIT))


def test_a_request_that_finds_its_turn_at_once_has_not_waited(server: ScriptedServer) -> None:
    # With a real clock, asking takes a moment too.
    class Slow(MemoryStore):
        def try_acquire(self, most: int | None = None) -> float:
            clock.now += 0.02
            return super().try_acquire(most)

    clock, notebook = SteppedClock(), Notebook()
    budget = new_budget(clock)
    budget._store = Slow(10, 60.0, clock)
    new_session(server.url, clock, observer=notebook, budget=budget).request("GET", "a")
    assert notebook.values(Metric.BUDGET_WAIT) == []


@given(st.lists(st.sampled_from([200, 204, 302, 400, 404, 409, 429, 500, 502, 503, 504]), max_size=12))
def test_every_request_is_counted_once(statuses: list[int]) -> None:
    # A 204 with a body would leave the body to be read as the next answer.
    with ScriptedServer(*(Answer(status, b"" if status == 204 else {}) for status in statuses)) as server:
        notebook, clock = Notebook(), SteppedClock()
        session = new_session(server.url, clock, observer=notebook, max_wait=86400.0)
        while len(server.requests) < len(statuses):
            try:
                session.request("GET", "a")
            except exc.ApiError:
                continue
    sent = statuses + [200] * (len(server.requests) - len(statuses))
    assert notebook.counts(Metric.REQUESTS) == Counter(f"GET {status // 100}xx" for status in sent)
    assert sum(notebook.counts(Metric.REFUSALS).values()) == statuses.count(429)
    assert sum(notebook.counts(Metric.RETRIES).values()) <= sum(status >= 500 for status in statuses)


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.lists(st.sampled_from([Answer(), Answer(404), REFUSED, QUEUE_FULL, Answer(502), Answer(lose=True)]), max_size=5),
)
def test_no_measurement_holds_a_path_or_a_token(method: str, answers: list[Answer]) -> None:
    words = {method, "2xx", "4xx", "5xx", "none", "unavailable", "server_error", "no_answer", *WaitedFor}
    with ScriptedServer(*answers) as server:
        notebook = Notebook()
        session = new_session(server.url, observer=notebook, max_wait=86400.0)
        with contextlib.suppress(exc.ApiError):
            session.request(method, "workspaces/5f0c3e/", params={"name": "S0007"})
    assert {value for *_, tags in notebook.entries for value in tags.values()} <= words
    assert TOKEN not in str(notebook.entries)


def test_the_siblings(server: ScriptedServer, clock: SteppedClock) -> None:
    notebook = Notebook()
    session = new_session(server.url, clock, observer=notebook)
    session.hasty(5).request("GET", "a")
    assert notebook.counts(Metric.REQUESTS) == {"GET 2xx": 1}
    # In a signal handler, whoever takes measurements may be interrupted holding a lock.
    session.urgent().request("GET", "a")
    assert notebook.counts(Metric.REQUESTS) == {"GET 2xx": 1}


class Broken:
    """Fails whatever it is told."""

    def count(self, *_: Any) -> None:
        raise OSError("no route to the metrics server")

    time = level = count


def test_an_observer_that_fails_spoils_no_request(
    server: ScriptedServer, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    session = new_session(server.url, clock, observer=Broken(), budget=new_budget(clock, limit=2))
    server.script(QUEUE_FULL, REFUSED, Answer(body={"id": 7}))
    assert session.request("POST", "things", json={}).json() == {"id": 7}
    session.request("GET", "things")
    with pytest.raises(exc.BudgetWaitError):
        session.request("GET", "things", max_wait=0)
    finish_looks()
    warnings = [record.message for record in caplog.records if "Metrics" in record.message]
    assert warnings == ["Metrics cannot be written (OSError: no route to the metrics server); the requests go on."]


# --- what the budget has left ---


def at_once(do: Any) -> None:
    do()


def test_what_is_left_is_looked_at_now_and_then(clock: SteppedClock) -> None:
    notebook, budget = Notebook(), new_budget(clock, limit=100)
    # Two hooks of one process that use the same token.
    meters = [Meter(notebook, clock, at_once), Meter(notebook, clock, at_once)]
    for _ in range(30):
        budget.acquire()
        for meter in meters:
            meter.look_at(budget)
        clock.now += 1
    assert notebook.values(Metric.BUDGET_LEFT) == [99, 89, 79]
    Meter(notebook, clock, at_once).look_at(new_budget(clock, limit=7))
    assert notebook.values(Metric.BUDGET_LEFT)[-1] == 7


class CountingStore(MemoryStore):
    """Counts how often it is asked."""

    asked = 0

    def try_acquire(self, most: int | None = None) -> float:
        self.asked += 1
        return super().try_acquire(most)

    def used(self) -> int:
        self.asked += 1
        return super().used()


def test_being_measured_costs_no_permit_and_next_to_no_question(server: ScriptedServer, clock: SteppedClock) -> None:
    asked = []
    for observer in (None, Notebook()):
        budget = new_budget(clock)
        budget._store = store = CountingStore(1000, 60.5, clock)
        session = new_session(server.url, clock, observer=observer, budget=budget)
        for _ in range(50):
            session.request("GET", "a")
        finish_looks()
        asked.append(store.asked)
        assert budget.used() == 50
    assert asked == [50, 51]


class HangingBudget(Budget):
    """Its store does not answer a look."""

    answers = threading.Event()

    def used(self) -> int:
        self.answers.wait()
        raise OSError("gone")


def test_a_store_that_hangs_keeps_no_request_waiting(
    server: ScriptedServer, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    settings = new_budget(clock).settings
    budget = HangingBudget(settings, TOKEN, store=MemoryStore(9, 60.0, clock), sleep=clock.sleep, clock=clock)
    session = new_session(server.url, clock, observer=Notebook(), budget=budget)
    try:
        assert session.request("GET", "a").status == 200
        clock.now += LOOK_EVERY - 1
        assert session.request("GET", "b").status == 200
        assert [thread.name for thread in threading.enumerate()].count("budget-left") == 1
    finally:
        budget.answers.set()
    finish_looks()
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
        "Metrics cannot be written (OSError: gone); the requests go on."
    ]
