"""When a request is sent again, and after how long. These rules live here and nowhere else.

*Repeatable* are GET, PUT, PATCH and DELETE, and a POST that only reads or sets. Everything else is an *effect*.

=========================================== =============================== ======================================
answer                                      repeatable request              effect
=========================================== =============================== ======================================
429                                         everybody waits, then resend    same: certainly not processed
503 queue full, maintenance                 back off, resend                same: certainly not processed
other 503                                   back off, resend                outcome unknown, never resent
connection refused or never completed,      back off, resend                same: nothing was sent
unknown host
500, 502, 504, time-out, connection lost,   back off, resend                outcome unknown, never resent
unusable body of a success
401, gateway's 403 about the key            read the token again, once      same
other 4xx                                   typed error                     typed error
=========================================== =============================== ======================================

Back-off: for a full queue 5 s doubling up to 120 s, for maintenance 60 s doubling up to 300 s, for the rest 1 s
doubling up to 30 s and at most five attempts. The first time ``Retry-After`` counts instead, later on where it is
longer. Everything is jittered.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from airflow_src_provider import exceptions as exc

log = logging.getLogger(__name__)

ATTEMPTS = 5
LONG_PAUSE = 30.0
T = TypeVar("T")


def retry(
    attempt: Callable[[], T],
    deadline: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
    attempts: int = ATTEMPTS,
    watch: Callable[[BaseException], None] = lambda _: None,
) -> T:
    """Call ``attempt`` until it returns, fails for good, or the next try would come too late.

    :param attempt: sends once; raises :class:`~airflow_src_provider.exceptions.ApiError`.
    :param deadline: moment on ``clock`` after which nothing is tried again.
    :param sleep: waits for seconds.
    :param clock: monotonic seconds.
    :param attempts: how often at most, where the server did not say that nothing was processed.
    :param watch: told, before each further try, what the last one came to.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_retrying),
        wait=_pause,
        stop=lambda state: _give_up(state, deadline - clock(), attempts),
        before_sleep=lambda state: _tell(state, watch),
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


def _worth_retrying(error: BaseException) -> bool:
    return isinstance(error, exc.ApiError) and error.retryable and error.outcome_known


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    n = state.attempt_number
    jitter = random.uniform(0.0, 0.5)
    if isinstance(error, exc.RateLimitError):
        # The budget's gate is closed for everybody until the window ends; the next attempt waits there.
        return jitter
    named = error.retry_after if isinstance(error, exc.ApiError) else None
    if named is not None and n == 1:
        return named + jitter
    own = _own_pause(error, n)
    # However short the wait that the server names: when it turns the request away again, it was too short.
    return own if named is None else max(named + jitter, own)


def _own_pause(error: BaseException | None, n: int) -> float:
    doubled = 2.0 ** min(n - 1, 20)
    if isinstance(error, exc.MaintenanceError):
        return min(300.0, 60.0 * doubled) * random.uniform(1.0, 1.1)
    if isinstance(error, exc.ServiceUnavailableError):
        return min(120.0, 5.0 * doubled) * random.uniform(1.0, 1.2)
    return min(30.0, doubled) * random.uniform(0.5, 1.0)


def _give_up(state: tenacity.RetryCallState, left: float, attempts: int) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if state.upcoming_sleep > left:
        return True
    patient = isinstance(error, exc.RateLimitError | exc.ServiceUnavailableError)
    return not patient and state.attempt_number >= attempts


def _tell(state: tenacity.RetryCallState, watch: Callable[[BaseException], None]) -> None:
    error = state.outcome.exception() if state.outcome else None
    if error is not None:
        watch(error)
    # The budget has said already that a 429 makes everybody wait, and until when.
    worth_a_line = not isinstance(error, exc.RateLimitError) and (
        state.attempt_number == 1 or state.upcoming_sleep >= LONG_PAUSE
    )
    log.log(
        logging.INFO if worth_a_line else logging.DEBUG,
        "%s. Waiting %d s; try %d at %s.",
        error,
        math.ceil(state.upcoming_sleep),
        state.attempt_number + 1,
        time.strftime("%H:%M:%S", time.localtime(time.time() + state.upcoming_sleep)),
    )
