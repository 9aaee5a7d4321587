"""What every endpoint of the half needs: who asks, for what, and how pages are made."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..half import Call
from .model import User, Workspace
from .problems import bad_request, not_found
from .world import World

if TYPE_CHECKING:
    from .service import SrcHalf


class Service:
    """One of the four services: its routes, and the endpoints behind them.

    :param half: owner of the state; the state is replaced at a reset, so it is asked for each time.
    """

    prefix: str

    def __init__(self, half: SrcHalf) -> None:
        self._half = half

    @property
    def world(self) -> World:
        return self._half.world

    def routes(self) -> list[Route]:
        """Routes below `/v1/<service>/`, and again without the version, as the portal calls them."""
        return [
            Route(f"{version}/{self.prefix}/{path}", endpoint, methods=methods)
            for version in ("/v1", "")
            for path, endpoint, methods in self.endpoints()
        ]

    def endpoints(self) -> list[tuple[str, Callable[[Call], Response], list[str]]]:
        """Path below the service's base, endpoint and methods."""
        raise NotImplementedError

    def user(self, call: Call) -> User:
        return self._half.user(call)

    def workspace(self, call: Call) -> Workspace:
        """The workspace of the path; 404 when it does not exist for this user."""
        workspace = self.world.workspaces.get(call.path_params["id"])
        hidden = workspace is not None and (
            workspace.co_id not in self.user(call).roles
            or (self.world.switches.deleted_is_404 and self.world.shown_status(workspace) == "deleted")
        )
        if workspace is None or hidden:
            raise not_found(self.world.switches.not_found_form)
        return workspace


def query(call: Call) -> dict[str, list[str]]:
    return parse_qs(call.query)


def one(call: Call, key: str) -> str | None:
    """The last value of a query parameter, as Django reads it."""
    values = query(call).get(key)
    return values[-1] if values else None


def uuid_filter(call: Call, key: str) -> str | None:
    value = one(call, key)
    if value is not None:
        try:
            uuid.UUID(value)
        except ValueError:
            raise bad_request(f"{key}: Enter a valid UUID.") from None
    return value


def page(world: World, call: Call, found: Sequence[Any], show: Callable[[Any], Any]) -> dict[str, Any]:
    """One page of `found` with links to its neighbours; a senseless `limit` or `offset` is ignored."""
    switches = world.switches
    limit = min(_number(call, "limit", 1) or switches.default_page_size, switches.max_page_size)
    offset = _number(call, "offset", 0) or 0

    def link(start: int) -> str:
        parts = urlsplit(call.origin)
        parameters = {**query(call), "limit": [str(limit)], "offset": [str(start)]}
        if start == 0:
            del parameters["offset"]
        host = switches.next_host or parts.netloc
        return urlunsplit((parts.scheme, host, call.path, urlencode(parameters, doseq=True), ""))

    return {
        "count": len(found),
        "next": link(offset + limit) if offset + limit < len(found) else None,
        "previous": link(max(offset - limit, 0)) if offset > 0 else None,
        "results": [show(each) for each in found[offset : offset + limit]],
    }


def _number(call: Call, key: str, least: int) -> int | None:
    value = one(call, key) or ""
    return int(value) if value.isdecimal() and int(value) >= least else None


def json_answer(body: Any, status: int = 200) -> Response:
    return JSONResponse(body, status)
