"""A budget without its store: slower, never at a standstill, and never without a bound."""

from __future__ import annotations

import itertools
import logging
import threading
from pathlib import Path

import pytest

from airflow_src_provider.client import budget as budget_module
from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.stores import MemoryStore, StoreDownError
from airflow_src_provider.exceptions import BudgetWaitError, InvalidInputError
from tests.unit.client.server import SteppedClock
from tests.unit.client.sessions import TOKEN
from tests.unit.client.test_budget import wait_after
from tests.unit.client.test_store_files import open_files
from tests.unit.client.test_store_forks import in_child

URL = "https://api.example/v2/"
#: Nobody listens there.
NOWHERE = "redis://127.0.0.1:1"


class FlakyStore(MemoryStore):
    down = False

    def try_acquire(self, most: int | None = None) -> float:
        if self.down:
            raise StoreDownError("the disk is on fire")
        return super().try_acquire(most)

    def gate(self) -> float:
        if self.down:
            raise StoreDownError("the disk is on fire")
        return super().gate()

    def close_gate(self, seconds: float) -> None:
        if self.down:
            raise StoreDownError("the disk is on fire")
        super().close_gate(seconds)


@pytest.fixture
def flaky(clock: SteppedClock) -> tuple[Budget, FlakyStore]:
    settings = BudgetSettings(URL, 100, 60.0)
    store = FlakyStore(100, 60.5, clock)
    return Budget(settings, TOKEN, store=store, sleep=clock.sleep, clock=clock), store


def test_without_its_store_a_process_goes_on_with_a_small_share(
    flaky: tuple[Budget, FlakyStore], clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    budget, store = flaky
    budget.acquire()
    clock.now += 10
    store.down = True
    # What it sent before counts too.
    assert sum(budget.acquire() for _ in range(9)) == 0
    assert budget.acquire() == pytest.approx(50.5, abs=0.01)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "the disk is on fire" in warning
    assert "at most 10 requests per 60 s" in warning


def test_a_store_that_is_back_is_used_again(
    flaky: tuple[Budget, FlakyStore], clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    budget, store = flaky
    store.down = True
    for _ in range(10):
        budget.acquire()
    store.down = False
    with pytest.raises(BudgetWaitError):
        budget.acquire(timeout=1)
    clock.now += budget_module.STORE_RETRY
    assert sum(budget.acquire() for _ in range(90)) == 0
    # What was sent meanwhile is on record with the rest.
    assert store.used() == 100
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "is back" in caplog.messages[-1]


def test_what_is_sent_during_two_failures_in_a_row_is_all_on_record(
    flaky: tuple[Budget, FlakyStore], clock: SteppedClock
) -> None:
    budget, store = flaky
    for _ in range(2):
        store.down = True
        clock.now += budget_module.STORE_RETRY
        budget.acquire()
        budget.acquire()
        # It takes the report, and is away again before the request that came with it.
        store.down = False
        clock.now += budget_module.STORE_RETRY
        budget._report(budget._fallback or store)
    store.down = False
    clock.now += budget_module.STORE_RETRY
    budget.acquire()
    assert store.used() == 5


def test_a_refusal_is_obeyed_without_the_store_too(flaky: tuple[Budget, FlakyStore], clock: SteppedClock) -> None:
    budget, store = flaky
    store.down = True
    assert 60 <= wait_after(clock, budget, 429, {}) <= 61


def test_a_refusal_that_came_while_the_store_was_away_holds_for_everybody_afterwards(
    flaky: tuple[Budget, FlakyStore], clock: SteppedClock
) -> None:
    budget, store = flaky
    store.down = True
    budget.observe(429, {})
    store.down = False
    clock.now += budget_module.STORE_RETRY
    with pytest.raises(BudgetWaitError, match="silence"):
        budget.acquire(timeout=50)
    assert store.gate() == pytest.approx(55)


def test_a_store_that_hangs_is_asked_seldom(flaky: tuple[Budget, FlakyStore], clock: SteppedClock) -> None:
    budget, store = flaky
    asked: list[float] = []

    def hang() -> float:
        asked.append(clock.now)
        clock.now += 5
        raise StoreDownError("held by another process")

    store.gate = hang  # type: ignore[method-assign]
    for _ in range(100):
        budget.acquire()
        clock.now += 6
    assert all(later - earlier >= 25 for earlier, later in itertools.pairwise(asked))
    assert len(asked) > 10


def test_a_store_without_its_libraries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_src_provider.client.stores.find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r"airflow-src-provider\[redis\]"):
        Budget(BudgetSettings(URL, 1, 1.0, store="redis://127.0.0.1"), TOKEN)


def test_a_store_address_with_odd_options_does_not_stop_anybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for options in ("?socket_timeout=soon", "?nonsense=1"):
        settings = BudgetSettings(URL, 100, 1.0, store=f"{NOWHERE}/{options}", directory=tmp_path)
        Budget(settings, TOKEN).acquire(timeout=0)
    assert sum("cannot be used" in line for line in caplog.messages) == 2


def test_even_the_smallest_budget_goes_on_without_its_store(clock: SteppedClock) -> None:
    store = FlakyStore(1, 60.5, clock)
    store.down = True
    budget = Budget(BudgetSettings(URL, 1, 60.0), TOKEN, store=store, sleep=clock.sleep, clock=clock)
    budget.acquire()
    assert budget.acquire() == pytest.approx(60.5, abs=0.01)


def test_a_folder_that_cannot_be_used_does_not_stop_anybody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    budget = Budget(BudgetSettings(URL, 100, 60.0, directory=blocked), TOKEN)
    for _ in range(10):
        budget.acquire(timeout=0)
    budget.observe(429, {"Retry-After": "5"})
    with pytest.raises(BudgetWaitError):
        budget.acquire(timeout=1)
    assert sum("cannot be used" in line for line in caplog.messages) == 1


def test_what_one_thread_falls_back_to_is_not_thrown_away_by_another_one(clock: SteppedClock) -> None:
    store = FlakyStore(100, 60.5, clock)
    store.down = True
    budget = Budget(BudgetSettings(URL, 100, 60.0), TOKEN, store=store, sleep=clock.sleep, clock=clock)
    found: list[object] = []

    def refused() -> None:
        budget.observe(429, {"Retry-After": "30"})
        found.append(budget._fallback)

    def hang(_: object) -> None:
        another = threading.Thread(target=refused)
        another.start()
        another.join()
        raise StoreDownError("no answer")

    # The fall-back, which it is tried with next, has an answer.
    budget._using_store(lambda used: hang(used) if used is store else None)
    assert found == [budget._fallback]
    assert budget._fallback is not None
    assert budget._fallback.gate() == pytest.approx(30)


# --- several processes of a host ---


def process(folder: Path, store: FlakyStore | None = None) -> Budget:
    """Return what a new process would have, for 100 requests per minute."""
    return Budget(BudgetSettings(URL, 100, 60.0, store=NOWHERE, directory=folder), TOKEN, store=store)


def sends(budget: Budget) -> int:
    """Return how many requests may go now."""
    for number in itertools.count():
        try:
            budget.acquire(timeout=0)
        except BudgetWaitError:
            return number
    raise AssertionError


def test_without_the_store_all_processes_of_a_host_share_one_small_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = process(tmp_path), process(tmp_path)
    for budget in (first, second, first):
        budget.acquire(timeout=0)
    # Tasks come and go, each of them in a process of its own.
    assert [sends(process(tmp_path)) for _ in range(3)] == [7, 0, 0]
    assert (sends(first), sends(second)) == (0, 0)
    assert "the processes of this host together send at most 10 requests per 60 s" in caplog.text


def test_a_refusal_is_obeyed_by_all_processes_of_a_host(tmp_path: Path) -> None:
    process(tmp_path).observe(429, {})
    with pytest.raises(BudgetWaitError, match="silence"):
        process(tmp_path).acquire(timeout=1)


def test_what_a_process_has_sent_before_counts_once(tmp_path: Path) -> None:
    store = FlakyStore(100, 60.5)
    budget = process(tmp_path, store)
    for down in (False, True, False, True):
        store.down = down
        budget._store_down_until = 0.0
        budget.acquire(timeout=0)
        budget.acquire(timeout=0)
    assert isinstance(budget._fallback, FileStore)
    assert budget._fallback.used() == 8
    assert sends(process(tmp_path)) == 2
    store.down = False
    budget._store_down_until = 0.0
    assert budget.used() == 8


def test_the_hosts_log_stays_the_same_and_is_closed_whenever_the_process_is_forked(tmp_path: Path) -> None:
    store = FlakyStore(100, 60.5)
    budget = process(tmp_path, store)
    logs: list[object] = []
    for down in (True, False, True, False):
        store.down = down
        budget._store_down_until = 0.0
        budget.acquire(timeout=0)
        logs.append(budget._fallback)
        assert in_child(lambda: open_files(tmp_path) == 0)
    assert isinstance(logs[0], FileStore)
    assert logs == [logs[0], None, logs[0], None]


def test_when_the_hosts_log_cannot_be_used_either_each_process_has_a_small_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budget = process(tmp_path / "budget")
    budget.acquire(timeout=0)
    blocked = tmp_path / "budget"
    blocked.rename(tmp_path / "away")
    blocked.write_text("")
    assert sends(budget) == 9
    assert sends(process(blocked)) == 10
    assert sum("this process sends at most 10" in line for line in caplog.messages) == 2
