"""The routes under ``/_sandbox/``: look at the sandbox and change it while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from .half import BadBody, Call
from .seed import check_seed

if TYPE_CHECKING:
    from .app import SandboxApp


class Control:
    """Answers control requests. They need no token, cost nothing and are not in the journal.

    ==========================================  =========================================================
    ``GET /_sandbox``                           tokens, switches and clock
    ``GET /_sandbox/state``                     both services' state, in short
    ``GET /_sandbox/journal[?since=N]``         requests after number N
    ``GET /_sandbox/counters``                  requests by service, route and status; refusals; effects
    ``POST /_sandbox/reset``                    start anew, optionally from the seed in the body
    ``POST /_sandbox/clock``                    ``{"advance": seconds}`` and/or ``{"speed": factor}``
    ``GET|POST /_sandbox/config``               switches; the body changes them
    ``GET|POST|DELETE /_sandbox/faults[/ID]``   rules of faults
    ``PATCH /_sandbox/SERVICE/KIND/KEY``        change one object directly
    ==========================================  =========================================================
    """

    def __init__(self, app: SandboxApp) -> None:
        self._app = app
        self._handlers: dict[tuple[str, str], Callable[[Call], Any]] = {
            ("GET", ""): self._overview,
            ("GET", "state"): self._state,
            ("GET", "journal"): self._journal,
            ("GET", "counters"): lambda _: app.journal.counters(),
            ("POST", "reset"): self._reset,
            ("POST", "clock"): self._clock,
            ("GET", "config"): lambda _: self._switches(),
            ("POST", "config"): self._config,
            ("GET", "faults"): lambda _: {"faults": app.faults.listing()},
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
        }

    def answer(self, call: Call) -> Response:
        """Do what a control request says; wrong requests get 400 and a reason, unknown things 404."""
        parts = call.path.strip("/").split("/", 1)
        place = parts[1] if len(parts) > 1 else ""
        try:
            if handler := self._handlers.get((call.method, place)):
                return JSONResponse(handler(call))
            first, _, rest = place.partition("/")
            if call.method == "DELETE" and first == "faults":
                if not self._app.faults.remove(rest):
                    raise KeyError(f"no fault {rest!r}")
                return JSONResponse({"removed": rest})
            if call.method == "PATCH" and first in self._app.halves:
                return JSONResponse(self._edit(call, first, rest))
        except (BadBody, ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        except KeyError as error:
            return JSONResponse({"error": str(error.args[0])}, 404)
        return JSONResponse({"error": f"no control request {call.method} /_sandbox/{place}"}, 404)

    def _overview(self, call: Call) -> dict[str, Any]:
        app = self._app
        return {
            "tokens": {name: half.tokens() for name, half in app.halves.items()},
            "switches": self._switches(),
            "clock": self._clock_state(),
        }

    def _clock_state(self) -> dict[str, Any]:
        clock = self._app.clock
        now = clock.now()
        return {"now": now, "iso": clock.iso(now), "speed": clock.speed, "stepped": clock.stepped}

    def _switches(self) -> dict[str, Any]:
        return {name: asdict(half.switches) for name, half in self._app.halves.items()}

    def _state(self, call: Call) -> dict[str, Any]:
        for half in self._app.halves.values():
            half.settle()
        return {name: half.snapshot() for name, half in self._app.halves.items()} | {"clock": self._clock_state()}

    def _journal(self, call: Call) -> dict[str, Any]:
        since = int(parse_qs(call.query).get("since", ["0"])[0])
        return {"entries": self._app.journal.entries(since)}

    def _reset(self, call: Call) -> dict[str, Any]:
        body = call.body_json()
        self._app.reset(check_seed(body) if body else None)
        return {"reset": True}

    def _clock(self, call: Call) -> dict[str, Any]:
        body = _mapping(call)
        if unknown := set(body) - {"advance", "speed"}:
            raise ValueError(f"unknown keys {sorted(unknown)}; known: advance, speed")
        if "speed" in body:
            self._app.clock.set_speed(body["speed"])
        if "advance" in body:
            self._app.clock.advance(body["advance"])
        return self._clock_state()

    def _config(self, call: Call) -> dict[str, Any]:
        self._app.configure(_mapping(call))
        return self._switches()

    def _add_fault(self, call: Call) -> dict[str, Any]:
        return {"id": self._app.faults.add(dict(_mapping(call)))}

    def _clear_faults(self, call: Call) -> dict[str, Any]:
        self._app.faults.clear()
        return {"removed": "all"}

    def _edit(self, call: Call, service: str, place: str) -> dict[str, Any]:
        kind, _, key = place.partition("/")
        half = self._app.halves[service]
        half.settle()
        return half.edit(kind, key, _mapping(call))


def _mapping(call: Call) -> Mapping[str, Any]:
    body = call.body_json()
    if not isinstance(body, Mapping):
        raise ValueError("the body must be a JSON object")
    return body
