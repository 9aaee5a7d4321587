"""The store is lost in the middle of load: nobody hangs, nobody storms the service, and all come back to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.stores import RedisStore, Store, held_back
from tests.unit.client.redis_server import RedisServer

PROCESSES, LIMIT, WINDOW = 4, 100, 2.9
NAME = "trouble"
LONGEST = 10.0
PATIENCE = 90.0

WORKER = """
import json, sys, time
from pathlib import Path
from airflow_src_provider.client import budget as module
from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.stores import RedisStore
from airflow_src_provider.exceptions import BudgetWaitError
place, limit, window, stop = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
settings = module.BudgetSettings(
    "https://api.example/",
    limit,
    window,
    store=place if place.startswith("redis") else "",
    directory=stop.parent / "alone",
)
module.STORE_RETRY = 0.3
if place.startswith("redis"):
    store = RedisStore(place, "trouble", limit, window + settings.margin)
else:
    store = FileStore(place, "trouble", limit, window + settings.margin, lock_timeout=0.3)
budget = module.Budget(settings, "t", store=store)
permits, longest, alone = [], 0.0, 0
store.used()
print("ready", flush=True)
while not stop.exists():
    before = time.monotonic()
    try:
        budget.acquire(timeout=1)
        permits.append((before, time.monotonic()))
    except BudgetWaitError as error:
        time.sleep(min(error.retry_after, 0.1))
    longest = max(longest, time.monotonic() - before)
    alone += budget._fallback is not None
print(json.dumps({"permits": permits, "longest": longest, "alone": alone, "back": budget._fallback is None}))
"""


class Load:
    """Processes that take every permit they can get."""

    def __init__(self, place: str, folder: Path) -> None:
        self._stop = folder / "stop"
        arguments = [sys.executable, "-c", WORKER, place, str(LIMIT), str(WINDOW), str(self._stop)]
        self._workers = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
        for worker in self._workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"

    def end(self) -> list[dict[str, object]]:
        self._stop.touch()
        return [json.loads(worker.communicate(timeout=PATIENCE)[0]) for worker in self._workers]

    def kill(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.communicate()


def until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < give_up, "it did not come to that"
        time.sleep(0.02)


def check(load: Load, store: Store, trouble: Callable[[], None], small_shares: int) -> list[dict[str, object]]:
    """Make trouble while the window is full; return what the processes tell when it is full again.

    :param small_shares: how often a tenth of the allowance may go out meanwhile.
    """
    until(lambda: store.used() >= LIMIT)
    trouble()
    # What was held back for a window is over by then, and what is on record was really sent.
    time.sleep(2 * WINDOW)
    until(lambda: store.used() >= LIMIT)
    told = load.end()
    assert all(one["back"] for one in told)
    assert max(float(str(one["longest"])) for one in told) < LONGEST
    permits = [permit for one in told for permit in one["permits"]]  # type: ignore[attr-defined]
    before, after = (sorted(column) for column in zip(*permits, strict=True))
    # A second allowance is what must never go out.
    most = LIMIT + small_shares * (LIMIT - held_back(LIMIT))
    assert all(later - earlier >= WINDOW for earlier, later in zip(before, after[most:], strict=False))
    assert len(permits) > 2 * LIMIT
    return told


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    with redis.Redis(port=server.port) as connection:
        # A younger one would not be trusted with all of the allowance.
        until(lambda: connection.info("server")["uptime_in_seconds"] > WINDOW + 1)
    yield server
    server.kill()


def test_a_server_that_is_killed_and_comes_back_empty(server: RedisServer, tmp_path: Path) -> None:
    load = Load(server.url, tmp_path)
    store = RedisStore(server.url, NAME, LIMIT, WINDOW + 0.05)

    def trouble() -> None:
        server.kill()
        time.sleep(1.0)
        server.start()

    try:
        # One of the host while the server is away, and one of the empty log.
        told = check(load, store, trouble, small_shares=2)
    finally:
        load.kill()
    assert any(one["alone"] for one in told)


def test_a_server_that_comes_back_so_soon_that_nobody_missed_it(server: RedisServer, tmp_path: Path) -> None:
    load = Load(server.url, tmp_path)

    def trouble() -> None:
        server.kill()
        server.start()

    try:
        check(load, RedisStore(server.url, NAME, LIMIT, WINDOW + 0.05), trouble, small_shares=2)
    finally:
        load.kill()


def test_files_that_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "budget"
    load = Load(str(folder), tmp_path)

    def trouble() -> None:
        for file in folder.iterdir():
            file.unlink(missing_ok=True)

    try:
        check(load, FileStore(folder, NAME, LIMIT, WINDOW + 0.05), trouble, small_shares=PROCESSES)
    finally:
        load.kill()


HOLDER = """
import sys, time
from pathlib import Path
from airflow_src_provider.client.locks import ProcessLock
lock = ProcessLock(Path(sys.argv[1]), timeout=60)
lock.acquire(time.monotonic() + 60)
print("holding", flush=True)
time.sleep(60)
"""


def test_a_holder_of_the_lock_that_is_stopped_and_then_killed(tmp_path: Path) -> None:
    folder = tmp_path / "budget"
    load = Load(str(folder), tmp_path)

    def trouble() -> None:
        (lock,) = folder.glob("*.lock")
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        holder.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        holder.kill()
        holder.communicate()

    try:
        told = check(load, FileStore(folder, NAME, LIMIT, WINDOW + 0.05), trouble, small_shares=PROCESSES)
    finally:
        load.kill()
    assert any(one["alone"] for one in told)
