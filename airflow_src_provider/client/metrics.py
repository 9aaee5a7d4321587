"""What can be measured of a session, for whoever wants to watch it.

The client knows nothing of where measurements go: it hands them to an :class:`Observer`. Tags are words out of small,
fixed sets; never an id, a path or anything of a token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.budget import Budget

log = logging.getLogger(__name__)

#: Seconds between two looks of a process at what a budget has left.
LOOK_EVERY = 10.0
#: Seconds; asking for a permit takes a moment, which is no wait.
SHORTEST_WAIT = 0.1
#: Why a request is sent again; the first that fits.
REASONS: dict[type[BaseException], str] = {
    exc.MaintenanceError: "maintenance",
    exc.ServiceUnavailableError: "unavailable",
    exc.ServerError: "server_error",
    exc.BadAnswerError: "bad_answer",
    exc.ConnectFailedError: "no_connection",
    exc.ConnectionLostError: "no_answer",
    exc.TokenRejectedError: "new_token",
}


class Metric(StrEnum):
    """Everything that is measured."""

    REQUESTS = "requests"
    REQUEST_TIME = "request_time"
    BUDGET_WAIT = "budget_wait"
    POSTPONED = "postponed"
    REFUSALS = "refusals"
    RETRIES = "retries"
    BUDGET_LEFT = "budget_left"


class WaitedFor(StrEnum):
    """Why a request waited for the budget."""

    TURN = "turn"
    #: A look at remote work, which leaves the last of the budget to requests that do something.
    LOOK = "look"
    #: The service has just refused the same request.
    REFUSED = "refused"


class Observer(Protocol):
    """Takes measurements. Called from many threads, and not supposed to wait."""

    def count(self, metric: Metric, tags: Mapping[str, str]) -> None:
        """Take one more of something."""

    def time(self, metric: Metric, seconds: float, tags: Mapping[str, str]) -> None:
        """Take a duration."""

    def level(self, metric: Metric, value: float) -> None:
        """Take the present value of something."""


def aside(do: Callable[[], None]) -> None:
    """Do something without keeping the caller."""
    threading.Thread(target=do, name="budget-left", daemon=True).start()


# By budget, not by session: all sessions of a process that use a token need only one look.
_looked_at: WeakKeyDictionary[Budget, float] = WeakKeyDictionary()


class Meter:
    """Measures one session. Never raises and never waits: a request is worth more than a number about it.

    :param observer: takes the measurements; ``None``: nobody does.
    :param clock: monotonic seconds.
    :param aside: runs what could take long, elsewhere.
    """

    def __init__(
        self,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
        aside: Callable[[Callable[[], None]], None] = aside,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._aside = aside
        self._complained = False

    def answered(self, method: str, status: int | None, seconds: float) -> None:
        """Measure a request that was sent.

        :param method: HTTP method.
        :param status: HTTP status of the answer; ``None`` when there was none.
        :param seconds: from sending to the end of the answer.
        """
        if self._observer is not None:
            tags = {"method": method, "status": f"{status // 100}xx" if status else "none"}
            self._tell(self._observer.count, Metric.REQUESTS, tags)
            self._tell(self._observer.time, Metric.REQUEST_TIME, seconds, tags)
            if status == 429:
                self._tell(self._observer.count, Metric.REFUSALS, {})

    def waited(self, seconds: float, reason: WaitedFor) -> None:
        """Measure a wait for the budget, if it is one."""
        if self._observer is not None and seconds >= SHORTEST_WAIT:
            self._tell(self._observer.time, Metric.BUDGET_WAIT, seconds, {"reason": reason})

    def postponed(self) -> None:
        """Count a request that was not sent: its turn would have come too late for its caller."""
        if self._observer is not None:
            self._tell(self._observer.count, Metric.POSTPONED, {})

    def again(self, error: BaseException) -> None:
        """Count a request that is sent again. One that was refused (429) is counted as that already."""
        reason = next((reason for kind, reason in REASONS.items() if isinstance(error, kind)), None)
        if self._observer is not None and reason:
            self._tell(self._observer.count, Metric.RETRIES, {"reason": reason})

    def look_at(self, budget: Budget) -> None:
        """Measure what a budget has left, now and then: asking its store costs about as much as a permit."""
        observer, now = self._observer, self._clock()
        if observer is None or now < _looked_at.get(budget, float("-inf")) + LOOK_EVERY:
            return
        _looked_at[budget] = now

        def look() -> None:
            left = max(0, budget.settings.allowed - budget.used())
            observer.level(Metric.BUDGET_LEFT, left)

        self._tell(self._aside, lambda: self._tell(look))

    def _tell(self, do: Callable[..., None], *args: Any) -> None:
        try:
            do(*args)
        except Exception as error:
            log.log(
                logging.DEBUG if self._complained else logging.WARNING,
                "Metrics cannot be written (%s: %s); the requests go on.",
                type(error).__name__,
                error,
            )
            self._complained = True
