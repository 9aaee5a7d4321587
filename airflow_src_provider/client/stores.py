"""Where the log of sent requests is kept, so that everybody who uses a token counts together.

A store answers three questions: may one more request go now, until when must everybody be silent, and how many
requests are on record. The counting itself is an exact sliding log of a library (``pyrate-limiter`` on SQLite for one
host, ``limits`` on Redis for several): approximations such as token buckets let up to twice the allowance through.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

from airflow_src_provider.client.forks import renew_after_fork
from airflow_src_provider.exceptions import InvalidInputError

REDIS_TIMEOUT = 2.0
# Only ever later, and in one step: two processes may close the gate at once.
_CLOSE_GATE = """
if redis.call('pttl', KEYS[1]) < tonumber(ARGV[1]) then redis.call('set', KEYS[1], '1', 'px', ARGV[1]) end
"""


class StoreDownError(Exception):
    """The store cannot be used now; the budget falls back to a small share of its own."""


class Store(Protocol):
    """What a budget needs of a place to count in."""

    def try_acquire(self) -> float:
        """Record one request. Return 0.0 when it may go, else the seconds after which to ask again."""

    def gate(self) -> float:
        """Return the seconds for which nobody may send; 0.0 when the gate is open."""

    def close_gate(self, seconds: float) -> None:
        """Keep everybody silent for at least so many seconds from now."""

    def used(self) -> int:
        """Return how many requests of the running window are on record."""


class MemoryStore:
    """Counts for one process only: the fallback while a shared store is down.

    :param limit: requests per window.
    :param window: seconds, margin included.
    """

    def __init__(self, limit: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        from pyrate_limiter import InMemoryBucket, Rate

        self._clock = clock
        self._window = window
        self._bucket = InMemoryBucket([Rate(limit, milliseconds(window))])
        self._gate_until = 0.0

    def try_acquire(self) -> float:
        from pyrate_limiter import RateItem

        now = int(self._clock() * 1000)
        self._bucket.leak(now)
        item = RateItem("r", now)
        if self._bucket.put(item):
            return 0.0
        wait: Any = self._bucket.waiting(item)
        return bounded(wait, self._window)

    def gate(self) -> float:
        return max(0.0, self._gate_until - self._clock())

    def close_gate(self, seconds: float) -> None:
        self._gate_until = max(self._gate_until, self._clock() + seconds)

    def used(self) -> int:
        self._bucket.leak(int(self._clock() * 1000))
        return len(self._bucket.items)


class UnlimitedStore:
    """Admits everything, for a process that has no time left to wait."""

    def try_acquire(self) -> float:
        return 0.0

    def gate(self) -> float:
        return 0.0

    def close_gate(self, seconds: float) -> None:
        del seconds

    def used(self) -> int:
        return 0


class RedisStore:
    """Several hosts: a moving window in Redis or Valkey. The hosts' clocks must agree within half a second (NTP).

    :param url: ``redis://`` or ``rediss://`` URL.
    :param name: name of the budget; must not contain the token.
    :param limit: requests per window.
    :param window: seconds, margin included; rounded up to whole seconds.
    :raises InvalidInputError: the libraries for it are not installed.
    """

    def __init__(self, url: str, name: str, limit: int, window: float) -> None:
        if not all(find_spec(library) for library in ("limits", "redis")):
            raise InvalidInputError(
                "budget_store", "redis", "possible with the extra: pip install 'airflow-src-provider[redis]'"
            )
        self._url = url
        self._name = name
        self._limit = limit
        self._window = math.ceil(window)
        self._item: Any = None
        renew_after_fork(self)
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        self._limiter: Any = None
        self._redis: Any = None
        self._open_lock = threading.Lock()

    def _open(self) -> None:
        from limits import RateLimitItemPerSecond
        from limits.storage import RedisStorage
        from limits.strategies import MovingWindowRateLimiter
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with self._open_lock:
            if self._limiter is not None:
                return
            # One repetition is for an idle connection that the server has closed. More would keep a request
            # waiting for seconds while the server is down.
            options: dict[str, Any] = {"retry": Retry(NoBackoff(), 1)}
            storage = RedisStorage(
                self._url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, **options
            )
            self._redis = storage.get_connection()
            self._item = RateLimitItemPerSecond(self._limit, self._window, namespace="airflow_src_provider")
            self._limiter = MovingWindowRateLimiter(storage)

    def _guard(self, call: Callable[[], Any]) -> Any:
        import redis

        try:
            if self._limiter is None:
                self._open()
            return call()
        except (redis.RedisError, OSError, ValueError, TypeError) as error:
            # The library's words may hold the address with its password.
            raise StoreDownError(f"Redis: {type(error).__name__}") from None

    def try_acquire(self) -> float:
        def attempt() -> float:
            if self._limiter.hit(self._item, self._name):
                return 0.0
            reset = self._limiter.get_window_stats(self._item, self._name).reset_time
            return bounded((reset - time.time()) * 1000, self._window)

        return float(self._guard(attempt))

    @property
    def _gate_key(self) -> str:
        return f"airflow_src_provider:gate:{self._name}"

    def gate(self) -> float:
        return max(0, int(self._guard(lambda: self._redis.pttl(self._gate_key)))) / 1000

    def close_gate(self, seconds: float) -> None:
        self._guard(lambda: self._redis.eval(_CLOSE_GATE, 1, self._gate_key, max(1, int(seconds * 1000))))

    def used(self) -> int:
        stats = self._guard(lambda: self._limiter.get_window_stats(self._item, self._name))
        return self._limit - int(stats.remaining)


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, rounded up: a window must never come out shorter than it was asked for."""
    return math.ceil(seconds * 1000)


def bounded(wait_ms: float, window: float) -> float:
    """Return seconds to wait: whatever stands in the log, nobody waits longer than a window for it."""
    # The log counts in whole milliseconds and lets a window end one of them late.
    return min(max(wait_ms, 1), window * 1000 + 2) / 1000
