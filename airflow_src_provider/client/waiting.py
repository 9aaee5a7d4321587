"""Waiting for remote work, the same in a worker and in the triggerer.

A :class:`Wait` says what is waited for: which ids, how many of them one call can look at, and what a look means. It
knows nothing of time, threads or Airflow. :class:`Progress` collects what became of the ids over many looks. Who calls
whom, and how often, is decided by :func:`wait_blocking` here and by the hub of the triggerer.
"""

from __future__ import annotations

import abc
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from airflow_src_provider.client.stores import reserve_for_work
from airflow_src_provider.exceptions import (
    ApiError,
    BudgetWaitError,
    InvalidInputError,
    RateLimitError,
    ServiceUnavailableError,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_REASON = 300
STRETCH_AFTER = 1800.0
STRETCH_MAX = 4.0
MAX_SILENCE = 3600.0
#: The service, or the budget, says "not now"; that is an answer, and waiting for it is bounded by deadlines only.
NOT_NOW = (BudgetWaitError, RateLimitError, ServiceUnavailableError)
#: Requests at once in the last seconds of a process.
LAST_THREADS = 16
#: Looks may take this part of what the budget has left.
POLLING_SHARE = 0.25


@dataclass(frozen=True)
class Seen:
    """What a look at one id means.

    :param state: ``waiting``, ``done`` or ``failed``.
    :param text: the present state or the reason of a failure, in words for a log.
    :param result: what the work made, small and JSON-able; only for ``done``.
    """

    state: str
    text: str = ""
    result: Any = None


class Wait(abc.ABC):
    """Remote work that is waited for.

    A subclass names its ``kind``, looks at many ids with as few calls as the API allows, and says what a look means.
    Its options must be JSON-able: a wait travels from the worker to the triggerer.

    :param ids: what is waited for; at least one, without doubles.
    :param options: whatever else :meth:`judge` needs.
    """

    kind: ClassVar[str]
    #: Whether the texts of :meth:`judge` name what they are about, so that a log need not show the id as well.
    names_itself: ClassVar[bool] = False
    #: Seconds for which ending it may keep a worker at most, when its time is over.
    longest_end: ClassVar[float] = 900.0

    def __init__(self, ids: Sequence[str], **options: Any) -> None:
        if isinstance(ids, str) or not ids:
            raise InvalidInputError("ids", ids, "a list of at least one id")
        self.ids = list(dict.fromkeys(ids))
        self.options = options

    @classmethod
    @abc.abstractmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        """Ask the service about these ids.

        :param client: the service's client.
        :param ids: unfinished ids of all waits of this kind together.
        :return: what the service says, by id; an id that does not exist may be missing or ``None``.
        """

    @abc.abstractmethod
    def judge(self, id_: str, found: Any) -> Seen:
        """Say what was found about one id means for this wait."""

    def cancel(self, client: Any) -> list[str]:
        """End the remote work on which nobody waits any more. Return what was done, in words. Default: nothing."""
        del client
        return []

    def cancelling(self, client: Any) -> Iterator[tuple[list[str], float]]:
        """End the remote work in steps, for whoever has better things to do than to sleep between them.

        :return: for each step what was done, in words, and the seconds until the next one; 0 after the last.
        """
        yield self.cancel(client), 0.0

    @property
    def passes_on(self) -> bool:
        """Tell whether another try of the same task goes on with the remote work that was there before it."""
        return False

    @property
    def may_stay(self) -> int:
        """Return how many ids may be unfinished when the wait ends; option ``may_stay``, default none."""
        return int(self.options.get("may_stay", 0))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able arguments that make this wait again."""
        return {"ids": self.ids, **self.options}


class Progress:
    """What is known so far about the ids of one wait."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        self.results: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    @property
    def pending(self) -> list[str]:
        """Return the ids that are not finished yet; none when as few are left as may stay."""
        left = [i for i in self.wait.ids if i not in self.results and i not in self.failed]
        return left if len(left) > self.wait.may_stay else []

    def update(self, found: Mapping[str, Any]) -> str | None:
        """Take in what one look found.

        :return: one line for the log when something changed, else ``None``.
        """
        changed = False
        news = []
        for id_ in self.pending:
            seen = self.wait.judge(id_, found.get(id_))
            text = seen.text if self.wait.names_itself or len(self.wait.ids) > 1 else f"{id_}: {seen.text}"
            if seen.state == "done":
                self.results[id_] = seen.result
            elif seen.state == "failed":
                self.failed[id_] = seen.text[:MAX_REASON]
                news.append(seen.text if self.wait.names_itself else f"{id_}: {seen.text}")
            changed = changed or self._texts.get(id_) != text
            self._texts[id_] = text
        if not changed:
            return None
        if len(self.wait.ids) == 1:
            return self._texts[self.wait.ids[0]]
        # Of a thousand that do the same, a person wants the number, not the names.
        moving = Counter(self._texts[id_] for id_ in self.pending).most_common()
        news += [text if number == 1 else f"{number} times {text}" for text, number in moving]
        shown = "; ".join(news[:3]) + (f"; and {len(news) - 3} more" if len(news) > 3 else "")
        counts = f"{len(self.results)} done, {len(self.failed)} failed, {len(self.pending)} to go"
        return f"{counts} ({shown})" if shown else counts

    def event(self, status: str | None = None, message: str = "") -> dict[str, Any]:
        """Return the outcome as one small JSON object.

        :param status: ``timeout`` or ``error`` when the wait ended early; by default ``success`` or ``failed``.
        :param message: why it ended early.
        """
        return {
            "status": status or ("failed" if self.failed else "success"),
            "results": self.results,
            "failed": self.failed,
            "pending": self.pending,
            "message": message[:MAX_REASON],
        }


def stretched(wish: float, age: float) -> float:
    """Return the seconds between two looks.

    :param wish: interval that was asked for, in seconds.
    :param age: how long it has been waited already; old waits are looked at less often, up to four times the wish.
    """
    return wish * min(STRETCH_MAX, max(1.0, age / STRETCH_AFTER))


def jitter() -> float:
    """Return a factor that keeps many pollers from looking at the same moment."""
    return random.uniform(0.9, 1.1)


def affordable(session: Any, calls: int) -> float:
    """Return the seconds between looks that leave most of the budget to those who do the work.

    :param session: the session that looks.
    :param calls: what one look costs.
    """
    settings = session.budget.settings
    left = max(0, settings.allowed - reserve_for_work(settings.allowed) - session.budget.used())
    # Once the window is over there is a new allowance.
    return float(settings.window * min(1.0, calls / max(1.0, POLLING_SHARE * left)))


def for_each(session: Any, do: Callable[[str], T], ids: Sequence[str]) -> list[T]:
    """Call ``do`` for each id; side by side when the process is being ended, because there are only seconds left.

    :param session: the session that ``do`` uses.
    """
    if len(ids) < 2 or not session.ending:
        return [do(id_) for id_ in ids]
    with ThreadPoolExecutor(min(LAST_THREADS, len(ids))) as threads:
        return list(threads.map(do, ids))


def is_final(error: ApiError, silent: float) -> bool:
    """Tell whether it is of no use to look again.

    :param error: why the last look failed.
    :param silent: seconds since the first look in a row that failed; looks may be an hour apart, and one that failed is
        no silence.
    """
    return not error.retryable or (silent > MAX_SILENCE and not isinstance(error, NOT_NOW))


def silence_began(error: ApiError, before: float | None, moment: float) -> float | None:
    """Return the moment of the first look in a row that failed.

    :param error: why the last look failed.
    :param before: what this function returned for the look before it; ``None`` if that one was answered.
    :param moment: that of the last look.
    :return: ``None`` for a service that says "not now": it is there.
    """
    if isinstance(error, NOT_NOW):
        return None
    return moment if before is None else before


def wait_blocking(
    client: Any,
    wait: Wait,
    *,
    interval: float,
    deadline: float,
    first: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = log.info,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Wait in the calling thread.

    :param client: the service's client.
    :param wait: what is waited for.
    :param interval: seconds between looks.
    :param deadline: moment (epoch seconds) at which to stop waiting.
    :param first: what is known already; saves the first look.
    :return: the same event that the triggerer would send.
    :raises ApiError: an error that will not pass by itself, or no answer for an hour.
    """
    progress = Progress(wait)
    started = clock()
    silent_since: float | None = None
    found = first
    while True:
        try:
            if found is None:
                found = wait.look(client, progress.pending)
            line = progress.update(found)
            silent_since = None
            if line:
                tell(line)
        except ApiError as error:
            moment = clock()
            silent_since = silence_began(error, silent_since, moment)
            if is_final(error, 0.0 if silent_since is None else moment - silent_since):
                raise
            tell(f"No answer this time, still waiting: {error}")
        if not progress.pending:
            return progress.event()
        found = None
        pause = stretched(interval, clock() - started) * jitter()
        left = deadline - clock()
        if left <= 0:
            return progress.event("timeout")
        sleep(min(pause, left))
