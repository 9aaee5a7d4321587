"""From method, path and values to a request that can be put on the wire; whatever could lead elsewhere is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

from airflow_src_provider.exceptions import InvalidInputError

Params = Mapping[str, Any] | Sequence[tuple[str, Any]]

MAX_URL_LENGTH = 6000


@cache
def user_agent() -> str:
    """Return what requests say of who sends them."""
    try:
        own = version("airflow-src-provider")
    except PackageNotFoundError:
        own = "unknown"
    return f"airflow-src-provider/{own} requests/{requests.__version__}"


def origin(url: str) -> str:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def prepare(
    method: str,
    base_url: str,
    path: str,
    *,
    params: Params | None,
    json: Any,
    headers: Mapping[str, str],
    auth: requests.auth.AuthBase,
) -> requests.PreparedRequest:
    """Return a request that can be sent.

    :param method: HTTP method.
    :param base_url: URL with a slash at its end; the request stays below it.
    :param path: path below that.
    :param params: query; ``None`` values are left out.
    :param json: body, sent as JSON.
    :param headers: headers.
    :param auth: puts the token in.
    :raises InvalidInputError: the path, the length of the URL or a value is refused.
    """
    if not _is_below(path):
        raise InvalidInputError(
            "path", path, "a path below the service's base URL, without host, query, fragment or dot segments"
        )
    pairs = params.items() if isinstance(params, Mapping) else params or ()
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare(
            method,
            base_url + path.lstrip("/"),
            headers=headers,
            params=[(key, _query_value(value)) for key, value in pairs if value is not None],
            json=json,
            auth=auth,
        )
    except (requests.RequestException, TypeError, ValueError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        length = len(prepared.url or "")
        if length <= MAX_URL_LENGTH:
            return prepared
        # Beyond this length the platform answers as if it were under maintenance.
        raise InvalidInputError("params", f"a URL of {length} characters", f"at most {MAX_URL_LENGTH} characters")
    raise InvalidInputError("request", problem, "headers, query and body that can be sent as HTTP and JSON")


def _is_below(path: str) -> bool:
    if "://" in path or path.startswith("//") or any(ord(c) <= 32 or c in "?#\\" for c in path):
        return False
    # As a server may see it: some undo %2F before they look for dot segments.
    return not {".", ".."} & set(unquote(path).split("/"))


def _query_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
