"""When the waits of one kind are looked at, and what becomes of each of them. Moments are those of the loop's clock.

A wait is due after its interval, later when it is old, and goes along with another that is due when half of it is over.
When its time has run out there is one last look, which neither the budget nor a long pause after errors delays much;
only that look, or the lack of an answer to it, makes it a timeout. Last looks are shared: all that fall into the same
few seconds are one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_src_provider.client.waiting import MAX_SILENCE, NOT_NOW, Progress, Wait, is_final, jitter, stretched
from airflow_src_provider.exceptions import ApiError

log = logging.getLogger(__name__)

JOIN_WINDOW = 0.25
COALESCE = 0.05
BACK_OFF_MAX = 8.0
#: Part of its interval after which a wait is looked at together with one that is due.
ALONG = 0.5
#: Last looks come every so many seconds at most.
LAST_EVERY = 5.0
#: Seconds that a last look may be late or take; then the wait ends without it.
LAST_LOOK = 10.0
#: Waits that are looked at alone in one interval.
MOST_ALONE = 4


def now() -> float:
    return asyncio.get_running_loop().time()


def words(error: Exception) -> str:
    return str(error) if isinstance(error, ApiError) else f"{type(error).__name__}: {error}"


class Waiter:
    """One wait, and what it has come to."""

    def __init__(
        self, wait: Wait, wish: float, left: float, future: asyncio.Future[dict[str, Any]], tell: Callable[[str], None]
    ) -> None:
        self.progress = Progress(wait)
        self.future = future
        self.due = self._since = now()
        self.deadline = self._since + max(0.0, left)
        # Neighbours share their last look.
        self.last = math.ceil(self.deadline / LAST_EVERY) * LAST_EVERY
        self.looked_at = float("-inf")
        self.silent_since = float("inf")
        self.alone = False
        self.misses = 0
        self._wish = wish
        self._tell = tell
        # A line belongs into the log of the task that waits, which is chosen by its context.
        self._context = contextvars.copy_context()

    @property
    def period(self) -> float:
        return stretched(self._wish, now() - self._since)

    def is_due(self, moment: float) -> bool:
        return min(self.due, self.deadline) <= moment

    def answered(self, factor: float) -> None:
        self.looked_at = now()
        self.due = self.looked_at + self.period * factor
        self.silent_since = float("inf")
        self.alone = False
        self.misses = 0

    def take(self, found: Mapping[str, Any], last: bool) -> None:
        try:
            line = self.progress.update(found)
        except Exception as error:
            # Nobody else's wait may end because this one's answer was not understood.
            log.exception("Judging %s failed", self.progress.wait.kind)
            self.fail(error)
            return
        if line:
            self.say(line)
        if not self.progress.pending:
            self.finish(self.progress.event())
        elif last:
            self.finish(self.progress.event("timeout"))

    def miss(self, error: Exception) -> None:
        """Take in that a look said nothing about this wait, which ends it after an hour of nothing else."""
        # Hours of maintenance may end with a failure or two: the hour begins after the last "not now".
        self.silent_since = float("inf") if isinstance(error, NOT_NOW) else min(self.silent_since, now())
        silent = now() - self.silent_since
        if is_final(error, silent) if isinstance(error, ApiError) else silent > MAX_SILENCE:
            self.fail(error)

    def miss_alone(self, error: Exception) -> None:
        """Take in that there is no answer about this wait while there is one about others."""
        if not self.alone:
            self.say(f"No answer about it, still waiting: {words(error)}")
        self.alone = True
        self.misses += 1
        self.looked_at = now()
        self.due = self.looked_at + self.period * min(BACK_OFF_MAX, 2.0**self.misses) * jitter()
        self.miss(error)

    def say(self, line: str) -> None:
        if self.future.done():
            # It left while the answer was on its way, and its log may be closed.
            return
        try:
            self._context.run(self._tell, line)
        except Exception:
            log.exception("A line is missing in a task's log: %s", line)

    def fail(self, error: Exception) -> None:
        self.finish(self.progress.event("error", words(error)))

    def finish(self, event: dict[str, Any]) -> None:
        if not self.future.done():
            self.future.set_result(event)


class Round:
    """The waits of one kind and when they are looked at."""

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []
        self.joined = asyncio.Event()
        self.poller: asyncio.Task[None] | None = None
        self.not_before = self._no_last_before = self._not_alone_before = float("-inf")
        #: Looks at all together that failed in a row.
        self.failures = 0
        #: What the present look has cost so far.
        self.calls = 0
        self._began = float("-inf")
        self._factor = 1.0

    def join(self, waiter: Waiter) -> None:
        # A wait may be long over when its triggerer comes back: look soon, together with all that join now.
        waiter.due += waiter.period * jitter() if self.waiters else min(JOIN_WINDOW, waiter.period)
        self.waiters.append(waiter)
        self.joined.set()

    def due(self) -> float:
        usual = min(max(w.due, self._not_alone_before) if w.alone else w.due for w in self.waiters)
        # A last look does not wait until the budget allows of another: like all looks it leaves others the last of it.
        last = min(w.last if w.last > self._began else self._began + LAST_EVERY for w in self.waiters)
        return min(max(self.not_before, usual), max(self._no_last_before, last))

    def begin_look(self) -> tuple[list[Waiter], list[Waiter]]:
        """Return the waits to look at now, together and alone: those that are due, and those that will be soon."""
        self._began = moment = now()
        self._factor, self.calls = jitter(), 0
        soon = moment + COALESCE
        together = [w for w in self.waiters if not w.alone]
        if any(w.is_due(soon) for w in together):
            together = [w for w in together if w.is_due(soon) or w.looked_at + ALONG * w.period <= moment]
        else:
            together = []
        turn = self._not_alone_before <= soon
        alone = [w for w in self.waiters if w.alone and (w.is_due(soon) if turn else w.deadline <= soon)]
        if alone:
            self._not_alone_before = moment + min(w.period for w in alone) * self._factor
        return together, sorted(alone, key=lambda w: w.looked_at)[:MOST_ALONE]

    def answered(self, waiters: Sequence[Waiter], floor: float) -> None:
        """Take in an answer, and for how many seconds the budget asks to be left alone because of the present look."""
        self.not_before = now() + floor * self._factor
        self._no_last_before = float("-inf")
        for waiter in waiters:
            waiter.answered(self._factor)

    def unanswered(self, waiters: Sequence[Waiter]) -> list[Waiter]:
        """Return those about whom the present look has brought nothing."""
        return [w for w in waiters if w.looked_at < self._began]

    def leave_open(self, waiters: Sequence[Waiter]) -> None:
        for waiter in self.unanswered(waiters):
            waiter.due = now() + waiter.period * self._factor

    def back_off(self, least: float, exactly: bool = False) -> None:
        # Whose time is over cannot wait as long, and has one more look before it ends.
        last = LAST_EVERY * min(BACK_OFF_MAX, 2.0**self.failures)
        self.failures += 1
        usual = min((waiter.period for waiter in self.waiters), default=0.0)
        pause = least if exactly else max(least, usual * min(BACK_OFF_MAX, 2.0**self.failures) * jitter())
        self.not_before = now() + pause
        self._no_last_before = now() + min(pause, max(least, last))
