"""One budget for all users of a token: its waits, its gate, and what it does without its store."""

from __future__ import annotations

import email.utils
import logging
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.stores import MemoryStore
from airflow_src_provider.exceptions import BudgetWaitError
from tests.unit.client.interruptions import interrupt
from tests.unit.client.server import SteppedClock
from tests.unit.client.sessions import TOKEN, new_budget

URL = "https://api.example/v2/"
NOW = 1_793_000_000.0  # the server's clock


def rate_headers(remaining: Any, reset: Any, limit: Any = 1000, date: float | None = NOW) -> CaseInsensitiveDict[str]:
    headers = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    if date is not None:
        headers["Date"] = email.utils.formatdate(date, usegmt=True)
    return CaseInsensitiveDict({key: str(value) for key, value in headers.items() if value is not None})


# --- waiting ---


def test_a_wait_is_as_long_as_it_must_be(clock: SteppedClock) -> None:
    budget = new_budget(clock, limit=3)
    for _ in range(3):
        assert budget.acquire() == 0
        clock.now += 10
    assert budget.acquire() == pytest.approx(30.5, abs=0.01)


def test_a_wait_that_would_be_too_long_is_refused_at_once(clock: SteppedClock) -> None:
    budget = new_budget(clock, limit=1)
    budget.acquire()
    with pytest.raises(BudgetWaitError, match="used up") as caught:
        budget.acquire(timeout=59)
    assert clock.sleeps == []
    assert caught.value.retry_after == pytest.approx(60.5, abs=0.01)
    assert caught.value.retryable
    assert caught.value.outcome_known
    assert budget.used() == 1
    assert budget.acquire(timeout=61) == pytest.approx(60.5, abs=0.01)


def test_a_long_wait_is_told_once(clock: SteppedClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    budget = new_budget(clock, limit=1)
    budget.acquire()
    assert caplog.messages == []
    budget.acquire()
    (line,) = caplog.messages
    assert "Waiting 61 s for http://127.0.0.1/: the 1 requests per 60 s of this token are used up" in line
    assert "Next request at" in line
    caplog.clear()
    short = new_budget(clock, limit=1, window=1.0)
    short.acquire()
    short.acquire()
    assert caplog.messages == []


def test_a_wait_that_gets_longer_is_still_told_once(clock: SteppedClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    budget = new_budget(clock, limit=1)
    budget._sleep = lambda seconds: clock.sleep(seconds / 2)
    budget.acquire()
    assert budget.acquire() >= 60
    assert len(clock.sleeps) > 3
    assert len(caplog.messages) == 1


def test_threads_queue_and_all_get_through(clock: SteppedClock) -> None:
    budget = new_budget(clock, limit=4)
    admitted: list[float] = []

    def work() -> None:
        for _ in range(5):
            budget.acquire()
            admitted.append(clock.now)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    admitted.sort()
    assert len(admitted) == 30
    # Only one thread waits for the store at a time, so each window is slept through once.
    assert len(clock.sleeps) == 7
    assert all(b - a > 60 for a, b in zip(admitted, admitted[4:], strict=False))


def test_a_thread_does_not_queue_for_longer_than_it_may() -> None:
    clock = SteppedClock()
    waiting, go = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        go.wait(10)
        clock.sleep(seconds)

    budget = new_budget(clock, limit=1)
    budget._sleep = sleep
    budget.acquire()
    thread = threading.Thread(target=budget.acquire)
    thread.start()
    waiting.wait(10)
    with pytest.raises(BudgetWaitError, match="other threads") as caught:
        budget.acquire(timeout=0.01)
    assert caught.value.retry_after == pytest.approx(60.5, abs=0.1)
    go.set()
    thread.join(10)
    assert not thread.is_alive()


def test_whenever_a_signal_comes_the_turn_is_given_back(clock: SteppedClock) -> None:
    moment = 0
    interrupted = True
    while interrupted:
        budget = new_budget(clock)
        interrupted = interrupt(budget.acquire, moment)
        waits: list[float] = []
        thread = threading.Thread(target=lambda budget=budget, waits=waits: waits.append(budget.acquire(timeout=5)))
        thread.start()
        thread.join()
        assert waits == [0], moment
        moment += 1
    assert moment > 10


def test_a_child_forked_while_a_thread_waits_can_go_on(tmp_path: Path) -> None:
    budget = Budget(BudgetSettings(URL, 5, 60.0, directory=tmp_path), TOKEN)
    budget.acquire()
    budget._turn.acquire()  # as a waiting thread would
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        budget.acquire()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    budget._turn.release()
    assert budget.used() == 2


# --- the gate ---


def wait_after(clock: SteppedClock, budget: Budget, status: int, headers: Any) -> float:
    budget.observe(status, headers)
    return budget.acquire()


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        (rate_headers(None, None, None), 60, 61),
        ({"Retry-After": "7"}, 7, 8),
        ({"Retry-After": "0"}, 1, 2),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:17 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 17, 18),
        (rate_headers(0, int(NOW) + 42), 43, 44),
        (rate_headers(0, (int(NOW) + 42) * 1000), 43, 44),
        (rate_headers(0, int(NOW) - 3), 1, 2),
        (rate_headers(0, int(NOW) - 3000), 60, 61),
        (rate_headers(0, int(NOW) + 3000), 60, 61),
        (rate_headers(0, "soon"), 60, 61),
        (rate_headers(0, "nan"), 60, 61),
        (rate_headers(0, ""), 60, 61),
        (rate_headers(0, int(NOW) + 42, limit=-1), 60, 61),
        (rate_headers(-1, 0, limit=-1), 60, 61),
        ({"Retry-After": "864000"}, 600, 601),
    ],
)  # fmt: skip
def test_after_a_refusal_everybody_waits(clock: SteppedClock, headers: Any, low: float, high: float) -> None:
    assert low <= wait_after(clock, new_budget(clock), 429, CaseInsensitiveDict(headers)) <= high


def test_the_servers_clock_may_be_wrong_by_hours(clock: SteppedClock) -> None:
    skewed = NOW - 7200
    budget = new_budget(clock)
    assert 31 <= wait_after(clock, budget, 429, rate_headers(0, int(skewed) + 30, date=skewed)) <= 32


def test_a_reset_without_a_date_is_read_by_the_local_clock(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    assert 42 <= wait_after(clock, new_budget(clock), 429, rate_headers(0, int(NOW) + 42, date=None)) <= 43


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-RateLimit-Limit": "-1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"},
        {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1793000060"},
        {"X-RateLimit-Limit": "-1", "X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "1793000060"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1793000060"},
        {"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1793000060"},
        {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "11", "X-RateLimit-Reset": "1793000060"},
    ],
)
def test_headers_that_do_not_speak_of_a_rate_are_not_obeyed(clock: SteppedClock, headers: dict[str, str]) -> None:
    headers = {"Date": email.utils.formatdate(NOW, usegmt=True), **headers}
    assert wait_after(clock, new_budget(clock), 200, CaseInsensitiveDict(headers)) == 0


@pytest.mark.parametrize("status", [200, 404, 503])
def test_when_others_have_used_the_allowance_up_everybody_waits_for_the_next_window(
    clock: SteppedClock, status: int
) -> None:
    budget = new_budget(clock)
    assert wait_after(clock, budget, status, rate_headers(11, int(NOW) + 30)) == 0
    assert 31 <= wait_after(clock, budget, status, rate_headers(10, int(NOW) + 30)) <= 32
    assert budget.acquire() == 0


def test_a_server_that_refuses_again_and_again_is_asked_less_and_less(clock: SteppedClock) -> None:
    budget = new_budget(clock)
    waits = [wait_after(clock, budget, 429, {"Retry-After": "0"}) for _ in range(9)]
    assert [round(wait - 0.25) for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    budget.observe(200, {})
    assert wait_after(clock, budget, 429, {"Retry-After": "0"}) < 2


def test_refusals_of_requests_that_were_on_their_way_count_as_one(
    clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    budget = new_budget(clock)
    for _ in range(20):
        budget.observe(429, {"Retry-After": "3"})
    assert 3 <= budget.acquire() <= 4
    assert len(caplog.records) == 1


def test_the_gate_holds_other_processes_too(tmp_path: Path) -> None:
    settings = BudgetSettings(URL, 10, 60.0, directory=tmp_path)
    Budget(settings, TOKEN).observe(429, {})
    with pytest.raises(BudgetWaitError, match="asked for silence") as caught:
        Budget(settings, TOKEN).acquire(timeout=1)
    assert caught.value.retry_after == pytest.approx(60, abs=1)
    Budget(settings, "another").acquire(timeout=0)


def test_what_the_store_has_forgotten_of_it_a_process_that_was_refused_tells_it_again(clock: SteppedClock) -> None:
    budget = new_budget(clock)
    budget.observe(429, {})
    clock.now += 10
    emptied = budget._store = MemoryStore(1000, 60.5, clock)
    with pytest.raises(BudgetWaitError, match="silence") as caught:
        budget.acquire(timeout=1)
    assert caught.value.retry_after == pytest.approx(50, abs=1)
    assert emptied.gate() == pytest.approx(50)
    clock.now += 50
    assert budget.acquire() == 0


def test_processes_do_not_wake_as_a_herd(clock: SteppedClock) -> None:
    starts = []
    for seed in range(20):
        random.seed(seed)
        clock = SteppedClock()
        budget = new_budget(clock)
        starts.append(wait_after(clock, budget, 429, {}))
    assert all(60 <= start <= 60.6 for start in starts)
    assert max(starts) - min(starts) > 0.3
