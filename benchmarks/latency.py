"""What one request, and one permit, cost when nobody has to wait."""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator

import requests

from airflow_src_provider.client.budget import Budget, BudgetSettings
from benchmarks.processes import TOKEN, new_session, server
from benchmarks.rows import Row

REQUESTS = 2000
PERMITS = 990


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def session_overhead() -> Row:
    """Median of a request through the session, less that of a bare ``requests.Session``, taken in turns."""
    with server() as url, tempfile.TemporaryDirectory() as folder:
        bare = requests.Session()
        bare.headers["X-Token"] = TOKEN
        # Far from the limit, with about as many requests on record as a real window holds.
        session = new_session(BudgetSettings(url, 100_000, 1.0, directory=folder))
        calls: list[Callable[[], object]] = [
            lambda: bare.get(f"{url}files", params={"limit": 100}, timeout=30).json(),
            lambda: session.request("GET", "files", params={"limit": 100}).json(),
        ]
        for call in calls * 50:
            call()
        pairs = [[_timed(call) for call in calls] for _ in range(REQUESTS)]
    plain, ours = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    return Row(
        "session overhead per request",
        f"{ours - plain:+.3f} ms ({ours:.3f} against {plain:.3f} ms, medians)",
        "<= 0.3 ms",
        ours - plain <= 0.3,
    )


def acquire(redis: str | None) -> Iterator[Row]:
    """Median of ``Budget.acquire()`` while the window fills up from empty."""
    with tempfile.TemporaryDirectory() as folder:
        for name, store, most in (("embedded", "", 0.2), ("Redis", redis, 0.5)):
            target = f"<= {most} ms"
            if store is None:
                yield Row(f"acquire, {name}", "no server on 127.0.0.1:6379", target, None)
                continue
            budget = Budget(
                BudgetSettings("https://bench.example/", 1000, 60.0, store=store, directory=folder), uuid.uuid4().hex
            )
            budget.acquire()
            spent = sorted(_timed(budget.acquire) * 1000 for _ in range(PERMITS))
            median, p99 = statistics.median(spent), spent[int(len(spent) * 0.99)]
            yield Row(f"acquire, {name}", f"{median:.3f} ms (median; p99 {p99:.2f} ms)", target, median <= most)
