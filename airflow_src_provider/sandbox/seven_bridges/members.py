"""Members of projects and volumes."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, mapping, route
from .errors import ApiError
from .model import RIGHTS, Project, Volume

THIN_MEMBER = ("href", "id", "username", "email", "type", "permissions")


class Members(Area):
    """The same five calls below a project and below a volume."""

    def routes(self) -> list[Route]:
        made = []
        for path in ("/projects/{owner}/{name}/members", "/storage/volumes/{owner}/{name}/members"):
            made += [
                route("GET", path, self.listing),
                route("POST", path, self.add),
                route("GET", path + "/{user}", self.details),
                route("DELETE", path + "/{user}", self.remove),
                route("PATCH", path + "/{user}/permissions", self.change),
                route("PUT", path + "/{user}/permissions", self.change),
            ]
        return made

    def _holder(self, call: Call, right: str) -> Project | Volume:
        holder_id = f"{call.path_params['owner']}/{call.path_params['name']}"
        if call.path.startswith("/v2/projects/"):
            return self.project(call.caller.name, holder_id, right)
        return self.volume(call.caller.name, holder_id, right)

    def _shown(self, call: Call, holder: Project | Volume, user: str) -> dict[str, Any]:
        place = "projects" if isinstance(holder, Project) else "storage/volumes"
        return {
            "href": f"{self.base(call)}/{place}/{holder.id}/members/{user}",
            "id": user,
            "username": user,
            "email": self.store.users[user]["email"],
            "type": "USER",
            "permissions": holder.members[user],
        }

    def _member(self, call: Call, holder: Project | Volume) -> str:
        user = str(call.path_params["user"])
        if user not in holder.members:
            raise ApiError(3002, "no such member")
        return user

    def listing(self, call: Call) -> Response:
        holder = self._holder(call, "read")
        return self.page(call, list(holder.members), lambda user: self._shown(call, holder, user), THIN_MEMBER)

    def details(self, call: Call) -> Response:
        holder = self._holder(call, "read")
        return self.one(call, self._shown(call, holder, self._member(call, holder)))

    def add(self, call: Call) -> Response:
        holder = self._holder(call, "admin")
        body = self.body(call, 3011)
        user = body.get("username")
        if not isinstance(user, str) or user not in self.store.users:
            raise ApiError(2002, "no such user")
        rights = mapping(body.get("permissions", {}), 3013, "permissions")
        holder.members[user] = {right: bool(rights.get(right, right == "read")) for right in RIGHTS}
        return self.one(call, self._shown(call, holder, user))

    def remove(self, call: Call) -> Response:
        holder = self._holder(call, "admin")
        user = self._member(call, holder)
        if user == holder.owner:
            raise ApiError(3001, "the owner cannot be removed")
        del holder.members[user]
        return Response(status_code=204)

    def change(self, call: Call) -> Response:
        holder = self._holder(call, "admin")
        user = self._member(call, holder)
        rights = self.body(call, 3013)
        if set(rights) - set(RIGHTS):
            raise ApiError(3013, f"rights are {', '.join(RIGHTS)}")
        kept = holder.members[user] if call.method == "PATCH" else dict.fromkeys(RIGHTS, False)
        holder.members[user] = kept | {right: bool(value) for right, value in rights.items()}
        return answer(holder.members[user])
