"""What refusals teach about the requests that others send with the same token.

A service that never says how much is left shows it by refusing. What was on record at that moment is what it has room
for; from then on a little less is used, by everybody. After a few windows without a refusal the process that was
refused tries more, slowly at first, and later the others do, until a refusal or the whole allowance is reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_src_provider.client.stores import FALLBACK_SHARE, Store

#: Windows for which a ceiling stays as it is, and those in which it then rises to the whole allowance.
HOLD, RISE = 4, 7
#: Part of what was on record at a refusal that is used afterwards; the second is for one that follows soon.
LEAVE, LEAVE_MORE = 0.95, 0.85
FIRST_STEP = 0.01
#: Windows within which refusals have one and the same cause.
ONE_EVENT = 0.1
READ_EVERY = 1.0
#: Windows by which the process that was refused tries more before the others do.
OTHERS_LATER = 3


class Ceiling:
    """How many requests per window are used, as learned by all who use the token.

    :param allowed: requests per window that may be used at most.
    :param window: length of a window in seconds.
    :param clock: monotonic seconds.
    """

    def __init__(self, allowed: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._window = window
        self._clock = clock
        self._read_at = float("-inf")
        self._known: tuple[int, float] | None = None
        self._mine = 0

    def now(self, store: Store) -> int:
        """Return how many requests a window may hold now."""
        now = self._clock()
        if not 0 <= now - self._read_at < READ_EVERY:
            learned = store.learned()
            self._read_at = now
            self._known = None if learned is None else (learned[0], now + learned[1])
        if self._known is None:
            return self._allowed
        number, until = self._known
        rising = RISE - (until - now) / self._window
        if number != self._mine:
            # Whoever tries more alone is refused once, not as often as there are processes.
            rising -= OTHERS_LATER
        more = self._allowed * FIRST_STEP * (2.0**rising - 1) if rising > 0 else 0.0
        return min(self._allowed, number + int(more))

    def lower(self, store: Store) -> None:
        """Learn from a refusal."""
        before = self.now(store)
        learned = store.learned()
        lasts = (HOLD + RISE) * self._window
        leave = LEAVE
        if learned is not None:
            if learned[1] > lasts - ONE_EVENT * self._window:
                return
            if learned[1] > RISE * self._window:
                # The others had been refused too, and have taken the room that was left to them.
                leave = LEAVE_MORE
        # One refusal never costs more than half, and never all: its cause may be another one.
        number = max(int(leave * store.used()), before // 2, int(self._allowed * FALLBACK_SHARE), 1)
        self._mine = min(number, before)
        store.learn(self._mine, lasts)
        self._read_at = float("-inf")
