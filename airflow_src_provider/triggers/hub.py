"""The one poller of a connection: a thousand waits cost the calls that a thousand ids need, not a thousand.

There is one hub for each event loop and connection. It lives while somebody waits. All waits of one kind are looked at
together, at the smallest interval that any of them asked for. Requests run in threads of the hub's own, never on the
loop.

What happens to an error depends on whom it concerns. One that may pass stays here and the next look comes later. One
that will not pass (a refused token, say) ends all waits of that kind, each with an event that says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
import weakref
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_src_provider.client.waiting import MAX_SILENCE, Progress, Wait, next_interval
from airflow_src_provider.exceptions import ApiError

log = logging.getLogger(__name__)

JOIN_WINDOW = 0.25
COALESCE = 0.05
BACK_OFF_MAX = 8.0

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Hub]] = weakref.WeakKeyDictionary()
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="airflow-src-provider-poll")


_epoch = time.time


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Waiter:
    __slots__ = ("future", "interval", "progress", "since", "tell")

    def __init__(
        self, wait: Wait, interval: float, future: asyncio.Future[dict[str, Any]], tell: Callable[[str], None]
    ):
        self.progress = Progress(wait)
        self.interval = interval
        self.future = future
        self.tell = tell
        self.since = _now()

    def take(self, found: Mapping[str, Any]) -> None:
        try:
            line = self.progress.update(found)
            if line:
                self.tell(line)
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
        self.looked_at = _now()
        self.answered_at = _now()
        self.failures = 0

    def due(self) -> float:
        wish = min(w.interval for w in self.waiters)
        age = _now() - max(w.since for w in self.waiters)
        return self.looked_at + next_interval(wish, age) * min(BACK_OFF_MAX, 2.0**self.failures)


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
        hubs = _hubs.setdefault(asyncio.get_running_loop(), {})
        if key not in hubs:
            hubs[key] = cls(make_client, on_idle=lambda: hubs.pop(key))
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
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(wait, interval, future, tell)
        round_ = self._rounds.setdefault(type(wait), _Round())
        if not round_.waiters:
            # A wait may be long over when its triggerer comes back: look soon, together with all that join now.
            round_.looked_at = round_.answered_at = _now()
            round_.looked_at -= interval - JOIN_WINDOW if interval > JOIN_WINDOW else 0.0
        round_.waiters.append(waiter)
        self._joined.set()
        if self._poller is None or self._poller.done():
            # An empty context: otherwise the poller's lines would go to the log of the first task that waits here.
            self._poller = asyncio.create_task(self._run(), context=contextvars.Context())
        try:
            return await asyncio.wait_for(asyncio.shield(future), max(0.0, deadline - _epoch()))
        except TimeoutError:
            return waiter.progress.event("timeout")
        finally:
            future.cancel()
            if waiter in round_.waiters:
                round_.waiters.remove(waiter)
            if not any(r.waiters for r in self._rounds.values()) and self._poller is not None:
                self._poller.cancel()
                self._poller = None
                self._on_idle()

    async def _run(self) -> None:
        while active := [(kind, r) for kind, r in self._rounds.items() if r.waiters]:
            self._joined.clear()
            for kind, round_ in active:
                if round_.due() <= _now() + COALESCE:
                    await self._look(kind, round_)
            upcoming = [round_.due() for _, round_ in active if round_.waiters]
            if upcoming:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._joined.wait(), max(COALESCE, min(upcoming) - _now()))
                    await asyncio.sleep(JOIN_WINDOW)

    async def _look(self, kind: type[Wait], round_: _Round) -> None:
        waiters = list(round_.waiters)
        ids = list(dict.fromkeys(i for w in waiters for i in w.progress.pending))
        round_.looked_at = _now()
        try:
            found = await asyncio.get_running_loop().run_in_executor(_threads, self._ask, kind, ids)
        except ApiError as error:
            self._failed(round_, waiters, error)
            return
        except Exception as error:
            log.exception("Looking at %d %s failed", len(ids), kind.kind)
            for waiter in waiters:
                waiter.fail(error)
            return
        if round_.failures:
            log.info("%s: answers again after %d failures.", kind.kind, round_.failures)
        round_.failures = 0
        round_.answered_at = _now()
        for waiter in waiters:
            waiter.take(found)

    def _ask(self, kind: type[Wait], ids: list[str]) -> Any:
        if self._client is None:
            self._client = self._make_client()
        return kind.look(self._client, ids)

    def _failed(self, round_: _Round, waiters: list[_Waiter], error: ApiError) -> None:
        round_.failures += 1
        silent = _now() - round_.answered_at
        if error.retryable and silent < MAX_SILENCE:
            log.log(
                logging.WARNING if round_.failures == 1 else logging.DEBUG,
                "No answer, %d waits go on: %s",
                len(waiters),
                error,
            )
            return
        for waiter in waiters:
            waiter.finish(waiter.progress.event("error", str(error)))
