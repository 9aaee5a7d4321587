"""The one poller of a connection: a thousand waits cost the calls that a thousand ids need, not a thousand.

There is one hub for each event loop and connection. It lives while somebody waits. All waits of one kind are looked at
together: whoever is due takes along everybody who will be due before long. How soon a wait is due follows from the
interval it asked for, its age, and what the token's budget has left; when its time is over, there is one last look.
Requests run in threads of the hub's own, never on the loop, and do not wait inside: a "not now" comes back here, and
the next look comes later. No kind waits for the looks of another, which may take a minute when a service hangs.

What happens to an error depends on whom it concerns. One that may pass stays here. One that will not pass ends all
waits of that kind, each with an event that says why, if it is about all of them (a refused token, say). When the
service refuses to speak about some of the ids, or fails again and again while it answers about others, the waits are
looked at apart until it is clear whose they are. Who was refused ends; who got no answer is looked at alone from then
on, until there is an answer or an hour has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_src_provider.client.waiting import Wait, affordable
from airflow_src_provider.exceptions import (
    ApiError,
    BadAnswerError,
    BadRequestError,
    BudgetWaitError,
    ConflictError,
    ConnectionLostError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ServerError,
)
from airflow_src_provider.triggers.rounds import COALESCE, JOIN_WINDOW, LAST_LOOK, Round, Waiter, now, words

log = logging.getLogger(__name__)

CLIENT_TRIES = 5
#: Errors of a whole look that may be about a single id of it, and will not pass.
REFUSALS = (BadRequestError, ConflictError, ForbiddenError, InvalidInputError, NotFoundError)
#: The same, but they may pass; so may an answer that nobody expected.
SUSPICIOUS = (BadAnswerError, ConnectionLostError, ServerError)
#: So many of these in a row, and it is worth looking whether the service answers about others.
SUSPECT_AFTER = 3
#: Looks of one round, and seconds, for finding out whom an error concerns; what they leave open is for the next round.
MOST_APART = 64
LONGEST_APART = 60.0

_hubs: dict[asyncio.AbstractEventLoop, dict[Hashable, Hub]] = {}
# A thread for each kind of wait of some connections: one service that hangs must not keep the others from being asked.
_threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="airflow-src-provider-poll")


_epoch = time.time


def suspicious(error: Exception) -> bool:
    return isinstance(error, SUSPICIOUS) or not isinstance(error, ApiError)


class Hub:
    """One poller.

    :param make_client: builds the service's client; called in a thread, once.
    """

    def __init__(self, make_client: Callable[[], Any], on_idle: Callable[[], object]) -> None:
        self._make_client = make_client
        self._on_idle = on_idle
        self._client: Any = None
        self._making = threading.Lock()
        self._rounds: dict[type[Wait], Round] = {}

    @classmethod
    def of(cls, key: Hashable, make_client: Callable[[], Any]) -> Hub:
        """Return the hub of the running event loop for a connection.

        :param key: names the connection and its service.
        :param make_client: builds the client, should the hub not exist yet.
        """
        # A loop that was closed under its waiters, as dag.test() does, has left its hubs behind.
        for loop in [loop for loop in list(_hubs) if loop.is_closed()]:
            _hubs.pop(loop, None)
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
        """Wait until everything in ``wait`` is finished, or a look after the deadline has shown that it is not.

        :param interval: seconds between looks that this waiter would like.
        :param deadline: moment (epoch seconds) at which to stop; the last look may come some seconds later.
        :param tell: receives one line whenever something has changed.
        :return: the event of :meth:`~airflow_src_provider.client.waiting.Progress.event`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
        waiter = Waiter(wait, interval, deadline - _epoch(), future, tell)
        round_ = self._rounds.setdefault(type(wait), Round())
        round_.join(waiter)
        if round_.poller is None or round_.poller.done():
            # An empty context: otherwise the poller's lines would go to the log of the first task that waits here.
            round_.poller = asyncio.create_task(self._run(type(wait), round_), context=contextvars.Context())
        try:
            return await asyncio.wait_for(future, waiter.last - now() + LAST_LOOK)
        except TimeoutError:
            return waiter.progress.event("timeout")
        finally:
            round_.waiters.remove(waiter)
            if not round_.waiters:
                if not loop.is_closed():
                    round_.poller.cancel()
                round_.poller = None
                if not any(r.waiters for r in self._rounds.values()):
                    self._on_idle()

    async def _run(self, kind: type[Wait], round_: Round) -> None:
        try:
            while round_.waiters:
                round_.joined.clear()
                if round_.due() <= now() + COALESCE:
                    await self._look(kind, round_)
                if round_.waiters:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(round_.joined.wait(), max(COALESCE, round_.due() - now()))
                        await asyncio.sleep(JOIN_WINDOW)
        except Exception as error:
            log.exception("The poller failed")
            for waiter in round_.waiters:
                waiter.fail(error)

    async def _look(self, kind: type[Wait], round_: Round) -> None:
        together, alone = round_.begin_look()
        try:
            try:
                await self._look_at(kind, round_, together)
            except Exception as error:
                if self._client is None or not await self._concerns_some(kind, round_, together, error):
                    raise
                await self._look_apart(kind, round_, together, error)
                round_.leave_open(together)
            else:
                if together and round_.failures:
                    log.info("%s: answers again after %d failures.", kind.kind, round_.failures)
                    round_.failures = 0
            await self._look_alone(kind, round_, alone)
        except Exception as error:
            self._failed(kind, round_, round_.unanswered([*together, *alone]), error)

    async def _look_at(self, kind: type[Wait], round_: Round, waiters: Sequence[Waiter]) -> None:
        """Look once for these waits, as far as they are still there."""
        waiters = [w for w in waiters if not w.future.done()]
        if not waiters:
            return
        ids = list(dict.fromkeys(i for w in waiters for i in w.progress.pending))
        began = now()
        found, floor = await asyncio.get_running_loop().run_in_executor(_threads, self._ask, kind, round_, ids)
        round_.answered(waiters, floor)
        for waiter in waiters:
            waiter.take(found, last=waiter.deadline <= began)

    async def _concerns_some(
        self, kind: type[Wait], round_: Round, waiters: Sequence[Waiter], error: Exception
    ) -> bool:
        """Tell whether an error may be about some of these waits only; an outage is about all."""
        if isinstance(error, REFUSALS):
            return True
        if not suspicious(error) or round_.failures + 1 < SUSPECT_AFTER or len(waiters) < 2:
            return False
        # Whoever was answered last, and any other.
        first, *others = sorted(random.sample(waiters, len(waiters)), key=lambda w: -w.looked_at)
        for waiter in (first, random.choice(others)):
            try:
                await self._look_at(kind, round_, [waiter])
            except Exception as again:
                if isinstance(again, REFUSALS):
                    return True
                if not suspicious(again):
                    raise
            if not round_.unanswered([waiter]):
                return True
        return False

    async def _look_apart(self, kind: type[Wait], round_: Round, waiters: Sequence[Waiter], error: Exception) -> None:
        """Find out by halves whom an error concerns: who is refused ends, who gets no answer is looked at alone."""
        log.warning(
            "%s: no answer about %d waits together, finding out whom it concerns: %s", kind.kind, len(waiters), error
        )
        refusals_only = isinstance(error, REFUSALS) and round_.failures + 1 < SUSPECT_AFTER
        # In a new order each time: what is left open is not always the same.
        parts = [(random.sample(waiters, len(waiters)), error)]
        until, looks, singles = now() + LONGEST_APART, 0, 0
        while parts and looks < MOST_APART and (not singles or now() < until):
            part, error = parts.pop()
            if len(part) == 1:
                singles += 1
                self._found(part[0], error)
                continue
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                looks += 1
                try:
                    await self._look_at(kind, round_, half)
                except Exception as again:
                    if not isinstance(again, REFUSALS) and (refusals_only or not suspicious(again)):
                        raise
                    parts.append((half, again))

    async def _look_alone(self, kind: type[Wait], round_: Round, waiters: Sequence[Waiter]) -> None:
        for waiter in waiters:
            try:
                await self._look_at(kind, round_, [waiter])
            except Exception as error:
                if not isinstance(error, REFUSALS) and not suspicious(error):
                    raise
                self._found(waiter, error)

    def _found(self, waiter: Waiter, error: Exception) -> None:
        if isinstance(error, REFUSALS):
            waiter.fail(error)
        else:
            waiter.miss_alone(error)

    def _ask(self, kind: type[Wait], round_: Round, ids: list[str]) -> tuple[Mapping[str, Any], float]:
        with self._making:
            if self._client is None:
                self._client = self._make_client()
        session = self._client.session
        before = session.calls
        try:
            found = kind.look(self._client, ids)
        finally:
            round_.calls += session.calls - before
        return found, affordable(session, round_.calls)

    def _failed(self, kind: type[Wait], round_: Round, waiters: Sequence[Waiter], error: Exception) -> None:
        if isinstance(error, ApiError):
            final = not error.retryable
        else:
            # Whoever keeps the connections may be away for a moment.
            final = self._client is None and (isinstance(error, InvalidInputError) or round_.failures >= CLIENT_TRIES)
        if final:
            for waiter in round_.waiters:
                waiter.fail(error)
            return
        for waiter in waiters:
            waiter.miss(error)
        # The budget knows when the next request may go; whoever comes much later finds it used up again.
        round_.back_off(getattr(error, "retry_after", None) or 0.0, exactly=isinstance(error, BudgetWaitError))
        log.log(
            logging.WARNING if round_.failures == 1 else logging.DEBUG,
            "%s: no answer, %d waits go on, next look in %.0f s: %s",
            kind.kind,
            len(round_.waiters),
            round_.not_before - now(),
            words(error),
            exc_info=None if isinstance(error, ApiError) else error,
        )
