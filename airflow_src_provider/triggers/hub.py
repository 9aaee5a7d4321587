"""The one poller of a connection: a thousand waits cost the calls that a thousand ids need, not a thousand.

There is one hub for each event loop and connection. It lives while somebody waits. All waits of one kind are looked at
together: whoever is due takes along everybody who will be due before long. How soon a wait is due follows from the
interval it asked for, its age, and what the token's budget has left. Requests run in threads of the hub's own, never on
the loop, and do not wait inside: a "not now" comes back here, and the next look comes later.

What happens to an error depends on whom it concerns. One that may pass stays here. One that will not pass ends all
waits of that kind, each with an event that says why, if it is about all of them (a refused token, say). When the
service refuses to speak about some of the ids, the waits are looked at apart until it is clear whose they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_src_provider.client.waiting import Progress, Wait, affordable, is_final, jitter, stretched
from airflow_src_provider.exceptions import (
    ApiError,
    BadRequestError,
    BudgetWaitError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
)

log = logging.getLogger(__name__)

JOIN_WINDOW = 0.25
COALESCE = 0.05
BACK_OFF_MAX = 8.0
#: Part of its interval after which a wait is looked at together with one that is due.
ALONG = 0.5
#: Seconds for a last look, for a wait whose time ran out while no triggerer was there.
LAST_LOOK = 10.0
CLIENT_TRIES = 5
#: Errors of a whole look that may be about a single id of it.
REFUSALS = (BadRequestError, ConflictError, ForbiddenError, NotFoundError)
#: Looks of one round that find out whom such an error concerns; what they leave open is for the next round.
MOST_APART = 64

_hubs: dict[asyncio.AbstractEventLoop, dict[Hashable, Hub]] = {}
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="airflow-src-provider-poll")


_epoch = time.time


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Waiter:
    __slots__ = ("_context", "_since", "_tell", "_wish", "due", "future", "looked_at", "progress")

    def __init__(self, wait: Wait, wish: float, future: asyncio.Future[dict[str, Any]], tell: Callable[[str], None]):
        self.progress = Progress(wait)
        self.future = future
        self.due = self._since = _now()
        self.looked_at = float("-inf")
        self._wish = wish
        self._tell = tell
        # A line belongs into the log of the task that waits, which is chosen by its context.
        self._context = contextvars.copy_context()

    @property
    def period(self) -> float:
        return stretched(self._wish, _now() - self._since)

    def take(self, found: Mapping[str, Any]) -> None:
        try:
            if line := self.progress.update(found):
                self._context.run(self._tell, line)
        except Exception as error:
            # Nobody else's wait may end because this one's answer was not understood.
            log.exception("Judging %s failed", self.progress.wait.kind)
            self.fail(error)
        else:
            if not self.progress.pending:
                self.finish(self.progress.event())

    def fail(self, error: Exception) -> None:
        self.finish(self.progress.event("error", f"{type(error).__name__}: {error}"))

    def finish(self, event: dict[str, Any]) -> None:
        if not self.future.done():
            self.future.set_result(event)


class _Round:
    """The waits of one kind and when they are looked at."""

    def __init__(self) -> None:
        self.waiters: list[_Waiter] = []
        self.answered_at = _now()
        self.not_before = float("-inf")
        self.failures = 0

    def join(self, waiter: _Waiter) -> None:
        # A wait may be long over when its triggerer comes back: look soon, together with all that join now.
        first = not self.waiters
        if first:
            self.answered_at = _now()
        waiter.due += min(JOIN_WINDOW, waiter.period) if first else waiter.period * jitter()
        self.waiters.append(waiter)

    def due(self) -> float:
        return max(self.not_before, min(waiter.due for waiter in self.waiters))

    def begin_look(self) -> list[_Waiter]:
        """Return the waits to look at now: those that are due, and those that will be before long."""
        now = _now()
        return [w for w in self.waiters if w.due <= now + COALESCE or w.looked_at + ALONG * w.period <= now]

    def end_look(self, waiters: list[_Waiter], floor: float) -> None:
        now, factor = _now(), jitter()
        self.failures = 0
        self.answered_at = now
        self.not_before = now + floor * factor
        for waiter in waiters:
            waiter.looked_at = now
            waiter.due = now + waiter.period * factor

    def back_off(self, least: float, exactly: bool = False) -> None:
        self.failures += 1
        usual = min((waiter.period for waiter in self.waiters), default=0.0)
        pause = least if exactly else max(least, usual * min(BACK_OFF_MAX, 2.0**self.failures) * jitter())
        self.not_before = _now() + pause


class Hub:
    """One poller.

    :param make_client: builds the service's client; called in a thread, once.
    """

    def __init__(self, make_client: Callable[[], Any], on_idle: Callable[[], object]) -> None:
        self._make_client = make_client
        self._on_idle = on_idle
        self._client: Any = None
        self._rounds: dict[type[Wait], _Round] = {}
        self._joined = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, key: Hashable, make_client: Callable[[], Any]) -> Hub:
        """Return the hub of the running event loop for a connection.

        :param key: names the connection and its service.
        :param make_client: builds the client, should the hub not exist yet.
        """
        # A loop that was closed under its waiters, as dag.test() does, has left its hubs behind.
        for loop in [loop for loop in _hubs if loop.is_closed()]:
            del _hubs[loop]
        loop = asyncio.get_running_loop()
        hubs = _hubs.setdefault(loop, {})
        if key not in hubs:

            def forget() -> None:
                hubs.pop(key, None)
                if not hubs:
                    _hubs.pop(loop, None)

            hubs[key] = cls(make_client, on_idle=forget)
        return hubs[key]

    async def wait(
        self, wait: Wait, *, interval: float, deadline: float, tell: Callable[[str], None] = log.info
    ) -> dict[str, Any]:
        """Wait until everything in ``wait`` is finished, or the deadline has passed.

        :param interval: seconds between looks that this waiter would like.
        :param deadline: moment (epoch seconds) at which to stop.
        :param tell: receives one line whenever something has changed.
        :return: the event of :meth:`~airflow_src_provider.client.waiting.Progress.event`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
        waiter = _Waiter(wait, interval, future, tell)
        round_ = self._rounds.setdefault(type(wait), _Round())
        round_.join(waiter)
        self._joined.set()
        if self._poller is None or self._poller.done():
            # An empty context: otherwise the poller's lines would go to the log of the first task that waits here.
            self._poller = asyncio.create_task(self._run(), context=contextvars.Context())
        left = deadline - _epoch()
        try:
            return await asyncio.wait_for(asyncio.shield(future), left if left > 0 else LAST_LOOK)
        except TimeoutError:
            return waiter.progress.event("timeout")
        finally:
            if waiter in round_.waiters:
                round_.waiters.remove(waiter)
            if self._poller is not None and not any(r.waiters for r in self._rounds.values()):
                if not loop.is_closed():
                    self._poller.cancel()
                self._poller = None
                self._on_idle()

    async def _run(self) -> None:
        try:
            while active := [(kind, r) for kind, r in self._rounds.items() if r.waiters]:
                self._joined.clear()
                for kind, round_ in active:
                    if round_.waiters and round_.due() <= _now() + COALESCE:
                        await self._look(kind, round_)
                upcoming = [round_.due() for _, round_ in active if round_.waiters]
                if upcoming:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._joined.wait(), max(COALESCE, min(upcoming) - _now()))
                        await asyncio.sleep(JOIN_WINDOW)
        except Exception as error:
            log.exception("The poller failed")
            for round_ in self._rounds.values():
                for waiter in round_.waiters:
                    waiter.fail(error)

    async def _look(self, kind: type[Wait], round_: _Round) -> None:
        waiters = round_.begin_look()
        try:
            try:
                floor = await self._look_at(kind, waiters)
            except REFUSALS as error:
                floor = await self._look_apart(kind, waiters, error)
        except ApiError as error:
            self._failed(kind, round_, error)
        except Exception as error:
            if self._client is None and not isinstance(error, InvalidInputError) and round_.failures < CLIENT_TRIES:
                # Whoever keeps the connections may be away for a moment.
                log.warning("The connection cannot be read now, %d waits go on: %s", len(round_.waiters), error)
                round_.back_off(0.0)
                return
            log.exception("Looking at %d %s failed", len(waiters), kind.kind)
            for waiter in list(round_.waiters):
                waiter.fail(error)
        else:
            if round_.failures:
                log.info("%s: answers again after %d failures.", kind.kind, round_.failures)
            round_.end_look(waiters, floor)

    async def _look_at(self, kind: type[Wait], waiters: list[_Waiter]) -> float:
        """Look once for these waits; return the seconds for which the budget asks to be left alone."""
        ids = list(dict.fromkeys(i for w in waiters for i in w.progress.pending))
        found, floor = await asyncio.get_running_loop().run_in_executor(_threads, self._ask, kind, ids)
        for waiter in waiters:
            waiter.take(found)
        return floor

    async def _look_apart(self, kind: type[Wait], waiters: list[_Waiter], error: ApiError) -> float:
        """Find out whose ids the service refuses, by halves: only those waits end."""
        log.warning(
            "%s: a look at %d waits is refused, finding out whom it concerns: %s", kind.kind, len(waiters), error
        )
        refused = [(waiters, error)]
        floor, looks = 0.0, 0
        while refused and looks < MOST_APART:
            part, error = refused.pop()
            if len(part) == 1:
                part[0].finish(part[0].progress.event("error", str(error)))
                continue
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                looks += 1
                try:
                    floor += await self._look_at(kind, half)
                except REFUSALS as again:
                    refused.append((half, again))
        return floor

    def _ask(self, kind: type[Wait], ids: list[str]) -> tuple[Mapping[str, Any], float]:
        if self._client is None:
            self._client = self._make_client()
        session = self._client.session
        before = session.calls
        found = kind.look(self._client, ids)
        return found, affordable(session, session.calls - before)

    def _failed(self, kind: type[Wait], round_: _Round, error: ApiError) -> None:
        if is_final(error, _now() - round_.answered_at):
            for waiter in list(round_.waiters):
                waiter.finish(waiter.progress.event("error", str(error)))
            return
        # The budget knows when the next request may go; whoever comes much later finds it used up again.
        round_.back_off(error.retry_after or 0.0, exactly=isinstance(error, BudgetWaitError))
        log.log(
            logging.WARNING if round_.failures == 1 else logging.DEBUG,
            "%s: no answer, %d waits go on, next look in %.0f s: %s",
            kind.kind,
            len(round_.waiters),
            round_.not_before - _now(),
            error,
        )
