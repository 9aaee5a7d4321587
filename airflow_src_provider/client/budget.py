"""The request budget of one token: everybody who uses the token asks here before each request.

Two parts work together. The *log* (see :mod:`~airflow_src_provider.client.stores`) admits no more requests per window
than the service allows. The *gate* is one moment shared by all: nobody sends before it. It closes when the server says
that the allowance is nearly gone, or has refused a request; so requests that others make with the same token are
respected too. What refusals teach about those is in :mod:`~airflow_src_provider.client.learning`.

When the budget is short, looks at remote work yield to the requests that do something.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import TypeVar

from airflow_src_provider.client.budget_settings import BudgetSettings as BudgetSettings
from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.forks import renew_after_fork
from airflow_src_provider.client.learning import Ceiling
from airflow_src_provider.client.rate_headers import integer, retry_after, until_reset
from airflow_src_provider.client.stores import (
    MemoryStore,
    Store,
    StoreDownError,
    held_back,
    reserve_for_work,
)
from airflow_src_provider.exceptions import BudgetWaitError

log = logging.getLogger(__name__)

T = TypeVar("T")

STORE_RETRY = 5.0
ON_THEIR_WAY = 8
QUIET_WAIT = 2.0


class Budget:
    """Permission to send, shared by all processes that use one token.

    :param settings: allowance and store.
    :param token: the token; only a hash of it is kept.
    :param sleep: waits for seconds; tests replace it together with ``clock``.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: BudgetSettings,
        token: str,
        *,
        store: Store | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._name = settings.name(token)
        self._store = store or settings.open_store(token)
        # Made once: one that is thrown away would be open until it is collected, also at a fork.
        self._hosts: FileStore | None = None
        self._sleep = sleep
        self._clock = clock
        self._store_down_until = 0.0
        self._refusals = 0
        self._silent_until = float("-inf")
        self._gate_until = float("-inf")
        self._ceiling = Ceiling(settings.allowed, settings.window, clock)
        self._yields_until = float("inf")
        self._competes_until = float("-inf")
        renew_after_fork(self)
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        self._turn = threading.RLock()
        self._yielding_turn = threading.RLock()
        self._turn_ends = float("-inf")
        self._fallback: Store | None = None
        self._fallback_lock = threading.Lock()
        self._shared_since = float("-inf")
        self._alone_since = float("-inf")
        self._sent: deque[float] = deque(maxlen=self._alone)

    def __repr__(self) -> str:
        return f"<Budget {self.settings.origin} {self.settings.allowed} per {self.settings.window:g} s>"

    def for_token(self, token: str) -> Budget:
        """Return the budget of another token of the same service."""
        return open_budget(self.settings, token)

    @property
    def reserve(self) -> int:
        """Requests that the server must have left; below it everybody waits for the next window.

        Its word is as old as the requests that are on their way, so there is room for some of those.
        """
        return max(self.settings.limit // 100, min(ON_THEIR_WAY, self.settings.limit // 25))

    @property
    def _alone(self) -> int:
        """Requests per window that one host, or one process, may send while it knows nothing of the others."""
        return self.settings.allowed - held_back(self.settings.allowed)

    def acquire(self, timeout: float | None = None, yields: bool = False) -> float:
        """Wait until one request may be sent.

        :param timeout: longest wait in seconds; ``None`` waits as long as it takes.
        :param yields: leave the last tenth of the allowance to others, for a window at most: of every two windows in
            which the budget is short, the callers that yield compete in one like everybody else.
        :return: seconds waited.
        :raises BudgetWaitError: the wait would be longer than ``timeout``; nothing was recorded.
        """
        start = self._clock()
        # One waiter per process: the others queue here instead of asking the store in a herd. Those who yield queue
        # apart, so that nobody is behind them.
        turn = self._yielding_turn if yields else self._turn
        longest = -1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)
        try:
            if not turn.acquire(timeout=longest):
                raise self._too_long(max(0.0, self._turn_ends - self._clock()), "other threads wait for it too")
            told = False
            while True:
                pause, reason = self._using_store(lambda store: self._step(store, yields))
                now = self._clock()
                if not pause:
                    self._sent.append(now)
                    return now - start
                if timeout is not None and now - start + pause > timeout:
                    raise self._too_long(pause, reason)
                if not told and pause > QUIET_WAIT and now + pause > self._silent_until + QUIET_WAIT:
                    told = True
                    log.info(
                        "Waiting %.0f s for %s: %s. Next request at %s.",
                        pause,
                        self.settings.origin,
                        reason,
                        _clock_time(pause),
                    )
                self._turn_ends = now + pause
                self._sleep(pause)
        finally:
            # A signal's handler may raise at any moment, also between taking the turn and knowing that it was taken.
            try:  # noqa: SIM105
                turn.release()
            except RuntimeError:
                pass  # It was not had.

    def _too_long(self, pause: float, reason: str) -> BudgetWaitError:
        return BudgetWaitError(
            f"the next request could be sent in {pause:.0f} s only: {reason}",
            service=self.settings.origin,
            retry_after=pause,
        )

    def _step(self, store: Store, yields: bool) -> tuple[float, str]:
        closed, own = store.gate(), self._gate_until - self._clock()
        if own > 0 >= closed:
            # The store has forgotten it, or is another one by now.
            store.close_gate(own)
        closed = max(closed, own)
        if closed > 0:
            # Spread the first requests after the gate opens, so that processes do not wake as a herd.
            return closed + random.uniform(0.0, min(0.5, closed / 20) + 0.05), "the service asked for silence"
        limit, window = store.limit, self.settings.window
        most = min(limit, self._ceiling.now(store))
        yields = yields and not self._competes()
        pause = store.try_acquire(most - reserve_for_work(most) if yields else most)
        if not pause:
            if yields:
                self._yields_until = float("inf")
            return 0.0, ""
        if yields:
            now = self._clock()
            self._yields_until = min(self._yields_until, now + window)
            pause = max(0.0, min(pause, self._yields_until - now))
            reason = f"the last of the {most} requests per {window:g} s of this token are left to those who submit"
        elif most < limit:
            reason = f"others use this token too and leave {most} requests per {window:g} s, which are used up"
        else:
            reason = f"the {limit} requests per {window:g} s of this token are used up"
        return pause + random.uniform(0.001, 0.006), reason

    def _competes(self) -> bool:
        """Tell whether those who yield have done so for a window; then they compete for a window."""
        now = self._clock()
        if now >= self._yields_until:
            self._yields_until = float("inf")
            self._competes_until = now + self.settings.window
        return now < self._competes_until

    def _using_store(self, use: Callable[[Store], T]) -> T:
        fallback = self._fallback
        started = self._clock()
        if fallback is None or started >= self._store_down_until:
            try:
                if fallback is not None:
                    self._report(fallback)
                result = use(self._store)
            except StoreDownError as error:
                now = self._clock()
                # Nobody spends more than a fifth of the time on waiting for a store that does not answer.
                self._store_down_until = now + max(STORE_RETRY, 4 * (now - started))
                fallback = self._fall_back(error)
            else:
                if fallback is not None:
                    log.info("The shared request budget is back.")
                    self._shared_since = self._clock()
                    self._fallback = None
                return result
        try:
            return use(fallback)
        except StoreDownError as error:
            return use(self._fall_back(error, fallback))

    def _report(self, fallback: Store) -> None:
        """Tell the store what happened while it was away: what was sent, and what the service asked for."""
        if silence := fallback.gate():
            self._store.close_gate(silence)
        since = max(self._alone_since, self._clock() - self.settings.window - self.settings.margin)
        self._store.record(sum(moment >= since for moment in tuple(self._sent)))
        self._alone_since = self._clock()

    def _fall_back(self, error: StoreDownError, failed: Store | None = None) -> Store:
        """Return what to count in while the store is down: the same for all threads.

        :param failed: what took the store's place until now, if that cannot be used either.
        """
        with self._fallback_lock:
            if self._fallback is not None and self._fallback is not failed:
                return self._fallback
            fallback: Store | None = None
            who = "the processes of this host together send"
            if failed is None:
                self._alone_since = self._clock()
                fallback = self._host_log()
            if fallback is None:
                # What this process has sent in the running window counts here too.
                window = self.settings.window + self.settings.margin
                fallback = MemoryStore(self._alone, window, self._clock, tuple(self._sent))
                who = "this process sends"
            log.warning(
                "The shared request budget cannot be used (%s): until it is back, %s at most %d requests per %g s.",
                error,
                who,
                self._alone,
                self.settings.window,
            )
            self._fallback = fallback
            return fallback

    def _host_log(self) -> Store | None:
        """Return the log of this host, unless that is what cannot be used.

        Processes come and go, one for each task: each of them with a share of its own would be no bound.
        """
        if not self.settings.store:
            return None
        if self._hosts is None:
            self._hosts = self.settings.host_store(self._name, self._alone)
        try:
            # What this process has sent through the shared store; the rest is in there already.
            self._hosts.add(moment for moment in tuple(self._sent) if moment >= self._shared_since)
        except StoreDownError:
            return None
        return self._hosts

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer: close the gate when the server is out of patience, or nearly so.

        :param status: HTTP status of the answer.
        :param headers: its headers, in a case-insensitive mapping.
        """
        remaining = integer(headers.get("X-RateLimit-Remaining"))
        limit = integer(headers.get("X-RateLimit-Limit"))
        # A gateway that reports a quota here, and has none, sends a limit of -1 or 0 and numbers without meaning.
        about_rate = remaining is not None and limit is not None and limit > 0
        if status == 429:
            pause = retry_after(headers)
            if about_rate:
                pause = until_reset(headers, self.settings.longest_silence) if pause is None else pause
            else:
                # A service that never says how much is left shows it by refusing.
                self._using_store(self._ceiling.lower)
            self._refused(self.settings.window if pause is None else pause)
            return
        self._refusals = 0
        if about_rate and remaining is not None and remaining <= self.reserve:
            pause = until_reset(headers, self.settings.longest_silence)
            if pause:
                self._close_gate(pause)

    def _refused(self, pause: float) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._refusals += 1
        # However short the wait that the server names: when it refuses again and again, it was too short.
        floor = min(self.settings.window, 2.0 ** min(self._refusals, 20) / 2)
        pause = self._close_gate(max(pause, floor))
        if now + pause > self._silent_until + QUIET_WAIT:
            log.warning(
                "%s refused a request (429): all users of this token wait %.0f s. Next request at %s.",
                self.settings.origin,
                pause,
                _clock_time(pause),
            )
        self._silent_until = max(self._silent_until, now + pause)

    def _close_gate(self, seconds: float) -> float:
        # A server that asks for a day of silence is misunderstood more likely than obeyed.
        seconds = min(seconds, self.settings.longest_silence)
        self._gate_until = max(self._gate_until, self._clock() + seconds)
        self._using_store(lambda store: store.close_gate(seconds))
        return seconds

    def used(self) -> int:
        """Return how many requests of the running window are on record."""
        return self._using_store(lambda store: store.used())


_budgets: dict[tuple[object, ...], Budget] = {}
_rates: dict[str, tuple[int, float]] = {}


def open_budget(settings: BudgetSettings, token: str) -> Budget:
    """Return this process's budget for a token: the same object each time, so that threads queue together.

    :param settings: allowance and store.
    :param token: the token.
    """
    # Keys of built-in types only: setdefault is then atomic, and needs no lock that a fork could leave taken.
    name = settings.name(token)
    key = (*astuple(settings), name)
    if key not in _budgets:
        rate = (settings.limit, settings.window)
        if (other := _rates.setdefault(name, rate)) != rate:
            log.warning(
                "One token of %s is used with different allowances, %d requests per %g s and %d per %g s: give all "
                "connections that hold it the same rate_limit and rate_window, or more may be sent than is allowed.",
                settings.origin,
                *other,
                *rate,
            )
    return _budgets.get(key) or _budgets.setdefault(key, Budget(settings, token))


def _clock_time(seconds_from_now: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time.time() + seconds_from_now))
