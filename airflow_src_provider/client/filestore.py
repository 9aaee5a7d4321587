"""The log of one host: an SQLite database beside a lock file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from airflow_src_provider.client.forks import pause_for_fork, renew_after_fork
from airflow_src_provider.client.locks import LockTimeoutError, ProcessLock
from airflow_src_provider.client.stores import (
    StoreDownError,
    bounded,
    held_back,
    longest_gate,
    milliseconds,
    warn_lost,
)

LOCK_TIMEOUT = 5.0
LEAK_EVERY = 10.0
KEEP_ROWS_MS = 600_000
MAX_LEARNED = 1e6

T = TypeVar("T")
# What a forked child got from its parent: closing it there could disturb the parent's files.
_left_alone: list[_Log] = []


@dataclass
class _Log:
    bucket: Any
    connection: sqlite3.Connection
    lock: ProcessLock
    inodes: tuple[int, ...]
    leaked_at: float = 0.0

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()
        self.lock.close()


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
        self._learned_path = self._directory / f"{base}.learned"
        self._lock_path = self._directory / f"{base}.lock"
        self.limit = limit
        self._window = window
        self._clock = clock
        self._lock_timeout = lock_timeout
        self._log: _Log | None = None
        self._seen: int | None = None
        self._known_at = float("-inf")
        self._turn = threading.RLock()
        self._torn = False
        pause_for_fork(self)
        renew_after_fork(self)

    def before_fork(self) -> None:
        # Whoever holds it gives it back or up within the time-out.
        if self._turn.acquire(timeout=2 * self._lock_timeout):
            self._drop()

    def after_fork(self) -> None:
        try:  # noqa: SIM105
            self._turn.release()
        except RuntimeError:
            pass  # It was not had.

    def renew_after_fork(self) -> None:
        try:
            self._turn.release()
        except RuntimeError:
            # Another thread did not come out of the database in time. What it left in there is not safe to use.
            self._torn = True
            if self._log is not None:
                _left_alone.append(self._log)
        self._log = None
        self._turn = threading.RLock()

    def _using(self, use: Callable[[_Log], T]) -> T:
        # This takes a while the first time, which is no time of waiting.
        import pyrate_limiter  # noqa: F401

        deadline = time.monotonic() + self._lock_timeout
        try:
            if self._torn:
                raise StoreDownError(f"{self._path} was in use when this process was forked")
            if not self._turn.acquire(timeout=self._lock_timeout):
                raise LockTimeoutError(f"{self._lock_path}: other threads wait for it, for {self._lock_timeout:g} s")
            return self._with_lock(use, deadline)
        except LockTimeoutError as error:
            raise StoreDownError(str(error)) from None
        except (OSError, sqlite3.Error) as error:
            raise StoreDownError(f"{self._path}: {error}") from error
        finally:
            # Not by a function written in Python, which a signal could interrupt before it has begun.
            try:  # noqa: SIM105
                self._turn.release()
            except RuntimeError:
                pass  # It was not had.

    def _with_lock(self, use: Callable[[_Log], T], deadline: float) -> T:
        try:
            log = self._log
            if log is None or not self._is_current(log):
                log = self._open(deadline)
            log.lock.acquire(deadline)
            result = use(log)
            log.lock.release()
        except LockTimeoutError:
            raise
        except BaseException:
            # A signal's handler may raise anywhere, such as when the time of a task is over. Without the connection
            # and the open file there is neither an open transaction nor a lock.
            self._drop()
            raise
        return result

    def _is_current(self, log: _Log) -> bool:
        # A cleaner of temporary files may have removed them, one by one, and another process made new ones meanwhile.
        try:
            return self._inodes() == log.inodes
        except FileNotFoundError:
            return False

    def _inodes(self) -> tuple[int, ...]:
        return tuple(os.stat(path).st_ino for path in (self._path, f"{self._path}-wal", self._lock_path))

    def _drop(self) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            log.close()

    def _open(self, deadline: float) -> _Log:
        from pyrate_limiter import Rate, SQLiteBucket

        clock = self._clock

        class MonotonicBucket(SQLiteBucket):
            def now(self) -> int:
                return int(clock() * 1000)

        self._directory.mkdir(parents=True, exist_ok=True, mode=0o770)
        self._create(self._lock_path)
        self._create(self._gate_path)
        lock = ProcessLock(self._lock_path, timeout=self._lock_timeout)
        try:
            lock.acquire(deadline)
            connection = self._connect()
            inodes = (*self._inodes()[:-1], lock.inode)
            rate = Rate(self.limit, milliseconds(self._window))
            # Whoever uses the log has its lock already.
            bucket = MonotonicBucket([rate], connection, "sent", lock=contextlib.nullcontext())
            log, before = _Log(bucket, connection, lock, inodes), self._seen
            self._drop()
            self._log = log
            # Where boots have no names, an earlier one may have left its rows: its clock was ahead of this one's.
            connection.execute("DELETE FROM sent WHERE item_timestamp > ?", (bucket.now(),))
            connection.commit()
            # Whoever comes first may have sent nothing for a while, and yet it knows that there was another log.
            replaced = before not in (None, inodes[0]) and self._is_young(log)
            if replaced or self._is_lost(log):
                self._record(log, self.limit, held_back(self.limit))
                self._known_at = float("-inf")
                warn_lost(str(self._path), self._window)
            # Not before: if holding back has failed, it is for the next one to be noticed again.
            self._seen = inodes[0]
            lock.release()
        except BaseException:
            lock.close()
            raise
        return log

    def _is_young(self, log: _Log) -> bool:
        """Tell whether the log may have begun within the running window."""
        query = "SELECT 1 FROM sent WHERE item_timestamp < ? LIMIT 1"
        return log.connection.execute(query, (log.bucket.now() - milliseconds(self._window),)).fetchone() is None

    def _is_lost(self, log: _Log) -> bool:
        """Tell whether the log lacks an entry of the running window that this process knows of."""
        if self._known_at < log.bucket.now() - milliseconds(self._window):
            return False
        query = "SELECT 1 FROM sent WHERE item_timestamp = ?"
        return log.connection.execute(query, (self._known_at,)).fetchone() is None

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

    def try_acquire(self, most: int | None = None) -> float:
        from pyrate_limiter import RateItem

        def attempt(log: _Log) -> float:
            # Read under the lock: time lost waiting for it must count as time before the request.
            item = RateItem("r", log.bucket.now())
            self._set_most(log, self.limit if most is None else most)
            if not log.bucket.put(item):
                # Whoever is refused knows of an entry too, and perhaps of a later one than its own.
                newest = log.bucket.peek(0)
                self._known_at = max(self._known_at, newest.timestamp if newest else 0)
                return bounded(log.bucket.waiting(item), self._window)
            self._known_at = item.timestamp
            if item.timestamp / 1000 - log.leaked_at > LEAK_EVERY:
                log.leaked_at = item.timestamp / 1000
                # Others may count over a longer window in the same file.
                log.bucket.leak(item.timestamp - KEEP_ROWS_MS)
            return 0.0

        return self._using(attempt)

    def _set_most(self, log: _Log, most: int) -> None:
        from pyrate_limiter import Rate

        if log.bucket.rates[0].limit != most:
            log.bucket.rates = [Rate(most, milliseconds(self._window))]

    def record(self, number: int) -> None:
        self._using(lambda log: self._record(log, number, self.limit))

    def add(self, moments: Iterable[float]) -> None:
        """Put requests on record at the moments of the clock at which they were sent, room or not."""
        rows = [("r", int(moment * 1000)) for moment in moments]

        def insert(log: _Log) -> None:
            log.connection.executemany("INSERT INTO sent (name, item_timestamp) VALUES (?, ?)", rows)
            log.connection.commit()

        self._using(insert)

    def _record(self, log: _Log, number: int, most: int) -> None:
        from pyrate_limiter import RateItem

        number = min(number, most - self._count(log))
        if number > 0:
            self._set_most(log, self.limit)
            log.bucket.put(RateItem("r", log.bucket.now(), weight=number))

    def gate(self) -> float:
        return self._left(self._gate_path, longest_gate(self._window))

    def _left(self, path: Path, most: float) -> float:
        """Return the seconds until the moment that a file carries as its time of change."""
        try:
            until = os.stat(path).st_mtime_ns / 1e9
        except OSError:
            return 0.0
        left = until - self._clock()
        # A fresh file carries the wall clock, which is far in the monotonic clock's future.
        return left if 0.0 < left <= most else 0.0

    def _keep(self, path: Path, seconds: float, text: str = "") -> None:
        """Put a file in place that carries as its time of change the moment until which it holds."""
        # A new one each time: the time of a file can be set by its owner only, and the next one may be another user.
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        self._create(fresh)
        fresh.write_text(text)
        until = int((self._clock() + seconds) * 1e9)
        os.utime(fresh, ns=(until, until))
        fresh.replace(path)

    def close_gate(self, seconds: float) -> None:
        def close(_: _Log) -> None:
            if seconds > self.gate():
                self._keep(self._gate_path, seconds)

        self._using(close)

    def learn(self, number: int, seconds: float) -> None:
        self._using(lambda _: self._keep(self._learned_path, seconds, f"{number}"))

    def learned(self) -> tuple[int, float] | None:
        left = self._left(self._learned_path, MAX_LEARNED)
        try:
            return (int(self._learned_path.read_text()), left) if left else None
        except (OSError, ValueError):
            # Somebody has removed it.
            return None

    def used(self) -> int:
        return self._using(self._count)

    def _count(self, log: _Log) -> int:
        start = log.bucket.now() - milliseconds(self._window)
        row = log.connection.execute("SELECT COUNT(*) FROM sent WHERE item_timestamp >= ?", (start,)).fetchone()
        return int(row[0])


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return "boot"
