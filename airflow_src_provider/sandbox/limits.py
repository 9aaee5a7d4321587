"""The request budget of a token, as each service enforces it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .clock import Clock

if TYPE_CHECKING:
    from .half import HalfSwitches


@dataclass(frozen=True)
class Verdict:
    """What the limiter says about one request. ``reset`` is epoch seconds, ``wait`` seconds from now."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    wait: float


@dataclass
class _Window:
    start: float
    used: int = 0
    log: deque[float] = field(default_factory=deque)


class RateLimiter:
    """Counts requests per key; limit, window and mode are read from the switches at every request.

    Modes: ``fixed`` (a window begins with the first request after the last one ended), ``grid`` (windows lie on
    a grid of epoch time) and ``sliding`` (any span of one window holds at most ``limit`` requests). Real time is
    used unless ``limit_clock`` is ``virtual``: life cycles can be sped up while the budget stays as tight as live.
    """

    def __init__(self, clock: Clock, switches: HalfSwitches) -> None:
        self._clock = clock
        self._switches = switches
        self._windows: dict[str, _Window] = {}

    def reset(self) -> None:
        """Forget all counts."""
        self._windows.clear()

    def epoch(self) -> float:
        """Epoch seconds by the clock that the limiter goes by."""
        return self._clock.now() if self._switches.limit_clock == "virtual" else time.time()

    def take(self, key: str) -> Verdict:
        """Count one request of ``key`` and say whether it may pass."""
        now = self.epoch()
        window = self._current(key, now)
        allowed = not self._switches.limits or self._used(window) < self._switches.limit
        if self._switches.limits and (allowed or self._switches.count_refused):
            self._count(window, now)
        return self._verdict(window, now, allowed)

    def peek(self, key: str) -> Verdict:
        """The verdict without counting a request."""
        now = self.epoch()
        window = self._current(key, now)
        return self._verdict(window, now, not self._switches.limits or self._used(window) < self._switches.limit)

    def refund(self, key: str) -> None:
        """Give back the latest request of ``key``."""
        window = self._current(key, self.epoch())
        if self._switches.limit_mode == "sliding":
            if window.log:
                window.log.pop()
        elif window.used:
            window.used -= 1

    def _current(self, key: str, now: float) -> _Window:
        span, mode = self._switches.window, self._switches.limit_mode
        window = self._windows.get(key)
        if window is None or (mode != "sliding" and now >= window.start + span):
            window = self._windows[key] = _Window(now - now % span if mode == "grid" else now)
        if mode == "sliding":
            while window.log and window.log[0] <= now - span:
                window.log.popleft()
        elif window.used == 0 and mode == "fixed":
            window.start = now
        return window

    def _used(self, window: _Window) -> int:
        return len(window.log) if self._switches.limit_mode == "sliding" else window.used

    def _count(self, window: _Window, now: float) -> None:
        if self._switches.limit_mode == "sliding":
            window.log.append(now)
        else:
            window.used += 1

    def _verdict(self, window: _Window, now: float, allowed: bool) -> Verdict:
        span, limit = self._switches.window, self._switches.limit
        start = (window.log[0] if window.log else now) if self._switches.limit_mode == "sliding" else window.start
        remaining = max(limit - self._used(window), 0)
        return Verdict(allowed, limit, remaining, start + span, max(start + span - now, 0.0))
