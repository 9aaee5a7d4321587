"""A lock between the processes of one host."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path


class LockTimeoutError(Exception):
    """Another process, or another thread of this one, did not give the lock back in time."""


class ProcessLock:
    """An exclusive lock that the kernel gives back when its holder dies; for one thread of a process at a time.

    It polls instead of blocking: a holder that is stopped, not killed, must not be able to stop everybody else.

    :param path: lock file, which must exist.
    :param timeout: seconds that a wait for the lock takes, for its error; the deadline counts.
    :param poll: seconds between two tries.
    """

    def __init__(self, path: Path, *, timeout: float, poll: float = 0.001) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        # A forked child closes its copy too, which does not free the parent's lock.
        self._close = weakref.finalize(self, os.close, self._fd)
        self._timeout = timeout
        self._poll = poll

    @property
    def inode(self) -> int:
        """Return the inode of the lock file, to notice that the file was replaced."""
        return os.fstat(self._fd).st_ino

    def acquire(self, deadline: float) -> None:
        """Wait for the lock.

        :param deadline: moment of the monotonic clock until which to wait.
        :raises LockTimeoutError: it was not to be had in time.
        """
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTimeoutError(
                        f"{self._path} was held by another process for {self._timeout:g} s"
                    ) from None
                time.sleep(self._poll)

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, and give the lock back with it. The lock cannot be used again."""
        self._close()
