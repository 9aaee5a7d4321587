"""Where the log of sent requests is kept, so that everybody who uses a token counts together.

A store answers three questions: may one more request go now, until when must everybody be silent, and how many
requests are on record. The counting itself is an exact sliding log of a library (``pyrate-limiter`` on SQLite for one
host, ``limits`` on Redis for several): approximations such as token buckets let up to twice the allowance through.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

log = logging.getLogger(__name__)

LOCK_POLL = 0.001
LOCK_TIMEOUT = 5.0
LEAK_EVERY = 10.0
KEEP_ROWS_MS = 600_000


class StoreDownError(Exception):
    """The store cannot be used now; the budget falls back to a small share of its own."""


class Store(Protocol):
    """What a budget needs of a place to count in."""

    def try_acquire(self) -> float:
        """Record one request. Return 0.0 when it may go, else the seconds after which to ask again."""

    def gate(self) -> float:
        """Return the seconds for which nobody may send; 0.0 when the gate is open."""

    def close_gate(self, seconds: float) -> None:
        """Keep everybody silent for at least so many seconds from now."""

    def used(self) -> int:
        """Return how many requests of the running window are on record."""


class MemoryStore:
    """Counts for one process only: the fallback while a shared store is down.

    :param limit: requests per window.
    :param window: seconds, margin included.
    """

    def __init__(self, limit: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        from pyrate_limiter import InMemoryBucket, Rate

        self._clock = clock
        self._window = window
        self._bucket = InMemoryBucket([Rate(limit, int(window * 1000))])
        self._gate_until = 0.0

    def try_acquire(self) -> float:
        from pyrate_limiter import RateItem

        now = int(self._clock() * 1000)
        self._bucket.leak(now)
        item = RateItem("r", now)
        if self._bucket.put(item):
            return 0.0
        return _bounded(int(self._bucket.waiting(item)), self._window)

    def gate(self) -> float:
        return max(0.0, self._gate_until - self._clock())

    def close_gate(self, seconds: float) -> None:
        self._gate_until = max(self._gate_until, self._clock() + seconds)

    def used(self) -> int:
        self._bucket.leak(int(self._clock() * 1000))
        return self._bucket.count()


class _ProcessLock:
    """An exclusive lock between processes that the kernel gives back when its holder dies.

    It polls instead of blocking: a holder that is stopped, not killed, must not be able to stop everybody else.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        self._depth = 0
        self._thread_lock = threading.RLock()

    def __enter__(self) -> _ProcessLock:
        self._thread_lock.acquire()
        if self._depth == 0:
            try:
                self._take()
            except BaseException:
                self._thread_lock.release()
                raise
        self._depth += 1
        return self

    def _take(self) -> None:
        deadline = 0.0
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + LOCK_TIMEOUT
                if now > deadline:
                    raise StoreDownError(
                        f"the budget's lock was held by another process for {LOCK_TIMEOUT:.0f} s"
                    ) from None
                time.sleep(LOCK_POLL)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._thread_lock.release()

    def close(self) -> None:
        os.close(self._fd)


class FileStore:
    """One host: an SQLite log beside a lock file, shared by every process that opens the same name.

    All times are the machine's monotonic clock, which all processes of a boot share and nobody can set; the boot is
    part of the file name because the clock starts anew with it.

    :param directory: a directory on a local file system that all users of the token can write.
    :param name: name of the budget; must not contain the token.
    :param limit: requests per window.
    :param window: seconds, margin included.
    """

    _opened: ClassVar[weakref.WeakSet[FileStore]] = weakref.WeakSet()

    def __init__(
        self,
        directory: str | Path,
        name: str,
        limit: int,
        window: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(directory) / f"{name}-{_boot_id()}.sqlite"
        self._gate_path = self._path.with_suffix(".gate")
        self._limit = limit
        self._window = window
        self._clock = clock
        self._bucket: Any = None
        self._lock: _ProcessLock | None = None
        self._open_lock = threading.Lock()
        self._leaked_at = 0.0

    def _open(self) -> Any:
        with self._open_lock:
            if self._bucket is not None:
                return self._bucket
            from pyrate_limiter import Rate, SQLiteBucket

            clock = self._clock

            class MonotonicBucket(SQLiteBucket):
                def now(self) -> int:
                    return int(clock() * 1000)

            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o770)
                self._lock = _ProcessLock(self._path.with_suffix(".lock"))
                self._gate_path.touch(mode=0o660, exist_ok=True)
                with self._lock:
                    connection = sqlite3.connect(self._path, check_same_thread=False)
                    # Nothing in here outlives the boot, so nothing in here needs to reach the disk.
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.execute("PRAGMA synchronous=OFF")
                    connection.execute("CREATE TABLE IF NOT EXISTS sent (name VARCHAR, item_timestamp INTEGER)")
                    connection.execute("CREATE INDEX IF NOT EXISTS sent_at ON sent (item_timestamp)")
                    connection.commit()
            except (OSError, sqlite3.Error) as error:
                raise StoreDownError(f"{self._path}: {error}") from error
            self._bucket = MonotonicBucket(
                [Rate(self._limit, int(self._window * 1000))], connection, "sent", lock=self._lock
            )
            FileStore._opened.add(self)
            return self._bucket

    def try_acquire(self) -> float:
        from pyrate_limiter import RateItem

        bucket = self._bucket or self._open()
        try:
            with bucket.lock:
                # Read under the lock: time lost waiting for it must count as time before the request.
                item = RateItem("r", bucket.now())
                if not bucket.put(item):
                    return _bounded(bucket.waiting(item), self._window)
                if item.timestamp / 1000 - self._leaked_at > LEAK_EVERY:
                    self._leaked_at = item.timestamp / 1000
                    # Others may count over a longer window in the same file.
                    bucket.leak(item.timestamp - KEEP_ROWS_MS)
            return 0.0
        except (OSError, sqlite3.Error) as error:
            raise StoreDownError(f"{self._path}: {error}") from error

    def gate(self) -> float:
        try:
            until = os.stat(self._gate_path).st_mtime_ns / 1e9
        except OSError:
            return 0.0
        left = until - self._clock()
        # A fresh file carries the wall clock, which is far in the monotonic clock's future.
        return left if 0.0 < left <= 2 * self._window + 900 else 0.0

    def close_gate(self, seconds: float) -> None:
        self._bucket or self._open()
        if seconds > self.gate():
            until = int((self._clock() + seconds) * 1e9)
            try:
                os.utime(self._gate_path, ns=(until, until))
            except OSError as error:
                raise StoreDownError(f"{self._gate_path}: {error}") from error

    def used(self) -> int:
        bucket = self._bucket or self._open()
        with bucket.lock:
            start = bucket.now() - int(self._window * 1000)
            row = bucket.conn.execute("SELECT COUNT(*) FROM sent WHERE item_timestamp >= ?", (start,)).fetchone()
        return int(row[0])

    @classmethod
    def _forget_after_fork(cls) -> None:
        # A lock taken before the fork would be shared with the child, and an SQLite connection must not cross one.
        for store in list(cls._opened):
            if store._lock is not None:
                store._lock.close()
            store._lock = None
            store._bucket = None
            store._open_lock = threading.Lock()
        cls._opened = weakref.WeakSet()


os.register_at_fork(after_in_child=FileStore._forget_after_fork)


class RedisStore:
    """Several hosts: a moving window in Redis or Valkey. The hosts' clocks must agree within half a second (NTP).

    :param url: ``redis://`` or ``rediss://`` URL.
    :param name: name of the budget; must not contain the token.
    :param limit: requests per window.
    :param window: seconds, margin included; rounded up to whole seconds.
    """

    def __init__(self, url: str, name: str, limit: int, window: float) -> None:
        self._url = url
        self._name = name
        self._limit = limit
        self._window = math.ceil(window)
        self._pid = 0
        self._limiter: Any = None
        self._item: Any = None
        self._redis: Any = None
        self._open_lock = threading.Lock()

    def _open(self) -> None:
        with self._open_lock:
            if self._pid == os.getpid():
                return
            from limits import RateLimitItemPerSecond
            from limits.storage import RedisStorage
            from limits.strategies import MovingWindowRateLimiter

            storage = RedisStorage(self._url, socket_timeout=2.0, socket_connect_timeout=2.0)
            self._redis = storage.get_connection()
            self._limiter = MovingWindowRateLimiter(storage)
            self._item = RateLimitItemPerSecond(self._limit, self._window, namespace="airflow_src_provider")
            self._pid = os.getpid()

    def _guard(self, call: Callable[[], Any]) -> Any:
        import redis

        try:
            if self._pid != os.getpid():
                self._open()
            return call()
        except (redis.RedisError, OSError) as error:
            raise StoreDownError(f"Redis: {type(error).__name__}") from None

    def try_acquire(self) -> float:
        def attempt() -> float:
            if self._limiter.hit(self._item, self._name):
                return 0.0
            reset = self._limiter.get_window_stats(self._item, self._name).reset_time
            return min(max(0.01, reset - time.time()), float(self._window))

        return float(self._guard(attempt))

    @property
    def _gate_key(self) -> str:
        return f"airflow_src_provider:gate:{self._name}"

    def gate(self) -> float:
        return max(0, int(self._guard(lambda: self._redis.pttl(self._gate_key)))) / 1000

    def close_gate(self, seconds: float) -> None:
        if seconds > self.gate():
            self._guard(lambda: self._redis.set(self._gate_key, "1", px=max(1, int(seconds * 1000))))

    def used(self) -> int:
        stats = self._guard(lambda: self._limiter.get_window_stats(self._item, self._name))
        return self._limit - int(stats.remaining)


def _bounded(milliseconds: float, window: float) -> float:
    # Whatever stands in the log, nobody waits longer than a window for it.
    return min(max(milliseconds / 1000, 0.001), window)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"
