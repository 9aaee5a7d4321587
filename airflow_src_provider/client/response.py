"""What a request comes back with when it succeeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_UNREAD = object()


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
        self._parsed: Any = _UNREAD

    def json(self) -> Any:
        """Return the parsed body; ``None`` for an empty one.

        :raises ValueError: the body is not JSON. Requests that expect JSON never get this far.
        """
        if self._parsed is _UNREAD:
            self._parsed = json.loads(self.body) if self.body else None
        return self._parsed

    def is_usable(self, method: str | None) -> bool:
        """Return whether the body is what was asked for.

        :param method: HTTP method of the request.
        """
        if not self.body:
            # What was asked for, or made, must be in the answer; what was set or deleted need not be.
            return self.status == 204 or method not in ("GET", "POST")
        try:
            self.json()
        except (ValueError, RecursionError):
            return False
        return True

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode("utf-8", "replace")
