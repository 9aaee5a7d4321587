"""Imports from and exports to volumes ("Start an import job", "Start a bulk export job")."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, flag, mapping, optional_name, route
from .errors import ApiError
from .model import Transfer
from .render import THIN_JOB, transfer_json

_CLOUDS = {"s3": "aws", "gcs": "google", "OSS": "alicloud", "azure": "azure"}
_SSE = ("AES256", "aws:kms", None)


class Transfers(Area):
    """Calls on import and export jobs; what a job does when its time has come is in :mod:`.moving`."""

    def routes(self) -> list[Route]:
        return [
            route("GET", "/storage/imports", self.listing),
            route("POST", "/storage/imports", self.create),
            route("GET", "/storage/imports/{id}", self.details),
            route("GET", "/storage/exports", self.listing),
            route("POST", "/storage/exports", self.create),
            route("GET", "/storage/exports/{id}", self.details),
            route("POST", "/bulk/storage/imports/create", self.bulk_create),
            route("POST", "/bulk/storage/imports/get", self.bulk_get),
            route("POST", "/bulk/storage/exports/create", self.bulk_create),
            route("POST", "/bulk/storage/exports/get", self.bulk_get),
        ]

    @staticmethod
    def _kind(call: Call) -> str:
        return "imports" if "/storage/imports" in call.path else "exports"

    def _job(self, user: str, kind: str, job_id: Any) -> Transfer:
        job = self.store.jobs.get(job_id) if isinstance(job_id, str) else None
        if job is None or job.kind != kind:
            raise ApiError(9008, "no such job")
        if job.user != user:
            raise ApiError(9005, "the job belongs to somebody else")
        return job

    def listing(self, call: Call) -> Response:
        query, kind, base = call.query_params, self._kind(call), self.base(call)
        states = {state.upper() for state in query.getlist("state")}
        volume = query.get("volume")
        project = query.get("project") if kind == "imports" else None
        found = [
            job
            for job in self.store.jobs.values()
            if job.kind == kind
            and job.user == call.caller.name
            and (not states or job.state in states)
            and volume in (None, job.volume)
            and project in (None, job.project)
        ]
        return self.page(call, found, lambda job: transfer_json(base, job), THIN_JOB)

    def details(self, call: Call) -> Response:
        job = self._job(call.caller.name, self._kind(call), call.path_params["id"])
        status = job.error["status"] if job.error and self.switches.failed_job_http else 200
        return self.one(call, transfer_json(self.base(call), job), status)

    def bulk_get(self, call: Call) -> Response:
        kind, base, user = self._kind(call), self.base(call), call.caller.name
        ids = self.body(call).get(f"{kind[:-1]}_ids")
        work = lambda job_id: transfer_json(base, self._job(user, kind, job_id))  # noqa: E731
        return self.bulk(call, ids, work, lambda job_id: job_id)

    def create(self, call: Call) -> Response:
        body = self.body(call, 9011)
        job = self._start(call, self._kind(call), body)
        self.half.settle()
        return self.one(call, transfer_json(self.base(call), job))

    def bulk_create(self, call: Call) -> Response:
        kind, base = self._kind(call), self.base(call)

        def work(item: Any) -> dict[str, Any]:
            job = self._start(call, kind, item)
            self.half.settle()
            return transfer_json(base, job)

        return self.bulk(call, self.body(call, 9011).get("items"), work, lambda item: item)

    def _start(self, call: Call, kind: str, item: Any) -> Transfer:
        item = mapping(item, 9011, "a job")
        source = dict(mapping(item.get("source"), 9011, "source"))
        destination = dict(mapping(item.get("destination"), 9011, "destination"))
        if kind == "imports":
            job = self._new_import(call, item, source, destination)
        else:
            job = self._new_export(call, item, source, destination)
        self.store.jobs[job.id] = job
        self.half.effect(f"{kind}_created")
        self.half.moving.plan(job)
        return job

    def _new_import(self, call: Call, item: Any, source: dict[str, Any], destination: dict[str, Any]) -> Transfer:
        user, location = call.caller.name, source.get("location")
        volume = self.active(self.volume(user, source.get("volume"), "copy"))
        if not isinstance(location, str) or not location.strip("/"):
            raise ApiError(9018, "the name of the file cannot be derived from the location")
        if "preserve_folder_structure" in item and not location.endswith("/"):
            raise ApiError(9011, "preserve_folder_structure is for folders; a folder's location ends with a slash")
        project = self._import_project(user, destination)
        name = optional_name(destination.get("name"), 9011)
        destination["name"] = name or location.rstrip("/").rsplit("/", 1)[-1]
        return Transfer(
            id=self.store.new_job_id(),
            kind="imports",
            user=user,
            source=source,
            destination=destination,
            started=self.now(),
            project=project,
            volume=volume.id,
            overwrite=flag(item.get("overwrite")),
            autorename=flag(item.get("autorename")),
            preserve_folders=flag(item.get("preserve_folder_structure", True)),
        )

    def _import_project(self, user: str, destination: dict[str, Any]) -> str:
        project_id, parent = destination.get("project"), destination.get("parent")
        if bool(project_id) == bool(parent):
            raise ApiError(9011, "a destination names a project or a parent")
        if parent:
            folder = self.store.nodes.get(parent) if isinstance(parent, str) else None
            if folder is None or not folder.is_folder:
                raise ApiError(9009, "no such folder")
            project_id = folder.project
        project = self.store.projects.get(project_id) if isinstance(project_id, str) else None
        if project is None:
            raise ApiError(9012, "no such project")
        if not self.store.may(user, project, "write"):
            raise ApiError(9003, "no right to write to this project")
        return project.id

    def _new_export(self, call: Call, item: Any, source: dict[str, Any], destination: dict[str, Any]) -> Transfer:
        user, location = call.caller.name, destination.get("location")
        copy_only = flag(call.query_params.get("copy_only"))
        if copy_only:
            self.advance_access(call)
        file_id = source.get("file")
        node = self.store.nodes.get(file_id) if isinstance(file_id, str) else None
        if node is None:
            raise ApiError(9009, "no such file")
        project = self.store.projects[node.project]
        if not self.store.may(user, project, "read"):
            raise ApiError(9004, "no right to this file")
        if node.is_folder or node.is_alias or project.category == "PUBLIC":
            raise ApiError(9006, "folders, aliases and public files cannot be exported")
        if not copy_only and not self.store.may(user, project, "write"):
            raise ApiError(9004, "no right to turn this file into an alias")
        volume = self.active(self.volume(user, destination.get("volume")))
        if volume.access_mode != "RW":
            raise ApiError(9026, "the volume is read-only")
        if not self.store.may(user, volume, "write"):
            raise ApiError(9020, "no right to write to this volume")
        if not str(project.settings["location"]).startswith(_CLOUDS[volume.service.get("type", "s3")]):
            raise ApiError(9027, "the volume lies in another cloud")
        if not isinstance(location, str) or not location:
            raise ApiError(9011, "a destination needs a location")
        if location.endswith("/"):
            raise ApiError(9072, "the location of a file does not end with a slash")
        properties = dict(mapping(item.get("properties") or {}, 9019, "properties"))
        if properties.setdefault("sse_algorithm", "AES256") not in _SSE:
            raise ApiError(9021, "unknown sse_algorithm")
        return Transfer(
            id=self.store.new_job_id(),
            kind="exports",
            user=user,
            source=source,
            destination=destination,
            started=self.now(),
            project=project.id,
            volume=volume.id,
            overwrite=flag(item.get("overwrite")),
            copy_only=copy_only,
            properties=properties,
        )
