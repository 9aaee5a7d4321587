"""Apps: reading and copying ("List all apps", "Copy an app")."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, optional_name, route
from .errors import ApiError
from .model import App

THIN_APP = ("href", "id", "name", "project")
_STRATEGIES = ("clone", "direct", "clone_direct", "transient")


class Apps(Area):
    """Calls on apps."""

    def routes(self) -> list[Route]:
        app = "/apps/{owner}/{project}/{app}"
        return [
            route("GET", "/apps", self.listing),
            route("GET", app + "/raw", self.raw),
            route("GET", app + "/{revision}/raw", self.raw),
            route("POST", app + "/actions/copy", self.copy),
            route("POST", app + "/{revision}/actions/copy", self.copy),
            route("GET", app, self.details),
            route("GET", app + "/{revision}", self.details),
        ]

    def find(self, user: str, app_id: Any) -> tuple[App, int]:
        """An app that ``user`` may read, and the revision that the id names (the latest when it names none)."""
        parts = app_id.split("/") if isinstance(app_id, str) else []
        if len(parts) not in (3, 4) or not all(parts):
            raise ApiError(6011, "an app id has the form owner/project/app or owner/project/app/revision")
        app = self.store.apps.get("/".join(parts[:3]))
        if app is None or app.project not in self.store.projects:
            raise ApiError(6002, "no such app")
        if not self.store.may(user, self.store.projects[app.project], "read"):
            raise ApiError(6001, "no right to this app")
        if len(parts) == 3:
            return app, app.latest
        if not parts[3].isdigit() or int(parts[3]) > app.latest:
            raise ApiError(6002, "no such revision of the app")
        return app, int(parts[3])

    def _named(self, call: Call) -> tuple[App, int]:
        names = ("owner", "project", "app", "revision")
        path = "/".join(call.path_params[name] for name in names if name in call.path_params)
        return self.find(call.caller.name, path)

    def _shown(self, base: str, app: App, revision: int) -> dict[str, Any]:
        return {
            "href": f"{base}/apps/{app.id}/{revision}",
            "id": f"{app.id}/{revision}",
            "name": app.name,
            "project": app.project,
            "revision": revision,
            "latest_revision": app.latest,
            "copy_of": app.copy_of,
            "raw": app.revisions[revision],
        }

    def listing(self, call: Call) -> Response:
        query, user, base = call.query_params, call.caller.name, self.base(call)
        visibility = query.get("visibility", "PRIVATE").upper()
        if visibility not in ("PUBLIC", "PRIVATE"):
            raise ApiError(6012, "visibility is PUBLIC or PRIVATE")
        if "project" in query:
            self.project(user, query["project"])
        wanted, text = query.get("id"), query.get("q", "").lower()
        found = []
        for app in self.store.apps.values():
            project = self.store.projects.get(app.project)
            if project is None:
                continue
            if "project" in query:
                visible = app.project == query["project"]
            elif visibility == "PUBLIC":
                visible = project.category == "PUBLIC"
            else:
                visible = bool(project.members.get(user, {}).get("read"))
            if visible and wanted in (None, app.id) and text in app.name.lower():
                found.append(app)
        return self.page(call, found, lambda app: self._shown(base, app, app.latest), THIN_APP)

    def details(self, call: Call) -> Response:
        app, revision = self._named(call)
        return self.one(call, self._shown(self.base(call), app, revision))

    def raw(self, call: Call) -> Response:
        app, revision = self._named(call)
        return answer(app.revisions[revision] | {"sbg:id": f"{app.id}/{revision}"})

    def copy(self, call: Call) -> Response:
        app, revision = self._named(call)
        body, user = self.body(call), call.caller.name
        project = self.project(user, body.get("project"), "write")
        if not self.store.may(user, self.store.projects[app.project], "copy"):
            raise ApiError(6001, "no right to copy this app")
        if body.get("strategy", "clone") not in _STRATEGIES:
            raise ApiError(6004, f"strategy is one of {', '.join(_STRATEGIES)}")
        name = optional_name(body.get("name"), 6005)
        short = name or app.id.rsplit("/", 1)[1]
        made = App(f"{project.id}/{short}", name or app.name, project.id, [app.revisions[revision]])
        if made.id in self.store.apps:
            raise ApiError(6003, "there is an app of that name")
        made.copy_of = f"{app.id}/{revision}"
        self.store.apps[made.id] = made
        self.half.effect("apps_copied")
        return self.one(call, self._shown(self.base(call), made, 0))
