"""Things that happen later, without background tasks: they are caught up with at the next request."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Agenda:
    """Events by virtual time, run in order when somebody asks.

    An event gets the moment it was due, not the moment it was caught up with, so that time stamps are right
    however rarely the service is asked.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def at(self, moment: float, event: Callable[[float], None]) -> None:
        """Run ``event(moment)`` once ``moment`` (virtual epoch seconds) has come."""
        self._count += 1
        heapq.heappush(self._heap, (moment, self._count, event))

    def settle(self, now: float) -> None:
        """Run everything due until ``now``, including events that due events add."""
        while self._heap and self._heap[0][0] <= now:
            moment, _, event = heapq.heappop(self._heap)
            event(moment)

    def next_due(self) -> float | None:
        """Moment of the earliest event, or None when nothing is planned."""
        return self._heap[0][0] if self._heap else None
