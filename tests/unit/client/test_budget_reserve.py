"""When the budget is short, looks leave the last of it to the requests that do something, but not for ever."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.stores import MemoryStore, Store, reserve_for_work
from airflow_src_provider.client.waiting import affordable
from airflow_src_provider.exceptions import BudgetWaitError
from tests.unit.client.server import ScriptedServer, SteppedClock
from tests.unit.client.sessions import TOKEN, new_session

LIMIT, WINDOW = 100, 60.0


def memory_store(folder: Path, clock: SteppedClock) -> Store:
    return MemoryStore(LIMIT, WINDOW + 0.5, clock)


def file_store(folder: Path, clock: SteppedClock) -> Store:
    return FileStore(folder, f"reserve-{time.monotonic_ns()}", LIMIT, WINDOW + 0.5, clock)


def budget_on(store: Store, clock: SteppedClock) -> Budget:
    """Return the budget of one more process."""
    return Budget(BudgetSettings("https://api.example/", LIMIT, WINDOW), TOKEN, store=store, clock=clock)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


both_stores = pytest.mark.parametrize("make", [memory_store, file_store])


@pytest.mark.parametrize(("limit", "reserve"), [(1, 0), (9, 0), (10, 1), (99, 9), (1000, 100)])
def test_a_tenth_is_left_and_nothing_of_a_tiny_allowance(limit: int, reserve: int) -> None:
    assert reserve_for_work(limit) == reserve


@both_stores
def test_looks_leave_the_last_tenth_to_work(make: Callable[..., Store], tmp_path: Path) -> None:
    clock = SteppedClock()
    store = make(tmp_path, clock)
    looks, work = budget_on(store, clock), budget_on(store, clock)
    for _ in range(90):
        assert looks.acquire(timeout=0, yields=True) == 0
    with pytest.raises(BudgetWaitError, match="left to those who submit") as caught:
        looks.acquire(timeout=5, yields=True)
    assert caught.value.retry_after == pytest.approx(60, abs=0.6)
    for _ in range(10):
        assert work.acquire(timeout=0) == 0
    with pytest.raises(BudgetWaitError, match="used up"):
        work.acquire(timeout=0)


@both_stores
@pytest.mark.parametrize("seed", range(6))
def test_under_saturation_looks_get_their_turn_after_a_window_and_hold_nobody_up(
    make: Callable[..., Store], tmp_path: Path, seed: int
) -> None:
    order = random.Random(seed)
    clock = SteppedClock()
    store = make(tmp_path, clock)
    work, looks = budget_on(store, clock), budget_on(store, clock)
    started = clock.now
    next_look, first_no, looked, worked = started, 0.0, list[float](), 0

    def submit() -> None:
        nonlocal worked
        # As fast as they may: what is free is taken, up to the last permit.
        while True:
            try:
                work.acquire(timeout=0)
            except BudgetWaitError:
                break
            worked += 1
            if worked < LIMIT:
                # The first allowance goes out over a whole window, and so do all later ones.
                break
        if worked >= LIMIT:
            assert store.used() == LIMIT

    def look() -> None:
        nonlocal next_look, first_no
        if clock.now < next_look:
            return
        before = store.used()
        try:
            looks.acquire(timeout=0, yields=True)
        except BudgetWaitError as error:
            first_no = first_no or clock.now
            next_look = clock.now + (error.retry_after or 0.0)
        else:
            looked.append(clock.now)
            next_look = clock.now + 30
            patient = first_no and clock.now >= first_no + WINDOW
            assert patient or before < LIMIT - reserve_for_work(LIMIT)

    while clock.now < started + 8 * WINDOW:
        for act in order.sample([submit, look], 2):
            act()
        clock.now += 0.5
    after = [at for at in looked if first_no and at > first_no]
    assert first_no
    assert after
    assert first_no + WINDOW <= after[0] <= first_no + 2 * WINDOW
    # Of two windows they compete in one; and a little more for the luck of the draw.
    assert all(later - earlier <= 3 * WINDOW for earlier, later in itertools.pairwise(after))
    assert worked >= 7 * LIMIT


def test_who_was_patient_for_a_window_competes_for_a_window_and_is_patient_again() -> None:
    clock = SteppedClock()
    store = MemoryStore(LIMIT, WINDOW + 0.5, clock)
    looks = budget_on(store, clock)
    start = clock.now
    store.record(95)
    with pytest.raises(BudgetWaitError, match="left to those who submit"):
        looks.acquire(timeout=0, yields=True)
    clock.now = start + WINDOW
    # It is too early by the margin of the window, and now everybody is told the same.
    store.record(LIMIT)
    with pytest.raises(BudgetWaitError, match="used up"):
        looks.acquire(timeout=0, yields=True)
    clock.now = start + WINDOW + 0.6
    store.record(88)
    assert store.used() == 93
    for _ in range(5):
        # A look of several calls must be able to come to its end.
        assert looks.acquire(timeout=0, yields=True) == 0
    clock.now = start + 2 * WINDOW + 0.1
    assert store.used() == 98
    with pytest.raises(BudgetWaitError, match="left to those who submit"):
        looks.acquire(timeout=0, yields=True)


def test_a_look_that_waits_inside_gets_its_turn_too(tmp_path: Path) -> None:
    clock = SteppedClock()
    store = MemoryStore(LIMIT, WINDOW + 0.5, clock)
    looks = Budget(
        BudgetSettings("https://api.example/", LIMIT, WINDOW), TOKEN, store=store, sleep=clock.sleep, clock=clock
    )
    store.record(95)
    assert looks.acquire(timeout=900, yields=True) == pytest.approx(WINDOW, abs=0.01)


def test_patience_that_ends_while_the_store_is_asked_is_no_permit() -> None:
    clock = SteppedClock()

    class Slow(MemoryStore):
        def try_acquire(self, most: int | None = None) -> float:
            pause = super().try_acquire(most)
            clock.now += 2
            return pause

    store = Slow(LIMIT, WINDOW + 5, clock)
    looks = budget_on(store, clock)
    store.record(LIMIT)
    for moment in (0.0, WINDOW + 1):
        clock.now = 1000 + moment
        with pytest.raises(BudgetWaitError):
            looks.acquire(timeout=0, yields=True)
    assert store.used() == LIMIT


def test_a_waiting_look_is_in_nobodys_way() -> None:
    clock = SteppedClock()
    store = MemoryStore(LIMIT, WINDOW + 0.5, clock)
    asleep, awake = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        asleep.set()
        awake.wait(10)
        clock.sleep(seconds)

    budget = Budget(BudgetSettings("https://api.example/", LIMIT, WINDOW), TOKEN, store=store, sleep=sleep, clock=clock)
    store.record(95)
    look = threading.Thread(target=budget.acquire, kwargs={"yields": True})
    look.start()
    assert asleep.wait(10)
    assert budget.acquire(timeout=0) == 0
    awake.set()
    look.join(10)
    assert not look.is_alive()


def test_nobody_else_pays_for_it_with_a_question_to_the_store() -> None:
    asked: list[str] = []

    class Listening(MemoryStore):
        def __getattribute__(self, name: str) -> object:
            if name in ("try_acquire", "gate", "used", "learned", "record"):
                asked.append(name)
            return super().__getattribute__(name)

    clock = SteppedClock()
    budget = budget_on(Listening(LIMIT, WINDOW, clock), clock)
    budget.acquire()
    asked.clear()
    budget.acquire()
    assert sorted(asked) == ["gate", "try_acquire"]
    asked.clear()
    budget.acquire(yields=True)
    assert sorted(asked) == ["gate", "try_acquire"]


def test_the_yielding_sibling_of_a_session_yields(server: ScriptedServer) -> None:
    clock = SteppedClock()
    session = new_session(server.url, clock)
    session.budget._store.record(900)
    look = session.yielding(5.0)
    with pytest.raises(BudgetWaitError, match="left to those who submit"):
        look.request("GET", "look")
    session.request("GET", "work")
    assert look.budget is session.budget
    assert not session.yields


@pytest.mark.parametrize(("used", "seconds"), [(0, 60 * 10 / 225), (800, 24.0), (895, 60.0), (900, 60.0), (1000, 60.0)])
def test_looks_may_take_a_quarter_of_what_is_left_above_the_reserve(used: int, seconds: float) -> None:
    settings = BudgetSettings("https://api.example/", 1000, 60.0)
    session = SimpleNamespace(budget=SimpleNamespace(settings=settings, used=lambda: used))
    assert affordable(session, 10) == pytest.approx(seconds)
