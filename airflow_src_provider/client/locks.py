"""A lock between the processes of one host."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from pathlib import Path


class LockTimeoutError(Exception):
    """Another process did not give the lock back in time."""


class ProcessLock:
    """An exclusive lock that the kernel gives back when its holder dies; re-entrant within a thread.

    It polls instead of blocking: a holder that is stopped, not killed, must not be able to stop everybody else.

    :param path: lock file, which must exist.
    :param timeout: seconds to wait for the lock.
    :param poll: seconds between two tries.
    """

    def __init__(self, path: Path, *, timeout: float, poll: float = 0.001) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        # A forked child closes its copy too, which does not free the parent's lock.
        weakref.finalize(self, os.close, self._fd)
        self._timeout = timeout
        self._poll = poll
        self._depth = 0
        self._thread_lock = threading.RLock()

    @property
    def inode(self) -> int:
        """Return the inode of the lock file, to notice that the file was replaced."""
        return os.fstat(self._fd).st_ino

    def __enter__(self) -> ProcessLock:
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
                deadline = deadline or now + self._timeout
                if now > deadline:
                    raise LockTimeoutError(
                        f"{self._path} was held by another process for {self._timeout:g} s"
                    ) from None
                time.sleep(self._poll)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._thread_lock.release()
