"""A host's log, when its process is forked, waits in several threads, or is interrupted by a signal at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.locks import ProcessLock
from airflow_src_provider.client.stores import StoreDownError
from tests.unit.client.interruptions import interrupt
from tests.unit.client.test_stores import NAME, file_store, is_locked, rows


def in_child(do: Callable[[], bool]) -> bool:
    """Return what ``do`` returns in a forked child."""
    child = os.fork()
    if child == 0:
        status = 2
        with contextlib.suppress(BaseException):
            signal.alarm(10)
            status = 0 if do() else 1
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def is_down(store: FileStore) -> bool:
    try:
        store.try_acquire()
    except StoreDownError:
        return True
    return False


# --- forks ---


@contextlib.contextmanager
def lock_held(folder: Path) -> Iterator[None]:
    """Hold the lock as another process would."""
    (path,) = folder.glob("*.lock")
    lock = ProcessLock(path, timeout=1)
    lock.acquire(time.monotonic() + 1)
    try:
        yield
    finally:
        lock.close()


def test_a_forked_child_neither_holds_nor_frees_its_parents_lock(tmp_path: Path) -> None:
    store = file_store(tmp_path, lock_timeout=0.05)
    store.try_acquire()
    with lock_held(tmp_path):
        assert in_child(lambda: is_down(store))
        # The child's end has not given the lock away.
        assert is_down(store)
    assert in_child(lambda: store.try_acquire() == 0.0)
    assert store.try_acquire() == 0.0
    assert store.used() == 3


class TellingStore(FileStore):
    """Tells when a fork is about to happen, and when it may."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.inside, self.about_to_fork = threading.Event(), threading.Event()
        self.events: list[str] = []
        super().__init__(folder, NAME, 10, 60.0, **options)

    def stay_until_the_fork(self, *_: object) -> None:
        self.inside.set()
        self.about_to_fork.wait(5)
        self.events.append("out")

    def before_fork(self) -> None:
        self.about_to_fork.set()
        super().before_fork()
        self.events.append("fork")


def stay_in_use(store: TellingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store._using(store.stay_until_the_fork)


def stay_in_opening(store: TellingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = store._connect_once
    monkeypatch.setattr(store, "_connect_once", lambda: (store.stay_until_the_fork(), connect())[1])
    store.used()


@pytest.mark.parametrize("stay", [stay_in_use, stay_in_opening])
def test_a_fork_waits_until_no_thread_is_inside_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stay: Callable[[TellingStore, pytest.MonkeyPatch], None]
) -> None:
    store = TellingStore(tmp_path)
    thread = threading.Thread(target=stay, args=(store, monkeypatch))
    thread.start()
    store.inside.wait(5)
    assert in_child(lambda: store.try_acquire() == 0.0)
    thread.join()
    assert store.events[:2] == ["out", "fork"]
    assert store.try_acquire() == 0.0
    assert store.used() == 2


def test_a_child_uses_no_database_that_a_thread_of_its_parent_did_not_come_out_of(tmp_path: Path) -> None:
    store = file_store(tmp_path, lock_timeout=0.05)
    store.try_acquire()
    inside, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: store._using(lambda _: (inside.set(), go.wait(5))))
    thread.start()
    inside.wait(5)
    assert in_child(lambda: is_down(store))
    go.set()
    thread.join()
    assert store.try_acquire() == 0.0


def test_a_child_its_parent_and_others_count_in_one_log_whoever_ends_first(tmp_path: Path) -> None:
    limit = 10
    store = file_store(tmp_path, limit)
    store.try_acquire()
    to_child, from_child = os.pipe(), os.pipe()

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.alarm(10)
            while os.read(to_child[0], 1) == b"?":
                os.write(from_child[1], b"n" if store.try_acquire() else b"y")
        os._exit(0)

    def child_acquires() -> bool:
        os.write(to_child[1], b"?")
        return os.read(from_child[0], 1) == b"y"

    assert child_acquires()
    # As at its end: whoever closes the last connection removes the journal.
    store._drop()
    other = file_store(tmp_path, limit)
    admitted = sum(child_acquires() + (other.try_acquire() == 0.0) for _ in range(limit))
    assert admitted == limit - 2
    os.write(to_child[1], b".")
    os.waitpid(child, 0)
    assert len(rows(tmp_path)) == other.used() == limit
    for pipe in (*to_child, *from_child):
        os.close(pipe)


def test_a_fork_costs_its_parent_no_permit_and_leaves_no_file_open(tmp_path: Path) -> None:
    store = file_store(tmp_path, 10)
    for _ in range(3):
        store.try_acquire()
        usual = len(os.listdir("/proc/self/fd"))
        assert in_child(lambda: store.try_acquire() == 0.0)
        store.used()
        assert len(os.listdir("/proc/self/fd")) == usual
    assert store.used() == 6


# --- threads ---


def test_threads_that_wait_for_a_stopped_holder_wait_side_by_side(tmp_path: Path) -> None:
    store = file_store(tmp_path, lock_timeout=0.2)
    store.try_acquire()
    down: list[bool] = []
    threads = [threading.Thread(target=lambda: down.append(is_down(store))) for _ in range(6)]
    with lock_held(tmp_path):
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - started < 0.6
    assert down == [True] * 6
    assert store.try_acquire() == 0.0


# --- signals ---


@pytest.mark.parametrize("opened", [True, False])
def test_whenever_a_signal_comes_nothing_is_left_locked_or_half_done(tmp_path: Path, opened: bool) -> None:
    other = file_store(tmp_path, 10**6, lock_timeout=0.0)
    other.try_acquire()
    moment = 0
    interrupted = True
    while interrupted:
        store = file_store(tmp_path, 10**6)
        if opened:
            store.try_acquire()
        interrupted = interrupt(store.try_acquire, moment)
        assert not is_locked(tmp_path), moment
        assert store._log is None or not store._log.connection.in_transaction, moment
        assert other.try_acquire() == 0.0, moment
        answers: list[float] = []
        thread = threading.Thread(target=lambda store=store, answers=answers: answers.append(store.try_acquire()))
        thread.start()
        thread.join(5)
        assert answers == [0.0], moment
        moment += 1
    assert moment > 20
