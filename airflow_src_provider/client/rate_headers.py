"""What the headers of an answer say about time and number: read with care, because servers send all kinds of things."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` as seconds, whether it was sent as seconds or as a date."""
    raw = headers.get("Retry-After")
    seconds = _number(raw)
    if seconds is None:
        date = _http_date(raw)
        if date is None:
            return None
        seconds = date - (_http_date(headers.get("Date")) or time.time())
    return min(max(0.0, seconds), 86400.0)


def until_reset(headers: Mapping[str, str], longest: float) -> float | None:
    """Return the seconds until the window ends, by the server's own clock; ``None`` when that makes no sense.

    :param headers: headers of an answer, in a case-insensitive mapping.
    :param longest: seconds beyond which a window's end is not believed.
    """
    reset = _number(headers.get("X-RateLimit-Reset"))
    if reset is None:
        return None
    if reset > 1e11:
        reset /= 1000
    date = _http_date(headers.get("Date"))
    # The Date header has whole seconds only.
    left = reset - date + 1.0 if date is not None else reset - time.time()
    if not -5 <= left <= longest:
        return None
    return max(0.0, left)


def integer(raw: str | None) -> int | None:
    """Read a whole number; ``None`` when it is none."""
    value = _number(raw)
    return None if value is None else int(value)


def _number(raw: str | None) -> float | None:
    try:
        value = float(raw) if raw is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e15 else None


def _http_date(raw: str | None) -> float | None:
    if not raw:
        return None
    try:
        return email.utils.parsedate_to_datetime(raw).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
