"""Time as the sandbox sees it: real, sped up, or stepped by hand."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """A virtual clock that every life cycle of the sandbox is computed from.

    :param speed: virtual seconds per real second, default 1.0, must be greater than 0.
    :param stepped: when true, time stands still between calls of :meth:`advance`.
    :raises ValueError: when ``speed`` is not positive.
    """

    def __init__(self, speed: float = 1.0, stepped: bool = False) -> None:
        self._lock = threading.Lock()
        self._base_real = time.monotonic()
        self._base_virtual = time.time()
        self._speed = 1.0
        self.stepped = stepped
        self.set_speed(speed)

    @property
    def speed(self) -> float:
        """Virtual seconds per real second (ignored while stepped)."""
        return self._speed

    def now(self) -> float:
        """Virtual time in seconds since 1970-01-01 UTC."""
        with self._lock:
            return self._now()

    def _now(self) -> float:
        if self.stepped:
            return self._base_virtual
        return self._base_virtual + (time.monotonic() - self._base_real) * self._speed

    def _rebase(self, virtual: float) -> None:
        self._base_real, self._base_virtual = time.monotonic(), virtual

    def advance(self, seconds: float) -> float:
        """Move forward by ``seconds`` of virtual time and return the new time.

        :raises ValueError: when ``seconds`` is negative; life cycles cannot be undone.
        """
        if seconds < 0:
            raise ValueError(f"advance needs seconds >= 0, got {seconds}")
        with self._lock:
            self._rebase(self._now() + seconds)
            return self._base_virtual

    def set_speed(self, speed: float) -> None:
        """Change the speed from this moment on.

        :raises ValueError: when ``speed`` is not positive.
        """
        if speed <= 0:
            raise ValueError(f"speed must be greater than 0, got {speed}")
        with self._lock:
            self._rebase(self._now())
            self._speed = float(speed)

    @staticmethod
    def iso(moment: float, micros: bool = False) -> str:
        """Format ``moment`` (epoch seconds) as ISO-8601 UTC with ``Z``, with microseconds when asked."""
        text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds" if micros else "seconds")
        return text.replace("+00:00", "Z")
