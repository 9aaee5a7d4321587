"""The log of sent requests: exact, shared by processes, and never the reason for a standstill."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.stores import MemoryStore, Store, StoreDownError
from tests.unit.client.server import SteppedClock

NAME = "api.example-0123456789"
# What happens next: another arrival after so many seconds.
GAPS = st.lists(
    st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 1), st.floats(0, 5), st.sampled_from([0.999, 1.0, 1.001])),
    max_size=80,
)


def file_store(folder: Path, limit: int = 10, window: float = 60.0, **options: object) -> FileStore:
    return FileStore(folder, NAME, limit, window, **options)  # type: ignore[arg-type]


def make_memory_store(folder: Path, limit: int, window: float, clock: SteppedClock) -> Store:
    return MemoryStore(limit, window, clock)


def make_file_store(folder: Path, limit: int, window: float, clock: SteppedClock) -> Store:
    return FileStore(folder, f"{NAME}-{time.monotonic_ns()}", limit, window, clock)


MAKERS = [make_memory_store, make_file_store]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budget")


# --- exact counting ---


@pytest.mark.parametrize("make", MAKERS)
@given(limit=st.integers(1, 6), window=st.sampled_from([0.05, 1.0, 2.5]), gaps=GAPS, waits=st.booleans())
def test_no_window_ever_holds_more_than_the_limit(
    make: Callable[..., Store], folder: Path, limit: int, window: float, gaps: list[float], waits: bool
) -> None:
    clock = SteppedClock(0.0)
    store = make(folder, limit, window, clock)
    admitted: list[float] = []
    for gap in gaps:
        clock.now += gap
        pause = store.try_acquire()
        if pause and waits:
            assert pause <= window + 0.002
            # Whole milliseconds of a clock in fractions: one of them may get lost.
            clock.now += pause + 0.001
            pause = store.try_acquire()
            assert not pause, "room was promised after the pause"
        if not pause:
            admitted.append(clock.now)
        else:
            # A refusal is right: the window before this moment is full.
            assert sum(clock.now - at <= window + 0.0021 for at in admitted) >= limit
    for i in range(len(admitted) - limit):
        assert admitted[i + limit] - admitted[i] > window - 1e-9


@pytest.mark.parametrize("make", MAKERS)
def test_the_whole_allowance_may_go_at_once(make: Callable[..., Store], folder: Path) -> None:
    clock = SteppedClock()
    store = make(folder, 50, 10.0, clock)
    assert [store.try_acquire() for _ in range(50)] == [0.0] * 50
    assert store.used() == 50
    assert store.try_acquire() == pytest.approx(10.0, abs=0.002)
    clock.now += 4
    assert store.try_acquire() == pytest.approx(6.0, abs=0.002)
    clock.now += 6.002
    assert store.used() == 0
    assert store.try_acquire() == 0.0


@pytest.mark.parametrize("make", MAKERS)
def test_the_gate_only_ever_closes_for_longer(make: Callable[..., Store], folder: Path) -> None:
    clock = SteppedClock()
    store = make(folder, 5, 60.0, clock)
    assert store.gate() == 0.0
    store.close_gate(30)
    store.close_gate(5)
    assert store.gate() == pytest.approx(30)
    clock.now += 29
    assert store.gate() == pytest.approx(1)
    clock.now += 2
    assert store.gate() == 0.0


@pytest.mark.parametrize("make", MAKERS)
def test_fewer_may_be_asked_for(make: Callable[..., Store], folder: Path) -> None:
    clock = SteppedClock()
    store = make(folder, 10, 60.0, clock)
    assert [store.try_acquire(9) for _ in range(9)] == [0.0] * 9
    assert store.try_acquire(9) == pytest.approx(60.0, abs=0.002)
    assert store.try_acquire() == 0.0
    assert store.used() == 10


@pytest.mark.parametrize("make", MAKERS)
def test_what_was_sent_elsewhere_is_put_on_record_as_far_as_there_is_room(
    make: Callable[..., Store], folder: Path
) -> None:
    clock = SteppedClock()
    store = make(folder, 10, 60.0, clock)
    store.record(7)
    assert store.used() == 7
    clock.now += 10
    store.record(7)
    store.record(0)
    assert store.used() == 10
    assert store.try_acquire() == pytest.approx(50.0, abs=0.002)


@pytest.mark.parametrize("make", MAKERS)
def test_a_number_is_kept_for_a_time(make: Callable[..., Store], folder: Path) -> None:
    clock = SteppedClock()
    store = make(folder, 10, 60.0, clock)
    assert store.learned() is None
    store.learn(123, 30)
    clock.now += 10
    assert store.learned() == (123, pytest.approx(20))
    store.learn(7, 30)
    assert store.learned() == (7, pytest.approx(30))
    clock.now += 31
    assert store.learned() is None


def test_old_rows_are_removed(tmp_path: Path) -> None:
    clock = SteppedClock()
    store = file_store(tmp_path, 100, 10.0, clock=clock)
    for _ in range(40):
        assert not store.try_acquire()
        clock.now += 20
    assert len(rows(tmp_path)) <= 610 / 20 + 2


def rows(folder: Path) -> list[int]:
    """Return the milliseconds of all permits on record."""
    (path,) = folder.glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT item_timestamp FROM sent ORDER BY item_timestamp")]


# --- several users of one file ---


def test_two_stores_of_one_name_count_together(tmp_path: Path) -> None:
    one, two = file_store(tmp_path, 4), file_store(tmp_path, 4)
    assert [store.try_acquire() for store in (one, two, one, two)] == [0.0] * 4
    assert one.try_acquire() > 59
    assert two.try_acquire() > 59
    assert one.used() == two.used() == 4
    one.close_gate(20)
    assert two.gate() == pytest.approx(20, abs=0.5)


def test_stores_of_different_limits_see_each_other(tmp_path: Path) -> None:
    whole, share = file_store(tmp_path, 4), file_store(tmp_path, 2)
    assert not whole.try_acquire()
    assert not whole.try_acquire()
    assert share.try_acquire() > 59
    assert not whole.try_acquire()


def test_different_names_count_apart(tmp_path: Path) -> None:
    one, two = FileStore(tmp_path, "a", 1, 60.0), FileStore(tmp_path, "b", 1, 60.0)
    assert (one.try_acquire(), two.try_acquire()) == (0.0, 0.0)
    one.close_gate(10)
    assert two.gate() == 0.0


def test_steps_of_the_wall_clock_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteppedClock()
    store = file_store(tmp_path, 3, 60.0, clock=clock)
    real = time.time
    for step in (0, 1e6, -1e6):
        monkeypatch.setattr(time, "time", lambda step=step: real() + step)
        monkeypatch.setattr(time, "time_ns", lambda step=step: int((real() + step) * 1e9))
        assert store.try_acquire() == 0.0
    assert store.try_acquire() == pytest.approx(60, abs=0.01)
    assert file_store(tmp_path, 3, 60.0, clock=clock).gate() == 0.0


def test_time_is_read_under_the_lock_only(tmp_path: Path) -> None:
    held: list[bool] = []

    def clock() -> float:
        held.append(is_locked(tmp_path))
        return time.monotonic()

    store = file_store(tmp_path, clock=clock)
    store.try_acquire()
    held.clear()
    store.try_acquire()
    # Otherwise time lost waiting for the lock would let the permit expire too early.
    assert held
    assert all(held)


def is_locked(folder: Path) -> bool:
    """Tell whether somebody holds the lock of the log."""
    (path,) = folder.glob("*.lock")
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


WORKER = """
import sys, time
from airflow_src_provider.client.filestore import FileStore
folder, name, limit, window, seconds = sys.argv[1:]
store = FileStore(folder, name, int(limit), float(window))
sent = []
store.used()
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + float(seconds)
while time.monotonic() < until:
    pause = store.try_acquire()
    if pause:
        time.sleep(min(pause, max(0.0, until - time.monotonic())))
    else:
        sent.append(time.monotonic())
print(*sent, flush=True)
"""


def start_workers(number: int, folder: Path, limit: int, window: float, seconds: float) -> list[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", WORKER, str(folder), NAME, str(limit), str(window), str(seconds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(arguments, **pipes) for _ in range(number)]  # type: ignore[call-overload]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return workers


def test_eight_processes_share_one_file_exactly(tmp_path: Path) -> None:
    limit, window = 40, 0.4
    workers = start_workers(8, tmp_path, limit, window, 2.5)
    counts = [len(worker.communicate()[0].split()) for worker in workers]
    sent = rows(tmp_path)
    assert sum(counts) == len(sent)
    assert all(later - earlier > window * 1000 for earlier, later in zip(sent, sent[limit:], strict=False))
    assert len(sent) > limit


def test_killed_holders_never_lock_the_others_out(tmp_path: Path) -> None:
    store = file_store(tmp_path, 10**6, 60.0)
    for worker in start_workers(4, tmp_path, 10**6, 60.0, 60.0):
        for _ in range(10):
            started = time.monotonic()
            assert store.try_acquire() == 0.0
            assert time.monotonic() - started < 2
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        assert store.try_acquire() == 0.0


HOLDER = """
import sys, time
from pathlib import Path
from airflow_src_provider.client.locks import ProcessLock
lock = ProcessLock(Path(sys.argv[1]), timeout=5)
lock.acquire(time.monotonic() + 5)
print("holding", flush=True)
time.sleep(60)
"""


def test_a_stopped_holder_stops_nobody_for_longer_than_the_time_out(tmp_path: Path) -> None:
    store = file_store(tmp_path, lock_timeout=0.2)
    store.try_acquire()
    (lock,) = tmp_path.glob("*.lock")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        holder.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(StoreDownError, match=r"held by another process for 0\.2 s"):
            store.try_acquire()
        assert 0.2 <= time.monotonic() - started < 1
        assert store.gate() == 0.0
    finally:
        holder.kill()
        holder.communicate()
    assert store.try_acquire() == 0.0


def test_threads_of_one_process_share_a_store(tmp_path: Path) -> None:
    store = file_store(tmp_path, 100)
    pauses: list[float] = []
    threads = [threading.Thread(target=lambda: pauses.extend(store.try_acquire() for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (pauses.count(0.0), len(pauses), store.used()) == (100, 160, 100)
