"""A token that several processes and another tool use, on a stepped clock."""

from __future__ import annotations

import email.utils
import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable

from requests.structures import CaseInsensitiveDict

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.stores import MemoryStore
from airflow_src_provider.exceptions import BudgetWaitError
from tests.unit.client.server import SteppedClock

EPOCH = 1_793_000_000.25


class Server:
    """Counts requests as the services do.

    :param kind: ``fixed`` with rate headers; ``rolling`` without; ``strict``, which counts what it refuses too.
    :param retry_after: name the seconds until there is room for one more.
    """

    def __init__(self, kind: str, limit: int, window: float, *, retry_after: bool = False) -> None:
        self.kind, self.limit, self.window, self.retry_after = kind, limit, window, retry_after
        self._log: deque[float] = deque()
        self._start, self._count = -math.inf, 0

    def answer(self, now: float) -> tuple[int, CaseInsensitiveDict[str]]:
        if self.kind == "fixed":
            if now - self._start >= self.window:
                self._start, self._count = now, 0
            self._count += 1
            headers = {
                "X-RateLimit-Limit": str(self.limit),
                "X-RateLimit-Remaining": str(max(0, self.limit - self._count)),
                "X-RateLimit-Reset": str(int(EPOCH + self._start + self.window)),
                "Date": email.utils.formatdate(EPOCH + now, usegmt=True),
            }
            return 200 if self._count <= self.limit else 429, CaseInsensitiveDict(headers)
        while self._log and self._log[0] <= now - self.window:
            self._log.popleft()
        ok = len(self._log) < self.limit
        headers = {}
        if not ok and self.retry_after:
            headers["Retry-After"] = str(math.ceil(self._log[-self.limit] + self.window - now))
        if ok or self.kind == "strict":
            self._log.append(now)
        return 200 if ok else 429, CaseInsensitiveDict(headers)


class World:
    """Processes that send as fast as they may, and a tool that knows nothing of them.

    :param processes: how many of ours, with one budget.
    :param latency: shortest and longest seconds of either way.
    """

    def __init__(
        self, server: Server, *, processes: int = 8, latency: tuple[float, float] = (0.02, 0.08), seed: int = 0
    ) -> None:
        self.server = server
        self.clock = SteppedClock()
        self.random = random.Random(seed)
        self.latency = latency
        self.ours: list[tuple[float, int]] = []
        self.others: list[tuple[float, int]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        settings = BudgetSettings("https://api.example/", server.limit, server.window)
        self.store = MemoryStore(server.limit, server.window + settings.margin, self.clock)
        for _ in range(processes):
            self._process(Budget(settings, "t", store=self.store, clock=self.clock))

    def at(self, moment: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), do))

    def _way(self) -> float:
        return self.random.uniform(*self.latency)

    def _process(self, budget: Budget) -> None:
        def send() -> None:
            try:
                budget.acquire(timeout=0)
            except BudgetWaitError as error:
                self.at(self.clock.now + (error.retry_after or 0.0), send)
            else:
                self.at(self.clock.now + self._way(), arrive)

        def arrive() -> None:
            status, headers = self.server.answer(self.clock.now)
            self.ours.append((self.clock.now, status))

            def read() -> None:
                budget.observe(status, headers)
                send()

            self.at(self.clock.now + self._way(), read)

        self.at(self.clock.now + self.random.uniform(0, 0.1), send)

    def other_tool(self, number: int, *, burst: bool, windows: int) -> None:
        """Let another tool send so many requests in each window, in a burst at its start or evenly."""

        def send(left: int) -> None:
            status, _ = self.server.answer(self.clock.now)
            self.others.append((self.clock.now, status))
            if burst and left > 1:
                self.at(self.clock.now + 0.005, lambda: send(left - 1))

        for window in range(windows):
            begin = self.clock.now + window * self.server.window
            for i in range(1 if burst else number):
                moment = begin + i * self.server.window / number
                self.at(moment, lambda: send(number))

    def run(self, windows: int) -> None:
        end = self.clock.now + windows * self.server.window
        while self._events and self._events[0][0] < end:
            moment, _, do = heapq.heappop(self._events)
            self.clock.now = max(self.clock.now, moment)
            do()

    def refused(self, windows: int, start: float) -> list[int]:
        """Return how many of our requests were refused in each window."""
        counts = [0] * windows
        for moment, status in self.ours:
            if status == 429:
                counts[int((moment - start) / self.server.window)] += 1
        return counts

    def used(self, begin: float, end: float) -> float:
        """Return what part of the allowance that the other tool left was used."""
        counted = (200, 429) if self.server.kind == "strict" else (200,)
        theirs = sum(begin <= moment < end and status in counted for moment, status in self.others)
        ours = sum(begin <= moment < end and status == 200 for moment, status in self.ours)
        return ours / (self.server.limit * (end - begin) / self.server.window - theirs)
