"""What each of the two services supplies to the sandbox, and what it gets from it.

The core owns sockets, the clock, faults, the journal, the request budget and the order of things. For one request::

    half.authenticate() -> journal opens -> fault "before" -> half.settle() -> half.gate() -> refusal of strangers
    -> budget -> route -> endpoint -> fault "after" -> journal closes

A half owns its paths, its state, the form of its errors and its switches. To write one, subclass :class:`Half`:

* set ``name`` ("src" or "sb"), ``prefixes`` (path prefixes it answers; the longest match wins) and
  ``switches`` (an instance of a dataclass derived from :class:`HalfSwitches`);
* return ``starlette.routing.Route`` objects from :meth:`Half.routes`, in order of precedence. Endpoints are
  **plain functions** ``endpoint(call: Call) -> Response`` and are called directly, under the sandbox's lock, on
  the server's loop: they must not block. Path parameters are in ``call.path_params``;
* raise :class:`Refusal` anywhere in an endpoint to answer with an error response;
* call :meth:`Half.effect` whenever something a user would pay for or notice was done;
* compute states lazily: :meth:`Half.settle` runs before every request of this half and before direct
  inspection, and brings the state up to ``self.clock.now()`` (:class:`.agenda.Agenda` helps).
"""

from __future__ import annotations

import functools
import json
import types
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .clock import Clock
from .limits import RateLimiter, Verdict

if TYPE_CHECKING:
    from .journal import Journal


@dataclass(frozen=True)
class Caller:
    """Who sends a request: user name, and the token that the budget is counted by."""

    name: str
    token: str


class Refusal(Exception):
    """Raised inside an endpoint to answer with ``response`` instead of the normal result."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class BadBody(ValueError):
    """The body of a request is not valid JSON."""


class Call(Request):
    """One request, its body already read.

    ``caller`` is set after authentication; ``verdict`` after the budget was asked; an endpoint may set ``delay``
    (real seconds) to have its answer held back after the effect.
    """

    def __init__(self, scope: Any, body: bytes = b"") -> None:
        super().__init__(scope)
        self.raw_body = body
        self.caller = Caller("anonymous", "")
        self.verdict: Verdict | None = None
        self.delay = 0.0

    @property
    def method(self) -> str:
        """HTTP method in capitals."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """Decoded path."""
        return str(self.scope["path"])

    @property
    def query(self) -> str:
        """Raw query string."""
        return bytes(self.scope["query_string"]).decode("latin-1")

    @property
    def origin(self) -> str:
        """Scheme, host and port that the client used, to build absolute links with."""
        return f"{self.scope['scheme']}://{self.headers.get('host', '127.0.0.1')}"

    def body_json(self) -> Any:
        """The body as JSON; None when it is empty.

        :raises BadBody: when it is not JSON.
        """
        if not self.raw_body.strip():
            return None
        try:
            return json.loads(self.raw_body)
        except ValueError as error:
            raise BadBody(str(error)) from error


@dataclass
class HalfSwitches:
    """Switches of the request budget that both services have; times are seconds."""

    limits: bool = True
    limit: int = 1000
    window: float = 60.0
    limit_mode: Literal["fixed", "grid", "sliding"] = "fixed"
    limit_clock: Literal["real", "virtual"] = "real"
    limit_per: Literal["token", "user"] = "token"
    count_refused: bool = False
    count_client_errors: bool = True
    retry_after: bool = False
    clock_skew: float = 0.0

    def check(self, changes: Mapping[str, Any]) -> None:
        """Refuse changes that name unknown switches or give values of the wrong type.

        :raises ValueError: saying which switch and what it accepts.
        """
        kind: type = type(self)
        hints = _hints(kind)
        for name, value in changes.items():
            if name not in hints:
                raise ValueError(f"unknown switch {name!r}; known: {', '.join(sorted(hints))}")
            if not _fits(value, hints[name]):
                raise ValueError(f"switch {name!r} does not accept {value!r}; expected {hints[name]}")
        if changes.get("limit", 1) < 1 or changes.get("window", 1.0) <= 0:
            raise ValueError("limit must be at least 1 and window greater than 0")

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change switches by name; either all are changed or none.

        :raises ValueError: as :meth:`check`.
        """
        self.check(changes)
        for name, value in changes.items():
            setattr(self, name, value)

    def names(self) -> set[str]:
        """Names of all switches."""
        return {item.name for item in fields(self)}


@functools.cache
def _hints(switches: type) -> dict[str, Any]:
    return get_type_hints(switches)


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


class Half(ABC):
    """One service of the sandbox. See the module's text for how it is driven.

    :param clock: virtual clock, shared by both halves.
    :param journal: where :meth:`effect` counts.
    """

    name: str
    prefixes: tuple[str, ...]
    switches: HalfSwitches

    def __init__(self, clock: Clock, journal: Journal, switches: HalfSwitches) -> None:
        self.clock = clock
        self.journal = journal
        self.switches = switches
        self.limiter = RateLimiter(clock, switches)

    @abstractmethod
    def routes(self) -> list[Route]:
        """All routes with their full paths, most specific first. Read once."""

    @abstractmethod
    def authenticate(self, call: Call) -> Caller | Response:
        """Who is calling, or the answer to somebody unknown. Must have no effect: it is asked for every request."""

    @abstractmethod
    def reset(self, seed: Mapping[str, Any] | None) -> None:
        """Throw all state away and start from ``seed`` (None: the built-in one)."""

    @abstractmethod
    def tokens(self) -> dict[str, str]:
        """Token by user name."""

    @abstractmethod
    def snapshot(self) -> dict[str, Any]:
        """A JSON-ready summary of the state, for ``GET /_sandbox/state``."""

    @abstractmethod
    def edit(self, kind: str, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change one object directly, as an outside hand would, and return its new form.

        :raises KeyError: when there is no such kind or object.
        :raises ValueError: when the change makes no sense.
        """

    @abstractmethod
    def limited_response(self, verdict: Verdict) -> Response:
        """The answer when the budget is used up."""

    @abstractmethod
    def not_found(self, call: Call) -> Response:
        """The answer to a path that no route has."""

    @abstractmethod
    def bad_body(self, call: Call, error: BadBody) -> Response:
        """The answer to a body that is not JSON."""

    def rate_headers(self, verdict: Verdict) -> dict[str, str]:
        """Headers about the budget; added to answers that passed it, and to the refusal itself."""
        return {}

    def answer_headers(self, call: Call) -> dict[str, str]:
        """Headers for every answer of this half."""
        return {}

    def method_not_allowed(self, call: Call) -> Response:
        """The answer to a known path with a method it does not have."""
        return self.not_found(call)

    def gate(self, call: Call) -> Response | None:
        """An answer given to everybody before authentication, such as maintenance; None lets the call through."""
        return None

    def is_free(self, call: Call) -> bool:
        """Whether the call is outside the budget."""
        return False

    def limiter_key(self, call: Call) -> str:
        """What the budget is counted by."""
        return call.caller.token if self.switches.limit_per == "token" else call.caller.name

    def settle(self) -> None:
        """Bring the state up to the clock."""
        return

    def effect(self, name: str, count: int = 1) -> None:
        """Count an effect, such as ``tasks_created``, in the journal's counters."""
        self.journal.effect(self.name, name, count)
