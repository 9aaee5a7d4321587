"""What a refusal teaches, for how long, and to whom."""

from __future__ import annotations

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.learning import FIRST_STEP, HOLD, OTHERS_LATER, RISE, Ceiling
from airflow_src_provider.client.stores import MemoryStore
from airflow_src_provider.exceptions import BudgetWaitError
from tests.unit.client.server import SteppedClock
from tests.unit.client.sessions import TOKEN

ALLOWED, WINDOW = 1000, 60.0


@pytest.fixture
def store(clock: SteppedClock) -> MemoryStore:
    return MemoryStore(ALLOWED, WINDOW + 0.5, clock)


def refuse(ceiling: Ceiling, store: MemoryStore, clock: SteppedClock, used: int) -> int:
    """Let a refusal come with so many requests on record, and return what is used from now on."""
    clock.now += WINDOW + 1
    store.record(used)
    ceiling.lower(store)
    return ceiling.now(store)


def test_without_a_refusal_all_is_used(store: MemoryStore, clock: SteppedClock) -> None:
    assert Ceiling(ALLOWED, WINDOW, clock).now(store) == ALLOWED


def test_after_a_refusal_a_little_less_than_there_was_room_for_is_used_by_everybody(
    store: MemoryStore, clock: SteppedClock
) -> None:
    one, other = Ceiling(ALLOWED, WINDOW, clock), Ceiling(ALLOWED, WINDOW, clock)
    assert other.now(store) == ALLOWED
    assert refuse(one, store, clock, 700) == 665
    clock.now += 1
    assert other.now(store) == 665
    assert Ceiling(ALLOWED, WINDOW, clock).now(store) == 665


def test_refusals_of_one_cause_count_once(store: MemoryStore, clock: SteppedClock) -> None:
    processes = [Ceiling(ALLOWED, WINDOW, clock) for _ in range(8)]
    assert refuse(processes[0], store, clock, 700) == 665
    for process in processes:
        clock.now += 0.1
        process.lower(store)
        assert process.now(store) == 665


def test_a_refusal_that_follows_soon_costs_more(store: MemoryStore, clock: SteppedClock) -> None:
    ceiling = Ceiling(ALLOWED, WINDOW, clock)
    assert refuse(ceiling, store, clock, 1000) == 950
    assert refuse(ceiling, store, clock, 900) == 765


@pytest.mark.parametrize("used", [0, 3, 100])
def test_one_refusal_costs_half_at_most_and_many_never_all(store: MemoryStore, clock: SteppedClock, used: int) -> None:
    ceiling = Ceiling(ALLOWED, WINDOW, clock)
    assert [refuse(ceiling, store, clock, used) for _ in range(5)] == [500, 250, 125, 100, 100]


def test_it_never_rises_by_a_refusal(store: MemoryStore, clock: SteppedClock) -> None:
    ceiling = Ceiling(ALLOWED, WINDOW, clock)
    assert refuse(ceiling, store, clock, 400) == 500
    assert refuse(ceiling, store, clock, 990) == 500


def test_more_is_tried_later_slowly_at_first_and_by_one_process(store: MemoryStore, clock: SteppedClock) -> None:
    one, other = Ceiling(ALLOWED, WINDOW, clock), Ceiling(ALLOWED, WINDOW, clock)
    refuse(one, store, clock, 500)
    begin = clock.now
    seen = []
    for window in range(HOLD + RISE + 1):
        clock.now = begin + window * WINDOW
        seen.append((one.now(store), other.now(store)))
    ours, others = zip(*seen, strict=True)
    assert ours[: HOLD + 1] == (500,) * (HOLD + 1)
    assert ours[HOLD + 1] == 500 + ALLOWED * FIRST_STEP
    assert list(ours) == sorted(ours)
    assert list(others) == sorted(others)
    assert others[: HOLD + OTHERS_LATER + 1] == (500,) * (HOLD + OTHERS_LATER + 1)
    assert others[HOLD + OTHERS_LATER + 1] > 500
    assert ours[-1] == others[-1] == ALLOWED


def test_a_budget_keeps_to_it_and_says_why(store: MemoryStore, clock: SteppedClock) -> None:
    settings = BudgetSettings("https://api.example/", ALLOWED, WINDOW)
    one, other = (Budget(settings, TOKEN, store=store, clock=clock) for _ in range(2))
    store.record(600)
    one.observe(429, {"Retry-After": "3"})
    clock.now += 5
    with pytest.raises(BudgetWaitError, match="others use this token too and leave 570 requests") as caught:
        other.acquire(timeout=0)
    assert caught.value.retry_after == pytest.approx(55.5, abs=0.1)


def test_a_service_that_says_how_much_is_left_teaches_that_instead(store: MemoryStore, clock: SteppedClock) -> None:
    budget = Budget(BudgetSettings("https://api.example/", ALLOWED, WINDOW), TOKEN, store=store, clock=clock)
    headers = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1793000060"}
    budget.observe(429, CaseInsensitiveDict({**headers, "Date": "Sun, 25 Oct 2026 20:53:20 GMT"}))
    assert store.learned() is None
    assert store.gate() > 0
