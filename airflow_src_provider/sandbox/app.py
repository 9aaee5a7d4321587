"""The ASGI application: one order of things for every request of both services."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from .clock import Clock
from .control import Control
from .faults import FaultRule, Faults
from .half import BadBody, Call, Caller, Half, Refusal
from .journal import Journal

_GATEWAY_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class SandboxApp:
    """Dispatches requests to the halves, and lets faults, budget and journal see each of them.

    :param clock: virtual clock of all life cycles.
    :param halves: the services, by name.
    :param journal: where every request goes.
    """

    def __init__(self, clock: Clock, halves: Mapping[str, Half], journal: Journal) -> None:
        self.clock = clock
        self.halves = dict(halves)
        self.journal = journal
        self.faults = Faults()
        self.lock = threading.RLock()
        self.seed: Mapping[str, Mapping[str, Any]] = {}
        self.routes = {name: half.routes() for name, half in self.halves.items()}
        self._prefixes = sorted(
            ((prefix, half) for half in self.halves.values() for prefix in half.prefixes),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )
        self._control = Control(self)

    def reset(self, seed: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Start both services anew: state, budgets, journal and faults. Switches and the clock stay.

        :param seed: what to start from; None is the seed used last, an empty one the built-in one.
        :raises ValueError: when the seed is wrong; the services then start from the seed used last.
        """
        with self.lock:
            wanted = self.seed if seed is None else seed
            try:
                self._plant(wanted)
            except ValueError:
                self._plant(self.seed)
                raise
            self.seed = wanted
            for half in self.halves.values():
                half.limiter.reset()
            self.faults.clear()
            self.journal.clear()

    def _plant(self, seed: Mapping[str, Mapping[str, Any]]) -> None:
        for half in self.halves.values():
            half.reset(seed.get(half.name))

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change switches. A key is a service name with a mapping of switches, or the name of a switch, which is
        then set on every service that has it.

        :raises ValueError: when no service has the switch, or a value does not fit. Nothing is changed then.
        """
        wanted: dict[str, dict[str, Any]] = {name: {} for name in self.halves}
        for key, value in changes.items():
            if key in self.halves:
                if not isinstance(value, Mapping):
                    raise ValueError(f"{key!r} must be a mapping of switches, got {value!r}")
                wanted[key].update(value)
                continue
            owners = [name for name, half in self.halves.items() if key in half.switches.names()]
            if not owners:
                raise ValueError(f"unknown switch {key!r}")
            for name in owners:
                wanted[name][key] = value
        with self.lock:
            for name, half in self.halves.items():
                half.switches.check(wanted[name])
            for name, half in self.halves.items():
                half.switches.update(wanted[name])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the sandbox speaks HTTP only, not {scope['type']}")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        call = Call(scope, bytes(body))
        if call.path.startswith("/_sandbox"):
            with self.lock:
                response = self._control.answer(call)
            await response(scope, receive, send)
            return
        half = next((half for prefix, half in self._prefixes if call.path.startswith(prefix)), None)
        await _Exchange(self, half, call, send).run()


def find_route(routes: list[Route], call: Call) -> tuple[Route | None, bool]:
    """The route of a call, its path parameters set; else None and whether the path exists with another method."""
    known_path = False
    for route in routes:
        match, found = route.matches(call.scope)
        if match is Match.FULL:
            call.scope["path_params"] = found["path_params"]
            return route, True
        known_path = known_path or match is Match.PARTIAL
    return None, known_path


class _Exchange:
    """One request and what becomes of its connection."""

    def __init__(self, app: SandboxApp, half: Half | None, call: Call, send: Send) -> None:
        self._app, self._half, self._call, self._send = app, half, call, send
        self._service = half.name if half else "none"
        self._route: Route | None = None
        self._known_path = False

    async def run(self) -> None:
        app, half, call = self._app, self._half, self._call
        started = time.perf_counter()
        with app.lock:
            identity = half.authenticate(call) if half else call.caller
            if isinstance(identity, Caller):
                call.caller = identity
            entry = app.journal.open(self._service, call.method, call.path, call.query, call.caller.name, call.raw_body)
            if half is not None:
                self._route, self._known_path = find_route(app.routes[half.name], call)
                entry.route = self._route.path if self._route else None
            fault = app.faults.match("before", self._service, call)
        response: Response | None = None
        if fault is not None:
            entry.fault = fault.id
            response = await self._strike(fault)
            if response is None and fault.action == "close":
                app.journal.close(entry, None, started)
                return
        if response is None:
            try:
                with app.lock:
                    response = self._answer(None if isinstance(identity, Caller) else identity)
            except Exception:
                # A defect of the sandbox: uvicorn answers 500 and logs it; the journal must not call it a drop.
                app.journal.close(entry, 500, started)
                raise
            if call.delay:
                await asyncio.sleep(call.delay)
            with app.lock:
                fault = app.faults.match("after", self._service, call)
            if fault is not None:
                entry.fault = fault.id
                changed = await self._strike(fault)
                if fault.action in ("close", "truncate", "slow_drip"):
                    # The client may go on as soon as it has the bytes, so the journal must be right before.
                    app.journal.close(entry, None if fault.action == "close" else response.status_code, started)
                    await self._spoil(fault, response)
                    return
                response = changed or response
        app.journal.close(entry, response.status_code, started)
        await self._deliver(response, response.body)

    def _answer(self, stranger: Response | None) -> Response:
        """Everything between the two moments a fault can strike; called under the lock."""
        half, call = self._half, self._call
        if half is None:
            return JSONResponse({"error": "no service of the sandbox has this path"}, 404)
        half.settle()
        if (gated := half.gate(call)) is not None:
            return gated
        if stranger is not None:
            return stranger
        key = half.limiter_key(call)
        if half.is_free(call):
            call.verdict = half.limiter.peek(key)
            return self._handle(half)
        call.verdict = half.limiter.take(key)
        if not call.verdict.allowed:
            return half.limited_response(call.verdict)
        response = self._handle(half)
        if 400 <= response.status_code < 500 and not half.switches.count_client_errors:
            half.limiter.refund(key)
            call.verdict = half.limiter.peek(key)
        return response

    def _handle(self, half: Half) -> Response:
        call = self._call
        if self._route is None:
            return half.method_not_allowed(call) if self._known_path else half.not_found(call)
        try:
            response: Response = self._route.endpoint(call)
        except Refusal as refusal:
            response = refusal.response
        except BadBody as error:
            response = half.bad_body(call, error)
        return response

    async def _strike(self, fault: FaultRule) -> Response | None:
        """Do what a rule says; the answer to give instead of the real one, if the rule has one."""
        if fault.action == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.action == "close" and fault.when == "before":
            await self._drop()
        elif fault.action == "html":
            page = fault.html or _GATEWAY_PAGE.format(f"{fault.status or 502} Bad Gateway")
            return Response(page, fault.status or 502, fault.headers, "text/html")
        elif fault.action == "empty":
            return Response(b"", fault.status or 200, fault.headers)
        elif fault.action == "status":
            if fault.html is not None:
                return Response(fault.html, fault.status or 500, fault.headers, "text/html")
            if fault.text is not None:
                return Response(fault.text, fault.status or 500, fault.headers, "text/plain")
            return JSONResponse(fault.json, fault.status or 500, fault.headers)
        return None

    async def _spoil(self, fault: FaultRule, response: Response) -> None:
        body = bytes(response.body)
        if fault.action == "close":
            await self._drop()
        elif fault.action == "truncate":
            await self._start(response)
            await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await self._hang_up()
        else:
            await self._start(response)
            pieces = min(max(len(body), 1), 20)
            size = -(-len(body) // pieces) or 1
            for piece in range(pieces):
                await asyncio.sleep(fault.seconds / pieces)
                part = body[piece * size : (piece + 1) * size]
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _deliver(self, response: Response, body: bytes | memoryview) -> None:
        await self._start(response)
        await self._send({"type": "http.response.body", "body": bytes(body)})

    async def _start(self, response: Response) -> None:
        call, half = self._call, self._half
        headers = list(response.raw_headers)
        if half is not None:
            extra = {"date": formatdate(half.limiter.epoch() + half.switches.clock_skew, usegmt=True)}
            extra |= half.answer_headers(call)
            if call.verdict is not None:
                extra |= half.rate_headers(call.verdict)
            given = {name.lower() for name, _ in headers}
            headers += [
                (name.lower().encode(), value.encode())
                for name, value in extra.items()
                if name.lower().encode() not in given
            ]
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})

    def _transport(self) -> asyncio.Transport:
        # ASGI has no word for hanging up; uvicorn's send is a method of the object that holds the connection.
        transport: asyncio.Transport = self._send.__self__.transport  # type: ignore[attr-defined]
        return transport

    async def _drop(self) -> None:
        self._transport().abort()
        await self._until_lost()

    async def _hang_up(self) -> None:
        self._transport().close()
        await self._until_lost()

    async def _until_lost(self) -> None:
        # Returning earlier would make uvicorn answer with a 500 of its own.
        while not self._send.__self__.disconnected:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
