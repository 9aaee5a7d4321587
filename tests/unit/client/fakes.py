"""A session that answers from a script and remembers what it was asked."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    service: str
    pairs: tuple[tuple[str, Any], ...]
    json: Any
    safe: bool | None
    timeout: float | None
    attempts: int

    @property
    def query(self) -> dict[str, Any]:
        """The query with one value per key."""
        return dict(self.pairs)

    def values(self, key: str) -> list[Any]:
        """All values of a repeated key."""
        return [value for name, value in self.pairs if name == key]


class Answer:
    """What a session returns."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.body = body

    def json(self) -> Any:
        return jsonlib.loads(self.body) if self.body else None

    @property
    def text(self) -> str:
        return self.body.decode()


Reply = Any | Exception | Callable[[Call], Any]


class FakeSession:
    """Answers each request with the next reply: an object, an error to raise, bytes, or a function of the call.

    :param replies: as many as there will be requests; one more request fails the test.
    :param always: instead, one function that answers every request.
    """

    def __init__(self, *replies: Reply, always: Callable[[Call], Any] | None = None) -> None:
        self._replies: Iterable[Reply] = iter(replies)
        self._always = always
        self.sent: list[Call] = []

    @property
    def calls(self) -> int:
        return len(self.sent)

    @property
    def last(self) -> Call:
        return self.sent[-1]

    def request(
        self,
        method: str,
        path: str,
        *,
        service: str = "",
        params: Any = None,
        json: Any = None,
        safe: bool | None = None,
        timeout: float | None = None,
        expect_json: bool = True,
        max_wait: float | None = None,
        attempts: int = 5,
    ) -> Answer:
        raw = params.items() if isinstance(params, dict) else params or ()
        pairs = tuple((key, value) for key, value in raw if value is not None)
        call = Call(method, path, service, pairs, json, safe, timeout, attempts)
        self.sent.append(call)
        if self._always is not None:
            reply: Any = self._always
        else:
            try:
                reply = next(self._replies)  # type: ignore[call-overload]
            except StopIteration:
                raise AssertionError(f"one request too many: {call}") from None
        if callable(reply) and not isinstance(reply, type):
            reply = reply(call)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Answer):
            return reply
        return Answer(reply if isinstance(reply, bytes) else jsonlib.dumps(reply).encode())
