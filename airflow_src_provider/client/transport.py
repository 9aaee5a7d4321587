"""What can happen on the wire: bodies of any size and speed, and the many ways in which there is no answer."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.errors import on_one_line

MAX_BODY_BYTES = 128 * 2**20
READ_SIZE = 1 << 18
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    # Raised only while no tunnel through the proxy exists.
    urllib3.exceptions.ProxyError,
)


class _WithoutTheirWords(logging.Filter):
    """Keeps what urllib3 could not parse of an answer's head out of the log: a server may repeat the token there."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith("Failed to parse headers") and isinstance(record.args, tuple):
            record.msg, record.args, record.exc_info = "Failed to parse headers (url=%s)", record.args[:1], None
        return True


logging.getLogger("urllib3.connection").addFilter(_WithoutTheirWords())


class _Connection(urllib3.connection.HTTPConnection):
    # Whoever switches on the debugging of http.client has every header printed, and Airflow does not mask all that is
    # printed: LocalExecutor copies it to the scheduler's output as it is.
    debuglevel = 0


class _SecureConnection(urllib3.connection.HTTPSConnection):
    debuglevel = 0


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _SecurePool}


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


def read_body(answer: requests.Response, read_timeout: float) -> bytes:
    """Read a body that is bounded in size and time, however slowly it drips.

    :raises urllib3.exceptions.HTTPError: the body is cut off, too large or too slow.
    """
    raw = answer.raw
    deadline = time.monotonic() + 4 * read_timeout
    parts: list[bytes] = []
    size = 0
    try:
        while part := raw.read1(READ_SIZE, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise urllib3.exceptions.ProtocolError(f"an answer of more than {MAX_BODY_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                raise urllib3.exceptions.ProtocolError(f"an answer that took more than {4 * read_timeout:g} s")
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
