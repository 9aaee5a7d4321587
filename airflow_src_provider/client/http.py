"""The one session that every request of this package passes.

Every attempt takes a permit of the token's budget first; what is sent again, and when, is decided in
:mod:`~airflow_src_provider.client.retry`. All waiting together is bounded by ``max_wait``.
"""

from __future__ import annotations

import copy
import json as jsonlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.budget import Budget
from airflow_src_provider.client.errors import error_from_answer
from airflow_src_provider.client.redaction import TokenAuth, check_base_url, check_token
from airflow_src_provider.client.retry import retry

log = logging.getLogger(__name__)

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
MAX_WAIT = 900.0
MAX_URL_LENGTH = 6000
MAX_BODY_BYTES = 128 * 2**20
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})


def _user_agent() -> str:
    try:
        own = version("airflow-src-provider")
    except PackageNotFoundError:
        own = "unknown"
    return f"airflow-src-provider/{own} requests/{requests.__version__}"


class ApiResponse:
    """An answer with a success status.

    :param status: HTTP status.
    :param headers: headers, case-insensitive.
    :param body: the whole body.
    """

    __slots__ = ("_parsed", "body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._parsed: Any = None

    def json(self) -> Any:
        """Return the parsed body; ``None`` for an empty one.

        :raises ValueError: the body is not JSON. Requests that expect JSON never get this far.
        """
        if self._parsed is None and self.body:
            self._parsed = jsonlib.loads(self.body)
        return self._parsed

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode("utf-8", "replace")


class ApiSession:
    """Sends requests to one service family with one token: politely, safely, and without ever showing the token.

    :param base_urls: base URL by service name; https, or http to a loopback address.
    :param token: the API token.
    :param token_header: header that carries it.
    :param budget: the token's request budget.
    :param service_name: name of the service family in messages.
    :param headers: further headers of every request.
    :param connect_timeout: seconds to connect, default 10.
    :param read_timeout: seconds to wait for data, default 30; calls may ask for more.
    :param verify: check certificates (default), or the path of a CA bundle.
    :param proxies: proxy by scheme; default: those of the environment.
    :param max_wait: seconds that one request may spend waiting for budget, queue, maintenance and retries; default 900.
    :param certain_503: codes of a 503 after which an effect was certainly not processed; ``None`` means any 503.
    :param refresh_token: reads the token anew after it was refused; called at most once per request.
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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_urls = {name: check_base_url(url, name) for name, url in base_urls.items()}
        origins = {_origin(url) for url in self._base_urls.values()}
        self._auth = TokenAuth(token_header, check_token(token), origins)
        self._budget = budget
        self._service_name = service_name
        self._timeouts = (connect_timeout, read_timeout)
        self._max_wait = max_wait
        self._certain_503 = certain_503
        self._refresh_token = refresh_token
        self._sleep = sleep
        self.calls = 0
        self._http = self._new_http(
            {
                "User-Agent": _user_agent(),
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",
                **(headers or {}),
            }
        )
        self._verify: bool | str = verify
        if verify is True:
            environment = requests.Session().merge_environment_settings("https://example.invalid", {}, None, True, None)
            self._verify = environment["verify"] or False
        self._proxies = {
            name: dict(proxies) if proxies else requests.utils.get_environ_proxies(url)
            for name, url in self._base_urls.items()
        }

    @staticmethod
    def _new_http(headers: Mapping[str, str | bytes]) -> requests.Session:
        http = requests.Session()
        # The environment may hold a .netrc with other credentials, and a CA bundle that undoes verify=False.
        http.trust_env = False
        http.cookies.set_policy(_no_cookies())
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=16, max_retries=0)
        http.mount("https://", adapter)
        http.mount("http://", adapter)
        http.headers = CaseInsensitiveDict(headers)
        return http

    def __repr__(self) -> str:
        return f"<ApiSession {self._service_name} {' '.join(self._base_urls.values())}>"

    @property
    def budget(self) -> Budget:
        """Return the request budget of the token."""
        return self._budget

    def close(self) -> None:
        """Close the pooled connections. The session can be used again afterwards."""
        self._http.close()

    def urgent(self, within: float = 4.0) -> ApiSession:
        """Return a sibling for the last calls of a process that is being ended.

        It shares no lock and no connection with this session, sends each request once, and does not wait for the budget.

        :param within: seconds that a request may take.
        """
        sibling = copy.copy(self)
        sibling._budget = Budget(self._budget.settings, "", store=_Unlimited())
        sibling._timeouts = (within, within)
        sibling._max_wait = 0.0
        sibling._refresh_token = None
        sibling._http = self._new_http(self._http.headers)
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
        :raises InvalidInputError: the path or the length of the URL is refused; nothing was sent.
        :raises ApiError: one of its subclasses, see the module's table.
        """
        method = method.upper()
        repeatable = method in REPEATABLE if safe is None else safe
        prepared = self._prepare(method, path, service, params, json)
        deadline = time.monotonic() + (self._max_wait if max_wait is None else max_wait)
        refreshed = False

        def attempt() -> ApiResponse:
            nonlocal refreshed
            try:
                return self._attempt(prepared, service, path, repeatable, timeout, expect_json, deadline)
            except exc.TokenRejectedError:
                if refreshed or not self._adopt_new_token():
                    raise
                refreshed = True
                self._auth(prepared)
            return self._attempt(prepared, service, path, repeatable, timeout, expect_json, deadline)

        return retry(attempt, deadline, self._sleep)

    def _prepare(
        self, method: str, path: str, service: str, params: Params | None, json: Any
    ) -> requests.PreparedRequest:
        if service not in self._base_urls:
            raise exc.InvalidInputError("service", service, f"one of {sorted(self._base_urls)}")
        if "://" in path or path.startswith("//") or any(ord(c) <= 32 for c in path) or "/../" in f"/{path}/":
            raise exc.InvalidInputError("path", path, "a path below the service's base URL, without a host")
        pairs = params.items() if isinstance(params, Mapping) else params or ()
        request = requests.Request(
            method,
            self._base_urls[service] + path.lstrip("/"),
            params=[(key, _query_value(value)) for key, value in pairs if value is not None],
            json=json,
            auth=self._auth,
        )
        prepared = self._http.prepare_request(request)
        if len(prepared.url or "") > MAX_URL_LENGTH:
            # Beyond this length the platform answers as if it were under maintenance.
            raise exc.InvalidInputError(
                "params", f"a URL of {len(prepared.url or '')} characters", f"at most {MAX_URL_LENGTH} characters"
            )
        return prepared

    def _attempt(
        self,
        prepared: requests.PreparedRequest,
        service: str,
        path: str,
        repeatable: bool,
        timeout: float | None,
        expect_json: bool,
        deadline: float,
    ) -> ApiResponse:
        method = prepared.method or ""
        where: dict[str, Any] = {
            "service": " ".join(p for p in (self._service_name, service) if p),
            "method": method,
            "path": path,
        }
        self._budget.acquire(max(0.0, deadline - time.monotonic()))
        self.calls += 1
        read_timeout = timeout or self._timeouts[1]
        failure: exc.ApiError
        try:
            answer = self._http.send(
                prepared,
                timeout=(self._timeouts[0], read_timeout),
                verify=self._verify,
                proxies=self._proxies[service],
                allow_redirects=False,
                stream=True,
            )
            status, headers, body = answer.status_code, answer.headers, _read(answer, read_timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = _no_answer(error, repeatable, where)
        else:
            self._budget.observe(status, headers)
            if 200 <= status <= 204:
                if not expect_json or not body or _is_json(body):
                    return ApiResponse(status, headers, body)
                failure = exc.BadAnswerError(
                    "a success whose body is not JSON", status=status, request_id=headers.get("X-Request-Id"), **where
                )
            else:
                failure = error_from_answer(status, headers, body, **where)
        # Raised outside of the except block: the library's own error holds the request and with it the token.
        raise self._final(failure, repeatable)

    def _final(self, failure: exc.ApiError, repeatable: bool) -> exc.ApiError:
        failure = self._auth.redact(failure)
        if repeatable or not isinstance(failure, exc.ServerError | exc.ServiceUnavailableError | exc.BadAnswerError):
            return failure
        if isinstance(failure, exc.ServiceUnavailableError) and (
            self._certain_503 is None or failure.code in self._certain_503
        ):
            return failure
        details = {k: v for k, v in failure.__dict__.items() if k != "message"}
        return exc.OutcomeUnknownError(f"whether it was done is not known: {failure.message}", **details)

    def _adopt_new_token(self) -> bool:
        if self._refresh_token is None:
            return False
        token = check_token(self._refresh_token())
        if self._auth.holds(token):
            return False
        log.info(
            "%s refused the token; the connection holds another one now, which is used instead.", self._service_name
        )
        self._auth.replace(token)
        self._budget = self._budget.for_token(token)
        return True


class _Unlimited:
    """A store that admits everything, for a process that has no time left to wait."""

    def try_acquire(self) -> float:
        return 0.0

    def gate(self) -> float:
        return 0.0

    def close_gate(self, seconds: float) -> None:
        del seconds

    def used(self) -> int:
        return 0


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _no_cookies() -> Any:
    from http.cookiejar import DefaultCookiePolicy

    # A session cookie would turn on checks that a token does not need, and could outlive it.
    return DefaultCookiePolicy(allowed_domains=[])


def _query_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _is_json(body: bytes) -> bool:
    try:
        jsonlib.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _read(answer: requests.Response, read_timeout: float) -> bytes:
    """Read a body that is bounded in size and time, however slowly it drips."""
    deadline = time.monotonic() + 4 * read_timeout
    parts: list[bytes] = []
    size = 0
    with answer:
        for part in answer.raw.stream(1 << 18, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise urllib3.exceptions.ProtocolError(f"an answer of more than {MAX_BODY_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise urllib3.exceptions.ProtocolError(f"an answer that took more than {4 * read_timeout:.0f} s")
    return b"".join(parts)


def _no_answer(error: BaseException, repeatable: bool, where: dict[str, Any]) -> exc.ApiError:
    chain = _chain(error)
    reason = type(chain[-1]).__name__
    detail = f"{reason}: {chain[-1]}"[:300]
    never_sent = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.NameResolutionError,
        urllib3.exceptions.ConnectTimeoutError,
        requests.exceptions.ConnectTimeout,
    )
    if any(isinstance(link, requests.exceptions.SSLError | urllib3.exceptions.SSLError) for link in chain):
        failure = exc.ConnectFailedError(f"no secure connection ({detail})", **where)
        failure.retryable = False
        return failure
    if any(isinstance(link, never_sent) for link in chain):
        return exc.ConnectFailedError(f"no connection ({detail})", **where)
    kind = exc.ConnectionLostError if repeatable else exc.OutcomeUnknownError
    prefix = "" if repeatable else "whether it was done is not known: "
    return kind(f"{prefix}no answer ({detail})", **where)


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(chain) < 20:
        link = todo.pop(0)
        if isinstance(link, BaseException) and link not in chain:
            chain.append(link)
            todo += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return chain
