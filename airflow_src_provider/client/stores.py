"""Where the log of sent requests is kept, so that everybody who uses a token counts together.

A store answers three questions: may one more request go now, until when must everybody be silent, and how many
requests are on record. The counting itself is an exact sliding log of a library (``pyrate-limiter`` on SQLite for one
host, ``limits`` on Redis for several): approximations such as token buckets let up to twice the allowance through.

A store that was emptied in the middle of a window notices it when somebody asks who knows of an entry in that window,
and holds most of the allowance back for one window: the service has not forgotten what was sent.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, Protocol

from airflow_src_provider.client.forks import renew_after_fork
from airflow_src_provider.exceptions import InvalidInputError

log = logging.getLogger(__name__)

REDIS_TIMEOUT = 2.0
#: Seconds beyond two windows that nobody is ever asked to be silent.
MAX_GATE = 900.0
#: Part of the allowance that stands for all of it while nobody knows what was sent in the running window.
FALLBACK_SHARE = 0.1
#: Seconds by which the clock of the store's server may be set back without looking like a loss of memory.
CLOCK_STEP = 0.05
# Only ever later, and in one step: two processes may close the gate at once.
_CLOSE_GATE = """
local left = redis.call('pttl', KEYS[1])
if left < tonumber(ARGV[1]) or left > tonumber(ARGV[2]) then redis.call('set', KEYS[1], '1', 'px', ARGV[1]) end
"""

# Around the library's own script: its time is the server's, which is one for all, and not that of whoever asks.
_BY_ITS_CLOCK = b"""
local clock = redis.call('time')
local ARGV = {string.format('%d.%06d', clock[1], clock[2]), unpack(ARGV, 2)}
local function answer()
"""
_ANSWER = b"""
end
local answered = answer()
return answered == true and ARGV[1] or answered
"""
# A log that does not hold an entry that the caller has seen there has lost its memory. Just before the window is over
# the log may have expired by itself.
_CHECK = b"""
local known = tonumber(ARGV[6])
if known > tonumber(ARGV[1]) - tonumber(ARGV[3]) + 0.1 then
    local newest, oldest = redis.call('lindex', KEYS[1], 0), redis.call('lindex', KEYS[1], -1)
    local step = tonumber(ARGV[7])
    if not newest or tonumber(newest) < known - step or tonumber(oldest) > known + step then return -1 end
end
"""
# Before the library's own script, and in one step with it: fewer may be asked for than the log holds.
_FEWER = b"""
local last = redis.call('lindex', KEYS[1], tonumber(ARGV[5]) - tonumber(ARGV[4]))
if last and tonumber(last) >= tonumber(ARGV[1]) - tonumber(ARGV[3]) then return false end
"""
# The same for requests that were sent already: as many of them as there is room for. A number counted beforehand would
# be refused as a whole when somebody else takes a permit meanwhile.
_ROOM = b"""
local start = tonumber(ARGV[1]) - tonumber(ARGV[3])
local sent = redis.call('lrange', KEYS[1], 0, tonumber(ARGV[2]) - 1)
local used = #sent
while used > 0 and tonumber(sent[used]) < start do used = used - 1 end
ARGV[4] = math.min(tonumber(ARGV[4]), tonumber(ARGV[5]) - used)
if ARGV[4] <= 0 then return false end
"""


class StoreDownError(Exception):
    """The store cannot be used now; the budget falls back to a small share of its own."""


class Store(Protocol):
    """What a budget needs of a place to count in."""

    #: Requests per window.
    limit: int

    def try_acquire(self, most: int | None = None) -> float:
        """Record one request. Return 0.0 when it may go, else the seconds after which to ask again.

        :param most: how many requests the window may hold with this one, if fewer than ``limit``.
        """

    def record(self, number: int) -> None:
        """Record requests that were sent without asking; no more than there is room for."""

    def gate(self) -> float:
        """Return the seconds for which nobody may send; 0.0 when the gate is open."""

    def close_gate(self, seconds: float) -> None:
        """Keep everybody silent for at least so many seconds from now."""

    def learn(self, number: int, seconds: float) -> None:
        """Keep a number for everybody, for so many seconds."""

    def learned(self) -> tuple[int, float] | None:
        """Return the number that was kept last, and for how many seconds it will be."""

    def used(self) -> int:
        """Return how many requests of the running window are on record."""


class MemoryStore:
    """Counts for one process only: the fallback while a shared store is down.

    :param limit: requests per window.
    :param window: seconds, margin included.
    :param sent: moments of requests that were sent already.
    """

    def __init__(
        self,
        limit: int,
        window: float,
        clock: Callable[[], float] = time.monotonic,
        sent: Iterable[float] = (),
    ) -> None:
        from pyrate_limiter import InMemoryBucket, Rate, RateItem

        self.limit = limit
        self._clock = clock
        self._window = window
        self._bucket = InMemoryBucket([Rate(limit, milliseconds(window))])
        self._bucket.items += [RateItem("r", int(moment * 1000)) for moment in sent]
        self._gate_until = 0.0
        self._learned: tuple[int, float] | None = None

    def try_acquire(self, most: int | None = None) -> float:
        return self._put(1, self.limit if most is None else most)

    def _put(self, number: int, most: int) -> float:
        from pyrate_limiter import Rate, RateItem

        now = int(self._clock() * 1000)
        self._bucket.leak(now)
        self._bucket.rates = [Rate(most, milliseconds(self._window))]
        item = RateItem("r", now, weight=number)
        if self._bucket.put(item):
            return 0.0
        wait: Any = self._bucket.waiting(item)
        return bounded(wait, self._window)

    def record(self, number: int) -> None:
        number = min(number, self.limit - self.used())
        if number > 0:
            self._put(number, self.limit)

    def gate(self) -> float:
        return max(0.0, self._gate_until - self._clock())

    def close_gate(self, seconds: float) -> None:
        self._gate_until = max(self._gate_until, self._clock() + seconds)

    def learn(self, number: int, seconds: float) -> None:
        self._learned = (number, self._clock() + seconds)

    def learned(self) -> tuple[int, float] | None:
        if self._learned is None or (left := self._learned[1] - self._clock()) <= 0:
            return None
        return self._learned[0], left

    def used(self) -> int:
        self._bucket.leak(int(self._clock() * 1000))
        return len(self._bucket.items)


class UnlimitedStore:
    """Admits everything, for a process that has no time left to wait."""

    limit = 10**9

    def try_acquire(self, most: int | None = None) -> float:
        del most
        return 0.0

    def record(self, number: int) -> None:
        del number

    def gate(self) -> float:
        return 0.0

    def close_gate(self, seconds: float) -> None:
        del seconds

    def learn(self, number: int, seconds: float) -> None:
        del number, seconds

    def learned(self) -> tuple[int, float] | None:
        return None

    def used(self) -> int:
        return 0


class RedisStore:
    """Several hosts: a moving window in Redis (5 or later) or Valkey, by the server's clock.

    All users of a token count in one log, whatever part of the allowance each of them may use.

    :param url: ``redis://`` or ``rediss://`` URL.
    :param name: name of the budget; must not contain the token.
    :param limit: requests per window.
    :param window: seconds, margin included; rounded up to whole seconds.
    :param whole: requests per window that the service allows all users together; default ``limit``.
    :raises InvalidInputError: the libraries for it are not installed.
    """

    def __init__(self, url: str, name: str, limit: int, window: float, whole: int | None = None) -> None:
        if not all(find_spec(library) for library in ("limits", "redis")):
            raise InvalidInputError(
                "budget_store", "redis", "possible with the extra: pip install 'airflow-src-provider[redis]'"
            )
        self.limit = limit
        self._url = url
        self._name = name
        self._whole = whole or limit
        self._window = math.ceil(window)
        self._known_at = 0.0
        renew_after_fork(self)
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        self._storage: Any = None
        self._redis: Any = None
        self._acquire: Any = None
        self._add: Any = None
        self._check: Any = None
        self._key = ""
        self._age_known = False
        self._open_lock = threading.Lock()

    def _open(self) -> None:
        from limits import RateLimitItemPerSecond
        from limits.storage import RedisStorage
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with self._open_lock:
            if self._storage is not None:
                return
            # One repetition is for an idle connection that the server has closed. More would keep a request
            # waiting for seconds while the server is down.
            options: dict[str, Any] = {"retry": Retry(NoBackoff(), 1)}
            storage = RedisStorage(
                self._url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT, **options
            )
            item = RateLimitItemPerSecond(self._whole, self._window, namespace="airflow_src_provider")
            self._key = storage.prefixed_key(item.key_for(self._name))
            self._redis = storage.get_connection()
            acquire = storage.SCRIPT_ACQUIRE_MOVING_WINDOW
            self._check = self._redis.register_script(_BY_ITS_CLOCK + _CHECK + _ANSWER)
            self._acquire = self._redis.register_script(_BY_ITS_CLOCK + _CHECK + _FEWER + acquire + _ANSWER)
            self._add = self._redis.register_script(_BY_ITS_CLOCK + _ROOM + acquire + _ANSWER)
            self._storage = storage

    def _guard(self, call: Callable[[], Any]) -> Any:
        import redis

        try:
            if self._storage is None:
                self._open()
            if not self._age_known:
                self._look_at_age()
            return call()
        except (redis.RedisError, OSError, ValueError, TypeError) as error:
            # The next one may have lost its memory, and so may this one: its idle connections lead to a server that
            # has given the work to another one, for example.
            self._age_known = False
            if self._redis is not None:
                self._redis.connection_pool.disconnect(inuse_connections=False)
            # The library's words may hold the address with its password.
            raise StoreDownError(f"Redis: {type(error).__name__}") from None

    def _look_at_age(self) -> None:
        """Hold most of the allowance back if the server has begun within the window: perhaps empty."""
        import redis

        try:
            age = int(self._redis.info("server")["uptime_in_seconds"])
        except (redis.ResponseError, KeyError):
            # It tells this to some users only, or to nobody.
            age = self._window
        if age < self._window and self._record(self.limit, held_back(self.limit)):
            warn_lost("Redis", self._window, "is too young to know all that was sent")
        self._age_known = True

    def try_acquire(self, most: int | None = None) -> float:
        return float(self._guard(lambda: self._try_acquire(self.limit if most is None else most)))

    def _try_acquire(self, most: int) -> float:
        if sent := self._run(self._acquire, 1, most):
            self._known_at = float(sent)
            return 0.0
        # Whoever is refused knows of an entry too, and perhaps of a later one than its own.
        newest = self._redis.lindex(self._key, 0)
        self._known_at = max(self._known_at, float(newest or 0.0))
        now, start, _ = self._running(most)
        return bounded((start + self._window - now) * 1000, self._window)

    def _running(self, limit: int) -> tuple[float, float, int]:
        """Return the time, the oldest of the last ``limit`` entries of the running window, and their number."""
        seconds, microseconds = self._redis.time()
        now = seconds + microseconds / 1e6
        oldest, number = self._storage.lua_moving_window([self._key], [now - self._window, limit]) or (now, 0)
        return now, float(oldest), int(number)

    def _run(self, script: Any, number: int, most: int) -> Any:
        answer = self._send(script, number, most)
        if answer != -1:
            return answer
        self._record(self.limit, held_back(self.limit))
        # Not before: if that has failed, it is for the next one to be noticed again.
        self._known_at = 0.0
        warn_lost("Redis", self._window)
        return self._run(script, number, most)

    def _send(self, script: Any, number: int, most: int) -> Any:
        return script([self._key], [0, self._whole, self._window, number, most, self._known_at, CLOCK_STEP])

    def record(self, number: int) -> None:
        def add() -> None:
            # First of all: afterwards the log would not look empty any more.
            self._run(self._check, 1, self.limit)
            self._record(number, self.limit)

        self._guard(add)

    def _record(self, number: int, most: int) -> bool:
        """Put requests on record, as far as the window holds no more than ``most`` then; tell whether it was any."""
        return bool(self._send(self._add, number, most))

    def _shared(self, what: str) -> str:
        return f"airflow_src_provider:{what}:{self._name}"

    def gate(self) -> float:
        left = int(self._guard(lambda: self._redis.pttl(self._shared("gate")))) / 1000
        return left if 0.0 < left <= longest_gate(self._window) else 0.0

    def close_gate(self, seconds: float) -> None:
        until, most = max(1, int(seconds * 1000)), int(longest_gate(self._window) * 1000)
        self._guard(lambda: self._redis.eval(_CLOSE_GATE, 1, self._shared("gate"), until, most))

    def learn(self, number: int, seconds: float) -> None:
        self._guard(lambda: self._redis.set(self._shared("learned"), number, px=max(1, int(seconds * 1000))))

    def learned(self) -> tuple[int, float] | None:
        number = self._guard(lambda: self._redis.get(self._shared("learned")))
        if number is None:
            return None
        left = self._guard(lambda: self._redis.pttl(self._shared("learned")))
        return (int(number), left / 1000) if left > 0 else None

    def used(self) -> int:
        return int(self._guard(self._used))

    def _used(self) -> int:
        return self._running(self._whole)[2]


def reserve_for_work(limit: int) -> int:
    """Return how many of the last permits of a window those who only look leave to those who work."""
    return limit // 10


def held_back(limit: int) -> int:
    """Return how many of the permits of a window nobody gets while it is not known what was sent in it."""
    return limit - max(1, int(limit * FALLBACK_SHARE))


def longest_gate(window: float) -> float:
    """Return the seconds beyond which a gate was not closed by any of us, and is taken for open."""
    return 2 * window + MAX_GATE


def warn_lost(where: str, window: float, why: str = "has lost what was on record") -> None:
    """Say that a log has lost its memory."""
    log.warning(
        "The shared request budget (%s) %s: only %.0f %% of the allowance is used for %.0f s.",
        where,
        why,
        FALLBACK_SHARE * 100,
        window,
    )


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, rounded up: a window must never come out shorter than it was asked for."""
    return math.ceil(seconds * 1000)


def bounded(wait_ms: float, window: float) -> float:
    """Return seconds to wait: whatever stands in the log, nobody waits longer than a window for it."""
    # The log counts in whole milliseconds and lets a window end one of them late.
    return min(max(wait_ms, 1), window * 1000 + 2) / 1000
