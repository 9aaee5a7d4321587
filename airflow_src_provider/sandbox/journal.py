"""What the sandbox was asked, and what it did."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from .clock import Clock


@dataclass
class Entry:
    """One request. ``status`` is None when the connection was dropped; times are epoch seconds; never holds a token."""

    n: int
    time: float
    virtual_time: float
    service: str
    method: str
    path: str
    query: str
    user: str
    body_size: int
    body_sha256: str
    route: str | None = None
    status: int | None = None
    ms: float = 0.0
    fault: str | None = None


class Journal:
    """The latest requests, and counters over all of them.

    :param clock: virtual clock, for the second time stamp.
    :param keep: number of entries kept, default 100 000; counters are never cut.
    """

    def __init__(self, clock: Clock, keep: int = 100_000) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=keep)
        self.clear()

    def clear(self) -> None:
        """Forget entries and counters; numbering starts at 1 again."""
        self._entries.clear()
        self._count = 0
        self._requests: Counter[str] = Counter()
        self._routes: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._effects: dict[str, Counter[str]] = {}

    def open(self, service: str, method: str, path: str, query: str, user: str, body: bytes) -> Entry:
        """Begin the entry of a request."""
        self._count += 1
        entry = Entry(
            n=self._count,
            time=time.time(),
            virtual_time=self._clock.now(),
            service=service,
            method=method,
            path=path,
            query=query,
            user=user,
            body_size=len(body),
            body_sha256=hashlib.sha256(body).hexdigest()[:16] if body else "",
        )
        self._entries.append(entry)
        self._requests[service] += 1
        return entry

    def close(self, entry: Entry, status: int | None, started: float) -> None:
        """End an entry; ``started`` is the perf_counter of its beginning."""
        entry.status = status
        entry.ms = round((time.perf_counter() - started) * 1000, 3)
        self._routes[f"{entry.method} {entry.route or 'unknown'}"] += 1
        self._statuses["dropped" if status is None else str(status)] += 1
        if status == 429:
            self._refusals[entry.service] += 1

    def effect(self, service: str, name: str, count: int = 1) -> None:
        """Count an effect of a service."""
        self._effects.setdefault(service, Counter())[name] += count

    def entries(self, since: int = 0) -> list[dict[str, Any]]:
        """Entries with a number greater than ``since``, oldest first."""
        return [asdict(entry) for entry in list(self._entries) if entry.n > since]

    def counters(self) -> dict[str, Any]:
        """Requests by service, by route and by status; refusals (429) and effects by service."""
        return {
            "requests": dict(self._requests),
            "routes": dict(self._routes),
            "statuses": dict(self._statuses),
            "refusals": dict(self._refusals),
            "effects": {service: dict(counts) for service, counts in self._effects.items()},
        }
