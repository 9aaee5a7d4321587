"""The Seven Bridges service as a whole: who may call, what is common to all calls."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..clock import Clock
from ..half import BadBody, Call, Caller, Half
from ..journal import Journal
from ..limits import Verdict
from .account import Account
from .apps import Apps
from .area import answer
from .async_files import AsyncFiles
from .bulk_files import BulkFiles
from .edits import edit
from .errors import ApiError
from .files import Files
from .members import Members
from .moving import Moving
from .projects import Projects
from .runs import Runs
from .seed import build
from .switches import SevenBridgesSwitches
from .tasks import Tasks
from .transfers import Transfers
from .volumes import Volumes

_DOWNLOAD = "/v2/download/"
_MAINTENANCE_SECONDS = "300"


class SevenBridgesHalf(Half):
    """Seven Bridges API v2 under ``/v2``, as the Cancer Genomics Cloud serves it."""

    name = "sb"
    prefixes = ("/v2",)
    switches: SevenBridgesSwitches

    def __init__(self, clock: Clock, journal: Journal) -> None:
        super().__init__(clock, journal, SevenBridgesSwitches())
        self.store = build(None, clock.now())
        self.files, self.bulk_files, self.apps = Files(self), BulkFiles(self), Apps(self)
        self.moving, self.runs = Moving(self), Runs(self)
        self._areas = (
            Account(self),
            Members(self),
            Projects(self),
            self.files,
            self.bulk_files,
            AsyncFiles(self),
            Volumes(self),
            Transfers(self),
            Tasks(self),
            self.apps,
        )

    def routes(self) -> list[Route]:
        return [made for area in self._areas for made in area.routes()]

    def reset(self, seed: Mapping[str, Any] | None) -> None:
        self.store = build(seed, self.clock.now())
        self.runs.clear()

    def settle(self) -> None:
        self.store.agenda.settle(self.clock.now())

    def tokens(self) -> dict[str, str]:
        return {user: token for token, user in self.store.tokens.items()}

    def lasts(self, switch: str) -> float:
        """Virtual seconds that a phase takes, by the name of its switch; none in instant mode."""
        return 0.0 if self.switches.instant else float(getattr(self.switches, switch))

    def port_type(self, app: str, port: str) -> str:
        """Declared type of an input of an app."""
        app_id, _, revision = app.rpartition("/")
        raw = self.store.apps[app_id].revisions[int(revision)]
        return next((str(entry["type"]) for entry in raw["inputs"] if entry["id"].lstrip("#") == port), "File[]")

    # Who may call, and how often

    def authenticate(self, call: Call) -> Caller | Response:
        if call.method == "GET" and call.path in ("/v2", "/v2/"):
            return Caller("anonymous", "")
        token = call.headers.get("x-sbg-auth-token") or call.headers.get("x-sbg-session-id")
        if not token:
            token = call.headers.get("authorization", "").removeprefix("Bearer ")
        user = self.store.tokens.get(token)
        if user is None:
            headers = self.rate_headers(self.limiter.peek(""))
            return ApiError(90001, "the token is missing or not valid", headers).response
        return Caller(user, token)

    def gate(self, call: Call) -> Response | None:
        if call.path.startswith(_DOWNLOAD):
            return self._download(call)
        url_length = len(call.origin) + len(call.scope.get("raw_path", b"")) + 1 + len(call.query)
        if self.switches.maintenance or url_length > self.switches.max_url_length:
            headers = self.rate_headers(self.limiter.peek(""))
            if self.switches.retry_after:
                headers["Retry-After"] = _MAINTENANCE_SECONDS
            return ApiError(0, "the platform is under maintenance", headers).response
        return None

    def _download(self, call: Call) -> Response:
        file_id = call.path.removeprefix(_DOWNLOAD)
        node = self.store.nodes.get(file_id) or self.store.logs.get(file_id)
        if node is None:
            return Response(status_code=404)
        return PlainTextResponse(f"sandbox content of {node.name}\n")

    def is_free(self, call: Call) -> bool:
        if call.path == "/v2/rate_limit":
            return not self.switches.rate_limit_counted
        return call.path in ("/v2", "/v2/")

    def reset_value(self, verdict: Verdict) -> int:
        """When the budget is full again, as the service says it: whole epoch seconds."""
        moment = math.ceil(verdict.reset + self.switches.clock_skew + self.switches.reset_skew)
        return moment * 1000 if self.switches.reset_in_ms else moment

    def rate_headers(self, verdict: Verdict) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(verdict.limit),
            "X-RateLimit-Remaining": str(verdict.remaining),
            "X-RateLimit-Reset": str(self.reset_value(verdict)),
        }

    def answer_headers(self, call: Call) -> dict[str, str]:
        return {"X-Request-Id": str(uuid.uuid4())}

    def limited_response(self, verdict: Verdict) -> Response:
        headers = {"Retry-After": str(math.ceil(verdict.wait))} if self.switches.retry_after else None
        return ApiError(1000, "the request budget is used up, see the headers", headers).response

    # What every call may meet

    def not_found(self, call: Call) -> Response:
        return answer({"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}, 404)

    def method_not_allowed(self, call: Call) -> Response:
        return ApiError(90006, f"{call.method} is not allowed here").response

    def bad_body(self, call: Call, error: BadBody) -> Response:
        if not call.headers.get("content-type", "application/json").startswith("application/json"):
            return ApiError(90008, "the body must be JSON").response
        return ApiError(90009, "the body cannot be decoded").response

    # For the people who run the sandbox

    def snapshot(self) -> dict[str, Any]:
        store = self.store
        files = Counter(node.project for node in store.nodes.values() if not node.is_folder)
        return {
            "files_by_project": {project: files[project] for project in store.projects},
            "objects_by_volume": {volume.id: len(volume.objects) for volume in store.volumes.values()},
            "tasks_by_status": dict(Counter(task.status for task in store.tasks.values())),
            "imports_by_state": dict(Counter(job.state for job in store.jobs.values() if job.kind == "imports")),
            "exports_by_state": dict(Counter(job.state for job in store.jobs.values() if job.kind == "exports")),
            "async_jobs_by_state": dict(Counter(job.state for job in store.async_jobs.values())),
            "running_tasks": self.runs.running,
        }

    def edit(self, kind: str, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        return edit(self.store, kind, key, dict(changes))
