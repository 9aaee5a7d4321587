"""From an HTTP answer to a typed error, whichever of the layers in front of a service gave it.

A gateway, a load balancer and the service itself each have a form of their own: JSON with ``message`` (text or list),
``error`` or ``detail``, an HTML page, or nothing at all. None of them may hide the HTTP status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.rate_headers import retry_after

_BY_STATUS: dict[int, type[exc.ApiError]] = {
    401: exc.TokenRejectedError,
    403: exc.ForbiddenError,
    404: exc.NotFoundError,
    409: exc.ConflictError,
    429: exc.RateLimitError,
    500: exc.ServerError,
    502: exc.ServerError,
    503: exc.ServiceUnavailableError,
    504: exc.ServerError,
}
_UNEXPECTED_ERROR_CODE = 90004
# Deeper nesting would exhaust the stack of whoever prints or pickles the error.
MAX_DEPTH = 20


def parse_object(body: bytes, clean: Callable[[str], str]) -> dict[str, Any] | None:
    """Return the JSON object in a body, with clean texts, or ``None`` when it holds something else."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return _cleaned(parsed, clean, MAX_DEPTH) if isinstance(parsed, dict) else None


def _cleaned(value: Any, clean: Callable[[str], str], depth: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return "..."
    if isinstance(value, list):
        return [_cleaned(part, clean, depth - 1) for part in value]
    return {clean(key): _cleaned(part, clean, depth - 1) for key, part in value.items()}


def message_of(parsed: Mapping[str, Any] | None, text: str) -> str:
    """Return the words of an error answer: ``message``, else ``error``, else ``detail``, else the start of the text."""
    for key in ("message", "error", "detail"):
        value = (parsed or {}).get(key)
        if isinstance(value, list):
            value = "; ".join(str(part) for part in value if part)
        if isinstance(value, dict):
            value = value.get("message") or json.dumps(value)
        words = on_one_line(str(value or ""))
        if words:
            return words[:1000]
    if parsed:
        # Field by field messages of a form: {"name": ["too long"]}
        return json.dumps(parsed)[:500]
    return on_one_line(re.sub(r"<[^<>]*>", " ", text[:5000]))[:200] or "an empty answer"


def on_one_line(text: str) -> str:
    """Return a text that cannot look like a line of its own in a log, or move a terminal's cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:5000]).split())


def error_from_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    clean: Callable[[str], str],
    service: str,
    method: str,
    path: str,
) -> exc.ApiError:
    """Build the typed error for an answer that is no success.

    :param status: HTTP status of the answer.
    :param headers: its headers, in a case-insensitive mapping.
    :param body: its body, whatever that is.
    :param clean: removes secrets from a text.
    :param service: which service was asked.
    :param method: HTTP method of the request.
    :param path: path of the request.
    """
    parsed = parse_object(body, clean)
    raw_code = (parsed or {}).get("code")
    code = raw_code if isinstance(raw_code, int) and not isinstance(raw_code, bool) else None
    more_info = (parsed or {}).get("more_info")
    request_id = headers.get("X-Request-Id")
    kind = _BY_STATUS.get(status) or _kind_of_class(status)
    # Cleaned before it is cut: half a token is no token for a search.
    message = message_of(parsed, "" if parsed else clean(body.decode("utf-8", "replace")))
    if status == 503 and code == 0:
        kind = exc.MaintenanceError
    elif status == 503 and code == _UNEXPECTED_ERROR_CODE:
        kind = exc.ServerError
    elif status == 403 and _is_about_the_key(parsed):
        kind = exc.TokenRejectedError
    elif 300 <= status < 400:
        message = "the service answered with a redirect, which is never followed"
    return kind(
        message,
        service=service,
        method=method,
        path=path,
        status=status,
        code=code,
        more_info=more_info if isinstance(more_info, str) else None,
        request_id=on_one_line(clean(request_id))[:200] if request_id else None,
        retry_after=retry_after(headers),
        body=parsed,
    )


def _kind_of_class(status: int) -> type[exc.ApiError]:
    if status >= 500:
        return exc.ServerError
    return exc.BadRequestError if status >= 300 else exc.BadAnswerError


def _is_about_the_key(parsed: Mapping[str, Any] | None) -> bool:
    # The gateway in front of a service answers {"error": text}; the service itself never uses that form.
    if not parsed or set(parsed) != {"error"}:
        return False
    text = str(parsed["error"]).lower()
    return "key " in text or "access to this api" in text or "authorization" in text
