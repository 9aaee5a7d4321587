"""The log of one host: an SQLite database beside a lock file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from airflow_src_provider.client.forks import renew_after_fork
from airflow_src_provider.client.locks import LockTimeoutError, ProcessLock
from airflow_src_provider.client.stores import StoreDownError, bounded, milliseconds

LOCK_TIMEOUT = 5.0
LEAK_EVERY = 10.0
KEEP_ROWS_MS = 600_000
MAX_GATE = 900.0

T = TypeVar("T")
# What a forked child got from its parent: closing it there could disturb the parent's files.
_left_alone: list[object] = []


@dataclass
class _Log:
    bucket: Any
    connection: sqlite3.Connection
    lock: ProcessLock
    inodes: tuple[int, int]
    leaked_at: float = 0.0


class FileStore:
    """One host: shared by every process that opens the same name.

    All times are the machine's monotonic clock, which all processes of a boot share and nobody can set; the boot is
    part of the file name because the clock starts anew with it. The files take over the directory's group permission.

    :param directory: a directory on a local file system that all users of the token can write.
    :param name: name of the budget; must not contain the token.
    :param limit: requests per window.
    :param window: seconds, margin included.
    :param lock_timeout: seconds to wait for a process that holds the lock but does not go on.
    """

    def __init__(
        self,
        directory: str | Path,
        name: str,
        limit: int,
        window: float,
        clock: Callable[[], float] = time.monotonic,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        base = f"{name}-{_boot_id()}"
        self._directory = Path(directory)
        self._path = self._directory / f"{base}.sqlite"
        self._gate_path = self._directory / f"{base}.gate"
        self._lock_path = self._directory / f"{base}.lock"
        self._limit = limit
        self._window = window
        self._clock = clock
        self._lock_timeout = lock_timeout
        self._log: _Log | None = None
        self._open_lock = threading.Lock()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        if self._log is not None:
            _left_alone.append(self._log.connection)
        self._log = None
        self._open_lock = threading.Lock()

    def _using(self, use: Callable[[_Log], T]) -> T:
        try:
            log = self._log
            if log is None or not self._is_current(log):
                log = self._open()
            with log.lock:
                return use(log)
        except LockTimeoutError as error:
            raise StoreDownError(str(error)) from None
        except (OSError, sqlite3.Error) as error:
            self._drop()
            raise StoreDownError(f"{self._path}: {error}") from error

    def _is_current(self, log: _Log) -> bool:
        # A cleaner of temporary files may have removed them, and another process made new ones.
        try:
            return (os.stat(self._path).st_ino, os.stat(self._lock_path).st_ino) == log.inodes
        except FileNotFoundError:
            return False

    def _drop(self) -> None:
        with self._open_lock:
            if self._log is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._log.connection.close()
                self._log = None

    def _open(self) -> _Log:
        with self._open_lock:
            if self._log is not None and self._is_current(self._log):
                return self._log
            from pyrate_limiter import Rate, SQLiteBucket

            clock = self._clock

            class MonotonicBucket(SQLiteBucket):
                def now(self) -> int:
                    return int(clock() * 1000)

            self._directory.mkdir(parents=True, exist_ok=True, mode=0o770)
            self._create(self._lock_path)
            self._create(self._gate_path)
            lock = ProcessLock(self._lock_path, timeout=self._lock_timeout)
            with lock:
                connection = self._connect()
                inodes = (os.stat(self._path).st_ino, lock.inode)
            bucket = MonotonicBucket([Rate(self._limit, milliseconds(self._window))], connection, "sent", lock=lock)
            self._log = _Log(bucket, connection, lock, inodes)
            return self._log

    def _create(self, path: Path) -> None:
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return
        try:
            os.fchmod(file, self._directory.stat().st_mode & 0o060 | 0o600)
        finally:
            os.close(file)

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._connect_once()
        except sqlite3.DatabaseError as error:
            # Its subclasses are about a full disk or missing rights; this class itself means a damaged file. All users
            # of the log see that it was replaced and open the new one.
            if type(error) is not sqlite3.DatabaseError:
                raise
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        return self._connect_once()

    def _connect_once(self) -> sqlite3.Connection:
        self._create(self._path)
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            # Nothing in here outlives the boot, so nothing in here needs to reach the disk.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
            connection.execute("CREATE TABLE IF NOT EXISTS sent (name VARCHAR, item_timestamp INTEGER)")
            connection.execute("CREATE INDEX IF NOT EXISTS sent_at ON sent (item_timestamp)")
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def try_acquire(self) -> float:
        from pyrate_limiter import RateItem

        def attempt(log: _Log) -> float:
            # Read under the lock: time lost waiting for it must count as time before the request.
            item = RateItem("r", log.bucket.now())
            if not log.bucket.put(item):
                return bounded(log.bucket.waiting(item), self._window)
            if item.timestamp / 1000 - log.leaked_at > LEAK_EVERY:
                log.leaked_at = item.timestamp / 1000
                # Others may count over a longer window in the same file.
                log.bucket.leak(item.timestamp - KEEP_ROWS_MS)
            return 0.0

        return self._using(attempt)

    def gate(self) -> float:
        try:
            until = os.stat(self._gate_path).st_mtime_ns / 1e9
        except OSError:
            return 0.0
        left = until - self._clock()
        # A fresh file carries the wall clock, which is far in the monotonic clock's future.
        return left if 0.0 < left <= 2 * self._window + MAX_GATE else 0.0

    def close_gate(self, seconds: float) -> None:
        def close(_: _Log) -> None:
            if seconds > self.gate():
                until = int((self._clock() + seconds) * 1e9)
                self._create(self._gate_path)
                os.utime(self._gate_path, ns=(until, until))

        self._using(close)

    def used(self) -> int:
        def count(log: _Log) -> int:
            start = log.bucket.now() - milliseconds(self._window)
            row = log.connection.execute("SELECT COUNT(*) FROM sent WHERE item_timestamp >= ?", (start,)).fetchone()
            return int(row[0])

        return self._using(count)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"
