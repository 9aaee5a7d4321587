"""What can go wrong with a request, as the two services and what stands in front of them do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from tests.faults.stage import Stage

Rule = dict[str, Any]
BOTH = ("sb", "src")
SB = ("sb",)
SRC = ("src",)


@dataclass(frozen=True)
class Fault:
    """A fault of one request.

    :param rule: makes the sandbox's rule.
    :param services: where it can happen.
    :param passes: whether the same request has a fair chance later.
    """

    name: str
    rule: Callable[[Stage], Rule]
    services: tuple[str, ...] = BOTH
    passes: bool = True
    connection: dict[str, Any] = field(default_factory=dict)


def _answer(status: int, json: Any = None, **more: Any) -> Callable[[Stage], Rule]:
    return lambda _: {"action": "status", "status": status, "json": json, **more}


def _limited(left: float, skew: float = 0.0, unit: float = 1.0, **headers: str) -> Callable[[Stage], Rule]:
    def rule(stage: Stage) -> Rule:
        now = stage.now() + skew
        told = {
            "X-RateLimit-Limit": "1000",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int((now + left) * unit)),
            "Date": formatdate(now, usegmt=True),
            **headers,
        }
        return {"action": "status", "status": 429, "json": {"status": 429, "code": 1000}, "headers": told}

    return rule


def _sb(status: int, code: int) -> dict[str, Any]:
    return {"status": status, "code": code, "message": "words", "more_info": "http://docs.example/"}


QUEUE_FULL = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
MAINTENANCE = _sb(503, 0)
WRONG_BODIES: dict[str, Any] = {
    "a list": [],
    "an object": {},
    "a text": "done",
    "a number": 7,
    "null": None,
    "items null": {"items": None, "results": None, "workspace_actions": None},
    "items of null": {"items": [None], "results": [None], "href": None},
    "items that are texts": {"items": ["a"], "results": ["b"], "id": ["c"], "status": {}},
    "items that are an object": {"items": {"a": 1}, "results": {"b": 2}, "id": 7, "status": 7},
    "resources of a wrong type": {"items": [{"resource": 5, "error": "x"}], "results": [{"id": None, "name": 3}]},
}

FAULTS = [
    Fault("429 with reset", _limited(120)),
    Fault("429 bare", _answer(429, {"error": "Rate Limit Exceeded"})),
    Fault("429 with Retry-After", _answer(429, {"error": "x"}, headers={"Retry-After": "30"})),
    Fault("429 with a reset in ms", _limited(120, unit=1000)),
    Fault("429 with a reset in the past", _limited(-3600)),
    Fault("429 with a reset tomorrow", _limited(86400)),
    Fault("429 by a clock that is ahead", _limited(120, skew=7200)),
    Fault("429 by a clock that is behind", _limited(120, skew=-7200)),
    Fault("429 with nonsense", _limited(1, **{"X-RateLimit-Reset": "soon", "Retry-After": "-1", "Date": "today"})),
    Fault("queue full, JSON", _answer(503, QUEUE_FULL), SRC),
    Fault("queue full, text", _answer(503, text="Queue is full"), SRC),
    Fault("queue full, HTML", _answer(503, html="<html><h1>503</h1></html>"), SRC),
    Fault("queue full, with Retry-After", _answer(503, QUEUE_FULL, headers={"Retry-After": "30"}), SRC),
    Fault("maintenance", _answer(503, MAINTENANCE), SB),
    Fault("unexpected error before", _answer(503, _sb(503, 90004)), SB),
    Fault("unexpected error after", _answer(503, _sb(503, 90004), when="after"), SB),
    Fault("a part is down", _answer(503, _sb(503, 7000), when="after"), SB),
    Fault("gateway page 503", _answer(503, html="<html><h1>503</h1></html>", when="after"), SB),
    *[
        Fault(f"{status} {when}", _answer(status, {"error": "upstream"}, when=when))
        for status in (500, 502, 504)
        for when in ("before", "after")
    ],
    Fault("HTML before", lambda _: {"action": "html", "status": 502}),
    Fault("HTML after", lambda _: {"action": "html", "status": 502, "when": "after"}),
    Fault("HTML as success", lambda _: {"action": "html", "status": 200, "when": "after"}),
    Fault("empty before", lambda _: {"action": "empty", "status": 200}),
    Fault("empty after", lambda _: {"action": "empty", "status": 200, "when": "after"}),
    Fault("cut off", lambda _: {"action": "truncate"}),
    Fault("closed before", lambda _: {"action": "close"}),
    Fault("closed after", lambda _: {"action": "close", "when": "after"}),
    Fault(
        "time-out after",
        lambda _: {"action": "delay", "seconds": 0.6, "when": "after"},
        connection={"read_timeout": 0.3},
    ),
    Fault("slow", lambda _: {"action": "slow_drip", "seconds": 0.1}),
    *[Fault(f"success with {name}", _answer(200, body, when="after")) for name, body in WRONG_BODIES.items()],
    Fault("expired token", _answer(401, {"error": "Key has expired, please renew"}), passes=False),
    Fault("expired token, platform", _answer(401, _sb(401, 90001)), SB, passes=False),
    Fault("revoked token", _answer(403, {"error": "Access to this API has been disallowed"}), passes=False),
    Fault("no right", _answer(403, _sb(403, 90002)), SB, passes=False),
    Fault("no right", _answer(403, {"code": 403, "status": "Forbidden", "message": "no"}), SRC, passes=False),
    Fault("400", _answer(400, {"code": 400, "status": "Bad Request", "message": ["no", "no"]}), passes=False),
    Fault("404 page", _answer(404, text="Not Found"), passes=False),
    Fault("409", _answer(409, {"message": None, "code": "x"}), passes=False),
    Fault("418", _answer(418, ["teapot"]), passes=False),
    Fault("redirect", _answer(302, None, headers={"Location": "https://elsewhere.example/"}), passes=False),
    Fault("599", _answer(599, {"message": {"a": [1]}})),
]


def of(service: str) -> list[Fault]:
    """Return the faults of a service."""
    return [fault for fault in FAULTS if service in fault.services]
