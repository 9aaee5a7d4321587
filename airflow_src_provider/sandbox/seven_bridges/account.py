"""Entry point, users, budget and billing groups."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, route
from .errors import ApiError

_ENTRIES = (
    "rate_limit", "user", "users", "billing", "projects", "files", "tasks", "apps", "action", "upload", "storage",
)  # fmt: skip
_NO_LIMIT = {"limit": -1, "remaining": 2**63 - 1}


class Account(Area):
    """Calls about the caller."""

    def routes(self) -> list[Route]:
        return [
            route("GET", "", self.root),
            route("GET", "/", self.root),
            route("GET", "/user", self.user),
            route("GET", "/users/{name}", self.named_user),
            route("GET", "/rate_limit", self.rate_limit),
            route("GET", "/billing/groups", self.groups),
            route("GET", "/billing/groups/{group}", self.group),
        ]

    def root(self, call: Call) -> Response:
        return answer({f"{name}_url": f"{self.base(call)}/{name}" for name in _ENTRIES})

    def user(self, call: Call) -> Response:
        name = call.caller.name
        details = self.store.users[name]
        shown = {"href": f"{self.base(call)}/users/{name}", "username": name, "role": "MEMBER", "tags": []}
        blank = dict.fromkeys(("phone", "address", "city", "state", "country", "zip_code"), "")
        return self.one(call, shown | blank | details)

    def named_user(self, call: Call) -> Response:
        if call.path_params["name"] != call.caller.name:
            raise ApiError(2001, "details of other users are not shown")
        return self.user(call)

    def rate_limit(self, call: Call) -> Response:
        verdict = call.verdict
        assert verdict is not None
        rate = {"limit": verdict.limit, "remaining": verdict.remaining, "reset": self.half.reset_value(verdict)}
        limit = self.switches.instance_limit
        running = self.half.runs.running
        machines = _NO_LIMIT if limit < 0 else {"limit": limit, "remaining": max(limit - running, 0)}
        return answer({"rate": rate, "instance_limit": machines})

    def groups(self, call: Call) -> Response:
        own = [group for group in self.store.billing.values() if call.caller.name in group["members"]]
        base = self.base(call)
        return self.page(call, own, lambda group: self._shown(base, group), ("href", "id", "name"))

    def group(self, call: Call) -> Response:
        group = self.store.billing.get(call.path_params["group"])
        if group is None:
            raise ApiError(4002, "no such billing group")
        if call.caller.name not in group["members"]:
            raise ApiError(4006, "not a member of this billing group")
        return self.one(call, self._shown(self.base(call), group))

    @staticmethod
    def _shown(base: str, group: dict[str, object]) -> dict[str, object]:
        href = {"href": f"{base}/billing/groups/{group['id']}"}
        return href | {key: value for key, value in group.items() if key != "members"}
