"""The SURF Research Cloud half: four services behind one gateway, on the sandbox's core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route

from ..clock import Clock
from ..half import BadBody, Call, Caller, Half
from ..journal import Journal
from ..limits import Verdict
from .edits import edit
from .model import User
from .others import CatalogService, UserService, WalletService
from .problems import bad_request, gateway
from .render import user_json, workspace_json
from .seed import DEFAULT_SEED
from .switches import SrcSwitches
from .workspaces import WorkspaceService
from .world import World

_PREFIXES = ("workspace", "user", "wallet", "application-market")


class SrcHalf(Half):
    """Double of SURF Research Cloud's REST API.

    :param clock: virtual clock of the life cycles.
    :param journal: where requests and effects are counted.

    `world` is the :class:`.world.World`, for direct use in tests.
    """

    name = "src"
    prefixes = tuple(f"{version}/{service}/" for version in ("/v1", "") for service in _PREFIXES)

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self.options = SrcSwitches()
        super().__init__(clock, journal, self.options)
        self.world = World(clock.now, self.options)
        self._routes = [
            route
            for service in (WorkspaceService, UserService, WalletService, CatalogService)
            for route in service(self).routes()
        ]
        self.reset(None)

    def routes(self) -> list[Route]:
        return self._routes

    def reset(self, seed: Mapping[str, Any] | None) -> None:
        self.world = World(self.clock.now, self.options, self.effect)
        self.world.load(DEFAULT_SEED if seed is None else seed)

    def settle(self) -> None:
        self.world.settle()

    # Who may pass the gateway.

    def authenticate(self, call: Call) -> Caller | Response:
        given = call.headers.get("authorization", "").strip()
        if not given:
            return gateway(401, "Authorization field missing")
        if not self.options.strict_auth:
            given = given.removeprefix("Bearer ").strip()
        token = self.world.tokens.get(given)
        if token is None or token.purged:
            return gateway(403, "Access to this API has been disallowed")
        if not token.active:
            return gateway(403, "Key is inactive, please renew")
        if token.expires_at is not None and self.clock.now() >= token.expires_at:
            return gateway(401, "Key has expired, please renew")
        return Caller(self.world.users[token.user_id].username, token.value)

    def user(self, call: Call) -> User:
        """The user whose token the call carries."""
        return self.world.users[self.world.tokens[call.caller.token].user_id]

    # The gateway's budget.

    def limiter_key(self, call: Call) -> str:
        key = super().limiter_key(call)
        if not self.options.limit_per_service:
            return key
        return f"{key} {call.path.removeprefix('/v1').split('/')[1]}"

    def limited_response(self, verdict: Verdict) -> Response:
        text = "Rate limit exceeded" if self.options.old_limit_text else "Rate Limit Exceeded"
        response = gateway(429, text)
        if self.options.retry_after:
            response.headers["Retry-After"] = str(int(verdict.wait) + 1)
        return response

    def rate_headers(self, verdict: Verdict) -> dict[str, str]:
        if self.options.real_headers:
            limit, remaining, reset = verdict.limit, verdict.remaining, int(verdict.reset)
        elif verdict.allowed:
            # They describe a quota, which these tokens do not have.
            limit, remaining, reset = -1, 0, 0
        else:
            return {}
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(reset),
        }

    # Paths and bodies that lead nowhere.

    def not_found(self, call: Call) -> Response:
        if call.method in ("GET", "HEAD") and not call.path.endswith("/"):
            scope = dict(call.scope, path=f"{call.path}/", method="GET")
            if any(route.matches(scope)[0] is Match.FULL for route in self._routes):
                target = f"{call.path}/" + (f"?{call.query}" if call.query else "")
                return RedirectResponse(target, 301)
        return Response("Not Found", 404, media_type="text/plain")

    def method_not_allowed(self, call: Call) -> Response:
        return JSONResponse({"detail": f'Method "{call.method}" not allowed.'}, 405)

    def bad_body(self, call: Call, error: BadBody) -> Response:
        return bad_request("JSON parse error").response

    # Looking inside and changing things.

    def tokens(self) -> dict[str, str]:
        return {self.world.users[token.user_id].username: token.value for token in self.world.tokens.values()}

    def snapshot(self) -> dict[str, Any]:
        state = self.world
        return {
            "workspaces": [
                workspace_json(state, workspace, state.users[workspace.owner_id]) | {"true_status": workspace.status}
                for workspace in state.workspaces.values()
            ],
            "users": [user_json(state, user) for user in state.users.values()],
            "wallets": [asdict(wallet) for wallet in state.wallets.values()],
            "flavours": [asdict(flavour) for flavour in state.flavours.values()],
            "queue": {"working": state.working, "waiting": len(state.waiting)},
            "effects": state.effects_report(),
        }

    def edit(self, kind: str, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        return edit(self.world, kind, key, changes)
