"""From an HTTP answer to a typed error, whichever of the layers in front of a service gave it.

A gateway, a load balancer and the service itself each have a form of their own: JSON with ``message`` (text or list),
``error`` or ``detail``, an HTML page, or nothing at all. None of them may hide the HTTP status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.budget import retry_after

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


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body, or ``None`` when it holds something else."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def message_of(parsed: Mapping[str, Any] | None, body: bytes) -> str:
    """Return the words of an error answer: ``message``, else ``error``, else ``detail``, else the start of the text."""
    for key in ("message", "error", "detail"):
        value = (parsed or {}).get(key)
        if isinstance(value, list | tuple):
            value = "; ".join(str(part) for part in value if part)
        if isinstance(value, dict):
            value = value.get("message") or json.dumps(value)
        if value:
            return str(value)[:1000]
    if parsed:
        # Field by field messages of a form: {"name": ["too long"]}
        return json.dumps(parsed)[:500]
    text = re.sub(r"<[^>]*>|\s+", " ", body[:2000].decode("utf-8", "replace"))
    return " ".join(text.split())[:200] or "an empty answer"


def error_from_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, service: str, method: str, path: str
) -> exc.ApiError:
    """Build the typed error for an answer that is no success."""
    parsed = parse_object(body)
    raw_code = (parsed or {}).get("code")
    code = raw_code if isinstance(raw_code, int) and not isinstance(raw_code, bool) else None
    more_info = (parsed or {}).get("more_info")
    kind = _BY_STATUS.get(status)
    if kind is None:
        kind = exc.ServerError if status >= 500 else exc.BadRequestError
    message = message_of(parsed, body)
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
        request_id=headers.get("X-Request-Id"),
        retry_after=retry_after(headers),
        body=parsed,
    )


def _is_about_the_key(parsed: Mapping[str, Any] | None) -> bool:
    # The gateway in front of a service answers {"error": text}; the service itself never uses that form.
    if not parsed or set(parsed) != {"error"}:
        return False
    text = str(parsed["error"]).lower()
    return "key " in text or "access to this api" in text or "authorization" in text
