"""The log of several hosts, against a real Redis or Valkey server on its usual port."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_src_provider.client import stores
from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.stores import RedisStore, StoreDownError
from airflow_src_provider.exceptions import BudgetWaitError
from tests.needs import redis_url
from tests.unit.client.redis_server import Door


@pytest.fixture(scope="module")
def url() -> str:
    return redis_url()


@pytest.fixture(autouse=True)
def old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    # The server may have been started just before the tests.
    monkeypatch.setattr(RedisStore, "_look_at_age", lambda self: None)


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def door(url: str) -> Iterator[Door]:
    door = Door()
    door.open()
    yield door
    door.shut()


def test_the_log_is_shared_and_exact(url: str, name: str) -> None:
    one, two, other = (RedisStore(url, n, 4, 1.0) for n in (name, name, f"{name}-other"))
    assert [store.try_acquire() for store in (one, two, one, two)] == [0.0] * 4
    pause = one.try_acquire()
    assert 0.5 < pause <= 1.002
    assert two.try_acquire() > 0
    assert one.used() == two.used() == 4
    assert other.try_acquire() == 0.0
    time.sleep(pause + 0.002)
    assert two.try_acquire() == 0.0


def test_the_gate_is_shared_and_only_ever_closes_for_longer(url: str, name: str) -> None:
    one, two = RedisStore(url, name, 4, 1.0), RedisStore(url, name, 4, 1.0)
    assert one.gate() == 0.0
    one.close_gate(0.4)
    two.close_gate(0.05)
    assert 0.2 < two.gate() <= 0.4
    time.sleep(0.42)
    assert one.gate() == 0.0


@pytest.mark.parametrize("seconds", [10**9, None])
def test_a_gate_that_nobody_can_have_closed_is_open(url: str, name: str, seconds: int | None) -> None:
    store = RedisStore(url, name, 4, 60.0)
    store.gate()
    store._redis.set(store._shared("gate"), "1", ex=seconds)
    assert store.gate() == 0.0
    store.close_gate(60)
    assert store.gate() == pytest.approx(60, abs=1)
    store._redis.delete(store._shared("gate"))


@pytest.mark.parametrize("step", [65.0, -65.0, 1e6])
def test_a_host_whose_clock_is_wrong_counts_like_the_others(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    one, wrong = RedisStore(url, name, 5, 60.0), RedisStore(url, name, 5, 60.0)
    assert [one.try_acquire() for _ in range(3)] == [0.0] * 3
    real = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real() + step)
        wrong.record(1)
        assert [wrong.try_acquire(), wrong.used()] == [0.0, 5]
        assert wrong.try_acquire() == pytest.approx(60, abs=1)
    assert one.used() == 5
    assert one.try_acquire() == pytest.approx(60, abs=1)


def test_threads_of_one_process_share_a_store(url: str, name: str) -> None:
    store = RedisStore(url, name, 50, 60.0)
    pauses: list[float] = []
    threads = [threading.Thread(target=lambda: pauses.extend(store.try_acquire() for _ in range(10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (pauses.count(0.0), len(pauses), store.used()) == (50, 80, 50)


def test_a_forked_child_has_a_connection_of_its_own(url: str, name: str) -> None:
    store = RedisStore(url, name, 10, 60.0)
    store.try_acquire()
    parents = store._redis
    child = os.fork()
    if child == 0:
        os._exit(0 if store.try_acquire() == 0.0 and store._redis is not parents else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.try_acquire() == 0.0
    assert store.used() == 3


def test_a_server_that_forgot_its_scripts_is_no_problem(url: str, name: str) -> None:
    store = RedisStore(url, name, 10, 60.0)
    store.try_acquire()
    store._redis.script_flush()
    assert store.try_acquire() == 0.0
    assert store.used() == 2


def test_an_idle_connection_that_was_cut_is_replaced(door: Door, name: str) -> None:
    store = RedisStore(door.url, name, 10, 60.0)
    store.try_acquire()
    door.cut()
    assert store.try_acquire() == 0.0


def test_a_server_that_is_away_is_reported_at_once_and_used_again(door: Door, name: str) -> None:
    store = RedisStore(door.url, name, 10, 60.0)
    store.try_acquire()
    door.shut()
    for use in (store.try_acquire, store.gate, store.used, lambda: store.close_gate(1)):
        started = time.monotonic()
        with pytest.raises(StoreDownError, match="Redis: ConnectionError"):
            use()
        assert time.monotonic() - started < 0.5
    door.open()
    assert store.try_acquire() == 0.0
    assert store.used() == 2


def test_a_server_that_hangs_is_given_up(door: Door, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "REDIS_TIMEOUT", 0.1)
    store = RedisStore(door.url, name, 10, 60.0)
    store.try_acquire()
    door.jammed = True
    started = time.monotonic()
    with pytest.raises(StoreDownError, match="Redis: TimeoutError"):
        store.try_acquire()
    assert time.monotonic() - started < 1


def test_the_budget_survives_a_server_that_goes_and_comes(
    door: Door, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = BudgetSettings("https://api.example/", 20, 60.0, store=door.url, directory=tmp_path)
    budget = Budget(settings, name)
    budget.acquire(timeout=0)
    door.shut()
    budget.acquire(timeout=1)
    with pytest.raises(BudgetWaitError):
        budget.acquire(timeout=1)
    door.open()
    budget._store_down_until = 0.0
    for _ in range(18):
        budget.acquire(timeout=1)
    with pytest.raises(BudgetWaitError):
        budget.acquire(timeout=1)
    assert sum("cannot be used" in line for line in caplog.messages) == 1


def test_the_address_with_its_password_is_in_no_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = "redis://u:planted-pw@127.0.0.1:1/0"
    budget = Budget(BudgetSettings("https://api.example/", 20, 60.0, store=address, directory=tmp_path), "t")
    budget.acquire(timeout=5)
    assert "cannot be used" in caplog.text
    assert "planted-pw" not in caplog.text + repr(budget)


def test_all_shares_of_a_token_count_in_one_log(url: str, name: str) -> None:
    whole, share = RedisStore(url, name, 10, 60.0), RedisStore(url, name, 5, 60.0, whole=10)
    assert [share.try_acquire() for _ in range(3)] == [0.0] * 3
    assert [whole.try_acquire() for _ in range(2)] == [0.0] * 2
    # The share is used up, whoever used it.
    assert share.try_acquire() > 59
    assert [whole.try_acquire() for _ in range(5)] == [0.0] * 5
    assert whole.try_acquire() > 59
    assert share.used() == whole.used() == 10


def test_fewer_may_be_asked_for(url: str, name: str) -> None:
    store = RedisStore(url, name, 10, 2.0)
    assert [store.try_acquire(9) for _ in range(9)] == [0.0] * 9
    pause = store.try_acquire(9)
    assert 0.5 < pause <= 2.002
    assert store.try_acquire() == 0.0
    assert store.used() == 10


def test_what_was_sent_elsewhere_is_put_on_record_as_far_as_there_is_room(url: str, name: str) -> None:
    store = RedisStore(url, name, 10, 60.0)
    store.record(7)
    assert store.used() == 7
    store.record(7)
    store.record(0)
    assert store.used() == 10
    assert store.try_acquire() > 59


def test_a_number_is_kept_for_everybody_and_for_a_time(url: str, name: str) -> None:
    one, two = RedisStore(url, name, 10, 60.0), RedisStore(url, name, 10, 60.0)
    assert one.learned() is None
    one.learn(7, 30)
    number, left = two.learned() or (0, 0.0)
    assert number == 7
    assert left == pytest.approx(30, abs=5)
    two.learn(4, 0.05)
    time.sleep(0.06)
    assert one.learned() is None


def test_a_log_that_was_emptied_is_noticed_by_whoever_had_a_permit(
    url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, fresh = (RedisStore(url, name, 40, 60.0) for _ in range(3))
    assert (one.try_acquire(), two.try_acquire()) == (0.0, 0.0)
    time.sleep(stores.CLOCK_STEP + 0.01)
    one._redis.delete(one._key)
    assert fresh.try_acquire() == 0.0
    # Nine tenths are held back, whatever was sent before and since.
    assert (one.try_acquire(), two.try_acquire()) == (0.0, 0.0)
    assert one.used() == 38
    assert sum("has lost" in line for line in caplog.messages) == 2
    assert [fresh.try_acquire() for _ in range(3)] == [0.0, 0.0, pytest.approx(60, abs=5)]


def test_an_emptied_log_is_noticed_before_anything_is_put_on_record(url: str, name: str) -> None:
    store = RedisStore(url, name, 40, 60.0)
    store.try_acquire()
    store._redis.delete(store._key)
    store.record(2)
    assert store.used() == 38


def before_each_command(store: RedisStore, monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have something happen before each command that a store sends."""
    send = store._redis.execute_command
    monkeypatch.setattr(store._redis, "execute_command", lambda *words, **options: (do(), send(*words, **options))[1])


def test_most_of_an_emptied_log_is_held_back_however_busy_others_are(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "CLOCK_STEP", 0.0)
    store, busy = RedisStore(url, name, 40, 60.0), RedisStore(url, name, 40, 60.0)
    store.try_acquire()
    store._redis.delete(store._key)
    before_each_command(store, monkeypatch, busy.try_acquire)
    store.try_acquire()
    assert busy.used() >= 36


@pytest.mark.parametrize("command", range(5))
def test_a_loss_is_not_forgotten_when_the_server_goes_away_while_most_is_held_back(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch, command: int
) -> None:
    store = RedisStore(url, name, 40, 60.0)
    store.try_acquire()
    store._redis.delete(store._key)
    commands = itertools.count()

    def fail_once() -> None:
        if next(commands) == command:
            raise OSError("away")

    before_each_command(store, monkeypatch, fail_once)
    for _ in range(3):
        with contextlib.suppress(StoreDownError):
            store.try_acquire()
    # The answer to a permit may have been lost.
    assert 38 <= store.used() <= 39


def test_a_log_that_was_set_back_is_noticed_too(url: str, name: str) -> None:
    store = RedisStore(url, name, 40, 60.0)
    store.try_acquire()
    early = store._redis.dump(store._key)
    time.sleep(stores.CLOCK_STEP + 0.01)
    for _ in range(30):
        store.try_acquire()
    store._redis.restore(store._key, 60_000, early, replace=True)
    store.try_acquire()
    assert store.used() == 37


WORKER = """
import sys, time
from airflow_src_provider.client.stores import RedisStore
store, permits = RedisStore(sys.argv[1], sys.argv[2], int(sys.argv[3]), 1.0, int(sys.argv[5])), 0
while permits < int(sys.argv[4]):
    before = time.time()
    pause = store.try_acquire()
    if pause:
        time.sleep(pause)
    else:
        permits += 1
        print(before, time.time())
"""


def test_processes_share_one_log_exactly(url: str, name: str) -> None:
    limit, each = 60, 25
    # Half of them have a share only; all of them together keep to what the service allows.
    allowed = [limit, limit // 2, limit, limit // 2]
    arguments = [[sys.executable, "-c", WORKER, url, name, str(own), str(each), str(limit)] for own in allowed]
    workers = [subprocess.Popen(argument, stdout=subprocess.PIPE, text=True) for argument in arguments]
    lines = [line.split() for worker in workers for line in worker.communicate(timeout=60)[0].splitlines()]
    assert len(lines) == 4 * each
    # Each permit was given between its two times, so this holds on the busiest machine if the log is exact.
    before, after = (sorted(float(time) for time in column) for column in zip(*lines, strict=True))
    assert all(later - earlier >= 1.0 for earlier, later in zip(before, after[limit:], strict=False))
