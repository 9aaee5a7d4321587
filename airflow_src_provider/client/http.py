"""The one session that every request of this package passes.

Every attempt takes a permit of the token's budget first; what is sent again, and when, is decided in
:mod:`~airflow_src_provider.client.retry`. All waiting together is bounded by ``max_wait``.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client import transport
from airflow_src_provider.client.budget import Budget
from airflow_src_provider.client.errors import error_from_answer
from airflow_src_provider.client.forks import renew_after_fork
from airflow_src_provider.client.metrics import Meter, Observer, WaitedFor
from airflow_src_provider.client.prepare import Params, origin, prepare, user_agent
from airflow_src_provider.client.redaction import HIDDEN, TokenAuth, check_base_url, check_token, without_credentials
from airflow_src_provider.client.response import ApiResponse as ApiResponse
from airflow_src_provider.client.retry import ATTEMPTS, retry
from airflow_src_provider.client.stores import UnlimitedStore

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
MAX_WAIT = 900.0
IDLE = 15.0
#: Seconds after a common time in which requests are still sent, and that the last answers may take.
LAST_ANSWER = 5.0
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})


class ApiSession:
    """Sends requests to one service family with one token: politely, safely, and without ever showing the token.

    :param base_urls: base URL by service name; https, or http to a loopback address.
    :param token: the API token.
    :param token_header: header that carries it.
    :param budget: the token's request budget.
    :param service_name: name of the service family in messages.
    :param headers: further headers of every request.
    :param connect_timeout: seconds to connect, default 10.
    :param read_timeout: seconds to wait for data, default 30; calls may ask for more. A whole answer may take four
        times that.
    :param verify: check certificates (default), or the path of a CA bundle.
    :param proxies: proxy by scheme; default: those of the environment.
    :param max_wait: seconds that one request may spend waiting for budget, queue, maintenance and retries; default 900.
    :param certain_503: codes of a 503 after which an effect was certainly not processed; ``None`` means any 503.
    :param refresh_token: reads the token anew after it was refused; called at most once per request.
    :param observer: takes measurements; default: nobody does.
    :raises InvalidInputError: an unusable token or base URL.
    """

    def __init__(
        self,
        base_urls: Mapping[str, str],
        token: str,
        *,
        token_header: str,
        budget: Budget,
        service_name: str = "",
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        max_wait: float = MAX_WAIT,
        certain_503: frozenset[int] | None = None,
        refresh_token: Callable[[], str] | None = None,
        observer: Observer | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_urls = {name: check_base_url(url, name) for name, url in base_urls.items()}
        origins = {origin(url) for url in self._base_urls.values()}
        self._account = _Account(TokenAuth(token_header, check_token(token), origins), budget)
        self._service_name = service_name
        self._timeouts = (connect_timeout, read_timeout)
        self._max_wait = max_wait
        self._certain_503 = certain_503
        self._refresh_token = refresh_token
        self._meter = Meter(observer, clock)
        self._sleep = sleep
        self._clock = clock
        self._headers = {
            "User-Agent": user_agent(),
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            **(headers or {}),
        }
        self._verify = transport.certificates(verify)
        self._proxies = {
            name: dict(proxies) if proxies else requests.utils.get_environ_proxies(url)
            for name, url in self._base_urls.items()
        }
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        self._http = transport.new_adapter()
        self._used_at = self._clock()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<ApiSession {self._service_name} {' '.join(self._base_urls.values())}>"

    #: Whether it belongs to a process that is being ended, so that there is no time to try again later.
    ending = False
    #: Whether it leaves the last of the budget to others.
    yields = False
    _within = math.inf
    _before_effect: Callable[[], None] | None = None
    _wait_until = math.inf

    @property
    def calls(self) -> int:
        """Return the requests sent so far, those of siblings included."""
        return self._account.calls

    @property
    def budget(self) -> Budget:
        """Return the request budget of the token."""
        return self._account.budget

    @property
    def _auth(self) -> TokenAuth:
        return self._account.auth

    def base_url(self, service: str = "") -> str:
        """Return the base URL of a service."""
        return self._base_urls[service]

    def close(self) -> None:
        """Close the pooled connections. The session can be used again afterwards."""
        self._http.close()

    def urgent(self, within: float = 4.0) -> ApiSession:
        """Return a sibling for the last calls of a process that is being ended.

        It shares no lock and no connection with this session, sends each request once, and does not wait for the
        budget. It is not measured: whoever takes measurements may have locks too.

        :param within: seconds that a request may take.
        """
        sibling = copy.copy(self)
        sibling._account = _Account(self._auth, Budget(self.budget.settings, "", store=UnlimitedStore()))
        sibling._timeouts = (within, within)
        sibling._within = within
        sibling._wait_until = math.inf
        sibling._max_wait = 0.0
        sibling._refresh_token = None
        sibling._meter = Meter()
        sibling._before_effect = None
        sibling.ending = True
        sibling.renew_after_fork()
        renew_after_fork(sibling)
        return sibling

    def hasty(self, max_wait: float) -> ApiSession:
        """Return a sibling for a caller who has better things to do than to wait, such as the poller of all waits.

        It shares the token's budget with this session and raises, instead of waiting, what may pass later.

        :param max_wait: seconds that one request may spend waiting, if that is less than this session's.
        """
        sibling = copy.copy(self)
        sibling._max_wait = min(self._max_wait, max_wait)
        sibling.renew_after_fork()
        renew_after_fork(sibling)
        return sibling

    def yielding(self, max_wait: float) -> ApiSession:
        """Return a hasty sibling for looks, which leave the last of the budget to requests that do something.

        :param max_wait: seconds that one request may spend waiting, if that is less than this session's.
        """
        sibling = self.hasty(max_wait)
        sibling.yields = True
        return sibling

    def lasting(self, within: float) -> ApiSession:
        """Return a sibling whose requests have a time in common, for a caller who sends many and has to come to an end.

        What begins shortly after that time is still sent, once, if that is possible without waiting. Later on each
        request raises :class:`~airflow_src_provider.exceptions.ApiError` unsent. An answer is waited for as long as
        there is time left, at least for some seconds.

        :param within: seconds from now.
        """
        sibling = self.hasty(within)
        sibling._wait_until = self._clock() + within
        return sibling

    def announcing(self, before_effect: Callable[[], None]) -> ApiSession:
        """Return a sibling that tells somebody before each request that must not be sent twice.

        :param before_effect: called when it is the request's turn; what it raises keeps the request from being sent.
        """
        sibling = self.hasty(self._max_wait)
        sibling._before_effect = before_effect
        return sibling

    def request(
        self,
        method: str,
        path: str,
        *,
        service: str = "",
        params: Params | None = None,
        json: Any = None,
        safe: bool | None = None,
        timeout: float | None = None,
        expect_json: bool = True,
        max_wait: float | None = None,
        attempts: int = ATTEMPTS,
    ) -> ApiResponse:
        """Send a request and return its answer.

        :param method: HTTP method.
        :param path: path below the service's base URL.
        :param service: which base URL, if there are several.
        :param params: query; a sequence of pairs repeats a key; ``None`` values are left out.
        :param json: body, sent as JSON.
        :param safe: whether it may be repeated when its outcome is unknown; default: by method.
        :param timeout: seconds to wait for data, if not the session's.
        :param expect_json: treat a success with a body that is not JSON as no answer.
        :param max_wait: seconds to spend waiting, if not the session's.
        :param attempts: how often to try at most after errors such as 502 or a time-out; default 5.
        :raises InvalidInputError: the path or the length of the URL is refused; nothing was sent.
        :raises ApiError: one of its subclasses, see the module's table.
        """
        method = method.upper()
        call = _Call(
            prepared=self._prepare(method, path, service, params, json),
            service=service,
            path=path,
            repeatable=method in REPEATABLE if safe is None else safe,
            read_timeout=self._timeouts[1] if self.ending else timeout or self._timeouts[1],
            expect_json=expect_json,
            deadline=min(self._clock() + (self._max_wait if max_wait is None else max_wait), self._wait_until),
        )
        refreshed = False

        def attempt() -> ApiResponse:
            nonlocal refreshed
            try:
                return self._attempt(call)
            except exc.TokenRejectedError as error:
                if refreshed or not self._adopt_new_token(call.prepared):
                    raise
                refreshed = True
                self._meter.again(error)
            return self._attempt(call)

        return retry(attempt, call.deadline, self._sleep, self._clock, attempts, self._meter.again)

    def _prepare(
        self, method: str, path: str, service: str, params: Params | None, json: Any
    ) -> requests.PreparedRequest:
        if service not in self._base_urls:
            raise exc.InvalidInputError("service", service, f"one of {sorted(self._base_urls)}")
        base_url = self._base_urls[service]
        return prepare(method, base_url, path, params=params, json=json, headers=self._headers, auth=self._auth)

    def _attempt(self, call: _Call) -> ApiResponse:
        if self._clock() > self._wait_until + LAST_ANSWER:
            # A service that accepts everything and answers nothing would keep a worker for a time-out per request.
            raise exc.ApiError("nothing was sent: the time for this and other requests is over", **self._where(call))
        if not self.ending:
            self._wait_for_turn(call)
        if self._before_effect and not call.repeatable:
            self._before_effect()
        self._count(call.repeatable)
        sent = self._clock()
        outcome = self._send(call)
        if isinstance(outcome, ApiResponse | exc.ApiError):
            self._meter.answered(call.prepared.method or "", outcome.status, self._clock() - sent)
        self._meter.look_at(self.budget)
        call.refused = isinstance(outcome, exc.RateLimitError)
        if isinstance(outcome, ApiResponse):
            return outcome
        # Raised here, outside of any except block and away from the answer: both could hold the token.
        raise self._final(outcome, call.repeatable)

    def _wait_for_turn(self, call: _Call) -> None:
        try:
            waited = self.budget.acquire(max(0.0, call.deadline - self._clock()), self.yields)
        except exc.BudgetWaitError:
            self._meter.postponed()
            raise
        reason = WaitedFor.REFUSED if call.refused else WaitedFor.LOOK if self.yields else WaitedFor.TURN
        self._meter.waited(waited, reason)

    def _where(self, call: _Call) -> dict[str, Any]:
        return {
            "service": " ".join(p for p in (self._service_name, call.service) if p),
            "method": call.prepared.method,
            "path": call.path,
        }

    def _send(self, call: _Call) -> ApiResponse | exc.ResearchCloudError:
        where = self._where(call)
        clean = self._auth.clean
        status = 0
        try:
            answer = transport.send(
                self._http,
                call.prepared,
                timeouts=(self._timeouts[0], call.read_timeout),
                within=min(self._within, max(LAST_ANSWER, self._wait_until - self._clock())),
                verify=self._verify,
                proxies=self._proxies[call.service],
            )
            status, headers, body = answer.status_code, answer.headers, b""
            self.budget.observe(status, headers)
            body = transport.read_body(answer)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            return exc.InvalidInputError("proxies", HIDDEN, without_credentials(str(error)))
        except transport.FAILURES as error:
            if status < 300:
                return transport.no_answer(error, call.repeatable, clean, where)
            # A refusal is a refusal, even when its text is cut off.
        if not 200 <= status <= 204:
            return error_from_answer(status, headers, body, clean=clean, **where)
        response = ApiResponse(status, headers, self._auth.clean_data(body))
        if not call.expect_json or response.is_usable(call.prepared.method):
            return response
        problem = "a success whose body is not JSON" if body else "a success without a body"
        return exc.BadAnswerError(problem, status=status, **where)

    def _count(self, repeatable: bool) -> None:
        with self._lock:
            self._account.calls += 1
            now = self._clock()
            if not repeatable and now - self._used_at > IDLE:
                # A connection that was closed meanwhile, unnoticed, would leave the effect's outcome unknown.
                self._http = transport.new_adapter()
            self._used_at = now

    def _final(self, failure: exc.ResearchCloudError, repeatable: bool) -> exc.ResearchCloudError:
        if repeatable or not isinstance(failure, exc.ServerError | exc.ServiceUnavailableError | exc.BadAnswerError):
            return failure
        if isinstance(failure, exc.ServiceUnavailableError) and (
            self._certain_503 is None or failure.code in self._certain_503
        ):
            return failure
        unknown = exc.OutcomeUnknownError(f"whether it was done is not known: {failure.message}")
        unknown.__dict__.update({k: v for k, v in failure.__dict__.items() if k != "message"})
        return unknown

    def _adopt_new_token(self, refused: requests.PreparedRequest) -> bool:
        """Put another token into a refused request, if there is one."""
        with self._lock:
            # Another thread may have found the new token already.
            if self._auth.renew(refused):
                return True
            if self._refresh_token is None:
                return False
            token = check_token(self._refresh_token())
            # A sibling, which has another lock, may have found it meanwhile.
            if not self._auth.holds(token):
                self._auth.replace(token)
                self._account.budget = self.budget.for_token(token)
                log.info(
                    "%s refused the token; the connection holds another one now, which is used instead.",
                    self._service_name,
                )
            return self._auth.renew(refused)


@dataclass
class _Account:
    """A token and its allowance, which siblings share: whoever adopts a new token does so for all."""

    auth: TokenAuth
    budget: Budget
    calls: int = 0


@dataclass(slots=True)
class _Call:
    prepared: requests.PreparedRequest
    service: str
    path: str
    repeatable: bool
    read_timeout: float
    expect_json: bool
    deadline: float
    refused: bool = False
