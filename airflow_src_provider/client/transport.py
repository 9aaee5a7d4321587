"""What can happen on the wire: bodies of any size and speed, and the many ways in which there is no answer."""

from __future__ import annotations

import http.client
import io
import logging
import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.errors import on_one_line

MAX_BODY_BYTES = 128 * 2**20
READ_SIZE = 1 << 18
#: How many times the read time-out a whole answer may take.
PAUSES = 4
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    # Raised only while no tunnel through the proxy exists.
    urllib3.exceptions.ProxyError,
    # A host that cannot be looked up, because a part of its name is empty or too long.
    urllib3.exceptions.LocationParseError,
)

_BEFORE_SENDING = (
    OSError,
    http.client.HTTPException,
    urllib3.exceptions.ProtocolError,
    # Certificates to check with that cannot be read.
    urllib3.exceptions.SSLError,
)


class _WithoutTheirWords(logging.Filter):
    """Keeps what urllib3 could not parse of an answer's head out of the log: a server may repeat the token there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Failed to parse headers") and isinstance(record.args, tuple):
            record.msg, record.args, record.exc_info = "Failed to parse headers (url=%s)", record.args[:1], None
        return True


logging.getLogger("urllib3.connection").addFilter(_WithoutTheirWords())


class _Present(threading.local):
    """The request that a thread is busy with."""

    #: Moment on the monotonic clock at which it is given up, whatever may still come.
    deadline = math.inf


_present = _Present()


class _Flow(io.RawIOBase):
    """The bytes of one answer, from its first line to its trailer: bounded in time and number, however they drip.

    A socket's time-out begins anew with each byte, and http.client reads a head, a series of interim answers or a
    trailer for as long as something comes.

    :param stream: the bytes as they come from the socket.
    :param sock: the socket.
    :param pause: seconds that the socket waits for the next byte; the whole answer may take four times that.
    """

    def __init__(self, stream: Any, sock: Any, pause: float) -> None:
        self._stream = stream
        self._sock = sock
        self._pause = pause
        now = time.monotonic()
        self._deadline = min(now + PAUSES * self._pause, _present.deadline)
        self._seconds = self._deadline - now
        # Also for what is no body: heads, the frames of chunks, trailers.
        self._room = 2 * MAX_BODY_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_slow()
        if left < self._pause:
            self._sock.settimeout(left)
        try:
            size: int | None = self._stream.readinto(buffer)
        except TimeoutError:
            if left < self._pause:
                raise self._too_slow() from None
            raise
        self._room -= size or 0
        if self._room < 0:
            raise _too_large()
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _too_slow(self) -> Exception:
        return urllib3.exceptions.ProtocolError(f"an answer that took more than {self._seconds:.3g} s")


def _too_large() -> Exception:
    return urllib3.exceptions.ProtocolError(f"an answer of more than {MAX_BODY_BYTES >> 20} MiB")


class _Connection(urllib3.connection.HTTPConnection):
    # Whoever switches on the debugging of http.client has every header printed, and Airflow does not mask all that is
    # printed: LocalExecutor copies it to the scheduler's output as it is.
    debuglevel = 0

    # How http.client makes every answer, that of a proxy to the wish for a tunnel included.
    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        answer: Any = http.client.HTTPResponse(sock, *args, **kwargs)
        answer.fp = io.BufferedReader(_Flow(answer.fp.detach(), sock, self.timeout or math.inf))
        return answer

    def _new_conn(self) -> Any:
        sock = super()._new_conn()
        # What connecting took is not left for the handshake.
        left = _present.deadline - time.monotonic()
        if self.timeout is not None and left < self.timeout:
            self.timeout = max(0.001, left)
            sock.settimeout(self.timeout)
        return sock

    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError:
            raise
        except _BEFORE_SENDING as error:
            # Tunnel and handshake come before the first byte of the request: whatever fails there, nothing was sent.
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error


@cache
def _ours(pool: Any) -> Any:
    connection = pool.ConnectionCls
    if issubclass(connection, _Connection):
        return pool
    connection = type(connection.__name__, (_Connection, connection), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _use_our_connections(manager: Any) -> Any:
    # Whatever its pools are: those of a SOCKS proxy have connections of their own kind.
    manager.pool_classes_by_scheme = {scheme: _ours(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}
    return manager


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _use_our_connections(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return _use_our_connections(super().proxy_manager_for(*args, **kwargs))


def new_adapter() -> HTTPAdapter:
    """Return an empty pool of connections.

    It is the adapter alone, without requests' own session: no cookies, no redirects, no repetition that the budget does
    not see, no .netrc with other credentials.
    """
    return _Adapter(pool_connections=4, pool_maxsize=16, max_retries=0)


def certificates(verify: bool | str) -> bool | str:
    """Return what to check certificates with: by default the bundle of the environment, if it names one.

    :raises InvalidInputError: there is no such file or folder.
    """
    bundle = verify
    if verify is True:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    if isinstance(bundle, str) and not os.path.exists(bundle):
        raise exc.InvalidInputError("verify", bundle, "a file or folder of CA certificates that exists")
    return bundle


def send(
    adapter: HTTPAdapter,
    request: requests.PreparedRequest,
    *,
    timeouts: tuple[float, float],
    within: float = math.inf,
    verify: bool | str,
    proxies: Mapping[str, str],
) -> requests.Response:
    """Send a request and return its answer, of which the head has been read.

    :param adapter: pool of connections.
    :param request: what to send.
    :param timeouts: seconds to connect, and to wait for each part of the answer. The whole answer may take four times
        the latter.
    :param within: seconds that everything together may take, if that is less.
    :param verify: see :func:`certificates`.
    :param proxies: proxy by scheme.
    """
    # Put back afterwards: a signal's handler may send while this thread is already sending.
    before = _present.deadline
    _present.deadline = time.monotonic() + within
    try:
        return adapter.send(request, stream=True, timeout=timeouts, verify=verify, proxies=proxies)
    finally:
        _present.deadline = before


def read_body(answer: requests.Response) -> bytes:
    """Read a body that is bounded in size and time, however slowly it drips.

    :raises urllib3.exceptions.HTTPError: the body is cut off, too large or too slow, or the answer is none yet.
    """
    raw = answer.raw
    parts: list[bytes] = []
    size = 0
    try:
        if answer.status_code < 200:
            # The final answer may still come, and would be taken for that of the connection's next request.
            raise urllib3.exceptions.ProtocolError(f"an interim answer ({answer.status_code}) that nobody asked for")
        while part := raw.read1(READ_SIZE, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise _too_large()
    except BaseException:
        raw.close()
        raise
    return b"".join(parts)


def no_answer(
    error: BaseException, repeatable: bool, clean: Callable[[str], str], where: dict[str, Any]
) -> exc.ApiError:
    """Build the typed error for a request without an answer.

    :param error: what the HTTP library raised.
    :param repeatable: whether the request may be sent again without knowing its outcome.
    :param clean: removes secrets from a text.
    :param where: service, method and path of the request.
    """
    causes = _causes(error)
    # The deepest cause is the plainest, except for a time-out, where only the library's own words hold the seconds.
    timed_out = [cause for cause in causes if isinstance(cause, urllib3.exceptions.ReadTimeoutError)]
    root = timed_out[0] if timed_out else causes[-1]
    detail = on_one_line(clean(f"{type(root).__name__}: {root}"))[:300]
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        failure = exc.ConnectFailedError(f"no secure connection ({detail})", **where)
        failure.retryable = False
        return failure
    if any(isinstance(cause, _NEVER_SENT) for cause in causes):
        return exc.ConnectFailedError(f"no connection ({detail})", **where)
    if repeatable:
        return exc.ConnectionLostError(f"no answer ({detail})", **where)
    return exc.OutcomeUnknownError(f"whether it was done is not known: no answer ({detail})", **where)


def _causes(error: BaseException) -> list[BaseException]:
    # Never __context__: it may lead to an older error that the caller was busy with when it sent this request.
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(found) < 20:
        link = todo.pop(0)
        if isinstance(link, BaseException) and link not in found:
            found.append(link)
            todo += [link.__cause__, getattr(link, "reason", None), *link.args]
    return found
