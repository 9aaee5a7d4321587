"""Projects ("List all your projects", "Create a project", "Edit a project")."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, route
from .errors import ApiError
from .model import Project
from .render import THIN_PROJECT, project_json

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str) and bool(value.strip()),
    "description": lambda value: isinstance(value, str),
    "billing_group": lambda value: isinstance(value, str),
    "settings": lambda value: isinstance(value, dict),
    "tags": lambda value: isinstance(value, list) and all(isinstance(tag, str) for tag in value),
}


class Projects(Area):
    """Calls on projects."""

    def routes(self) -> list[Route]:
        return [
            route("GET", "/projects", self.listing),
            route("GET", "/projects/", self.listing),
            route("POST", "/projects", self.create),
            route("POST", "/projects/", self.create),
            route("GET", "/projects/{owner}", self.listing),
            route("GET", "/projects/{owner}/{name}", self.details),
            route("PATCH", "/projects/{owner}/{name}", self.edit),
            route("DELETE", "/projects/{owner}/{name}", self.delete),
        ]

    def _shown(self, call: Call, project: Project) -> dict[str, Any]:
        return project_json(self.base(call), project, call.caller.name)

    def _named(self, call: Call, right: str) -> Project:
        name = f"{call.path_params['owner']}/{call.path_params['name']}"
        return self.project(call.caller.name, name, right)

    def listing(self, call: Call) -> Response:
        query = call.query_params
        part = query.get("name", "").lower()
        category = query.get("category")
        tags = set(filter(None, query.get("tags", "").split(",")))
        owner = call.path_params.get("owner")
        user = call.caller.name
        found = [
            project
            for project in self.store.projects.values()
            if (self.store.may(user, project, "read") if category else project.members.get(user, {}).get("read"))
            and part in project.name.lower()
            and owner in (None, project.owner)
            and category in (None, project.category)
            and tags <= set(project.tags)
        ]
        return self.page(call, found, lambda project: self._shown(call, project), THIN_PROJECT)

    def details(self, call: Call) -> Response:
        return self.one(call, self._shown(call, self._named(call, "read")))

    def create(self, call: Call) -> Response:
        body = self.body(call, 3007)
        name = body.get("name")
        if not isinstance(name, str) or not name.strip():
            raise ApiError(3007, "a project needs a name")
        group = body.get("billing_group")
        if group is None:
            raise ApiError(3008, "a project needs a billing group")
        self._check_group(group, call.caller.name)
        short = re.sub(r"[^a-z0-9-]", "", re.sub(r"[ _]", "-", name.strip().lower()))
        taken, project_id, number = self.store.projects, f"{call.caller.name}/{short}", 0
        while project_id in taken:
            number += 1
            project_id = f"{call.caller.name}/{short}_{number}"
        changes = self._checked(body)
        project = self.store.add_project(project_id, name, self.now(), group)
        self._apply(project, changes)
        self.half.effect("projects_created")
        return self.one(call, self._shown(call, project))

    def _check_group(self, group: Any, user: str) -> None:
        known = self.store.billing.get(group) if isinstance(group, str) else None
        if known is None:
            raise ApiError(4002, "no such billing group")
        if user not in known["members"]:
            raise ApiError(4006, "not a member of this billing group")

    @staticmethod
    def _checked(body: dict[str, Any]) -> dict[str, Any]:
        """The parts of a project in a body; None counts as left out."""
        changes = {key: body[key] for key in _CHECKS if body.get(key) is not None}
        for key, value in changes.items():
            if not _CHECKS[key](value):
                raise ApiError(3004, f"{key} is not valid")
        return changes

    @staticmethod
    def _apply(project: Project, changes: dict[str, Any]) -> None:
        project.settings |= changes.pop("settings", {})
        for key, value in changes.items():
            setattr(project, key, value)

    def edit(self, call: Call) -> Response:
        project = self._named(call, "admin")
        body = self.body(call)
        if "billing_group" in body:
            self._check_group(body["billing_group"], call.caller.name)
        self._apply(project, self._checked(body))
        project.modified = self.now()
        return self.one(call, self._shown(call, project))

    def delete(self, call: Call) -> Response:
        project = self._named(call, "admin")
        for node in self.store.children(project.root):
            self.store.remove_node(node)
        del self.store.nodes[project.root], self.store.projects[project.id]
        self.half.effect("projects_deleted")
        return Response(status_code=204)
