"""The Seven Bridges service as a whole: who may call, what is common to all calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..clock import Clock
from ..half import BadBody, Call, Caller, Half
from ..journal import Journal
from ..limits import Verdict
from .errors import ApiError, problem
from .switches import SevenBridgesSwitches


class SevenBridgesHalf(Half):
    """Seven Bridges API v2 under ``/v2``, as the Cancer Genomics Cloud serves it."""

    name = "sb"
    prefixes = ("/v2",)
    switches: SevenBridgesSwitches

    def __init__(self, clock: Clock, journal: Journal) -> None:
        super().__init__(clock, journal, SevenBridgesSwitches())
        self.reset(None)

    def routes(self) -> list[Route]:
        return [Route("/v2/user", lambda call: JSONResponse({"username": call.caller.name}))]

    def authenticate(self, call: Call) -> Caller | Response:
        token = call.headers.get("x-sbg-auth-token", "")
        if token == "sandbox-sb-labuser":
            return Caller("labuser", token)
        return ApiError(90001, "missing or unknown token").response

    def reset(self, seed: Mapping[str, Any] | None) -> None:
        return None

    def tokens(self) -> dict[str, str]:
        return {"labuser": "sandbox-sb-labuser"}

    def snapshot(self) -> dict[str, Any]:
        return {}

    def edit(self, kind: str, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        raise KeyError(kind)

    def limited_response(self, verdict: Verdict) -> Response:
        return JSONResponse(problem(1000, "request budget used up, see the headers"), 429)

    def not_found(self, call: Call) -> Response:
        return JSONResponse({"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}, 404)

    def bad_body(self, call: Call, error: BadBody) -> Response:
        return ApiError(90009, "the body cannot be decoded").response
