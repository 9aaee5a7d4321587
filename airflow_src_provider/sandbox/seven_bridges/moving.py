"""What import and export jobs do when their time has come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.routing import Route

from .area import Area
from .errors import ApiError
from .model import Node, Transfer, Volume


class Moving(Area):
    """Life cycle of a transfer: PENDING, RUNNING, then COMPLETED or FAILED with an error of its own."""

    def routes(self) -> list[Route]:
        return []

    def plan(self, job: Transfer) -> None:
        """Put the steps of a new job on the agenda."""
        prefix = job.kind[:-1]
        running = job.started + self.half.lasts(f"{prefix}_pending_seconds")
        end = running + self.half.lasts(f"{prefix}_running_seconds")
        self.store.agenda.at(running, lambda _: self._run(job))
        self.store.agenda.at(end, lambda moment: self._finish(job, moment))

    def _run(self, job: Transfer) -> None:
        job.state = "RUNNING"

    def _finish(self, job: Transfer, moment: float) -> None:
        work = self._import if job.kind == "imports" else self._export
        job.finished = moment
        try:
            made = work(job, moment)
        except ApiError as error:
            job.state, job.error = "FAILED", error.problem
            self.half.effect(f"{job.kind}_failed")
        else:
            job.state = "COMPLETED"
            # The result is what the file was then; later edits do not change a finished job.
            job.result = replace(made, tags=list(made.tags), metadata=dict(made.metadata))
            self.half.effect(f"{job.kind}_completed")
        if self.switches.job_retention_seconds is not None:
            forget = moment + self.switches.job_retention_seconds
            self.store.agenda.at(forget, lambda _: self._forget(job))

    def _forget(self, job: Transfer) -> None:
        self.store.jobs.pop(job.id, None)

    def _volume(self, job: Transfer) -> Volume:
        volume = self.store.volumes.get(job.volume)
        if volume is None or not volume.active:
            raise ApiError(9104, "the volume is not there any more")
        return volume

    def _import(self, job: Transfer, moment: float) -> Node:
        volume, location = self._volume(job), str(job.source["location"])
        if self.fails(self.switches.fail_imports, location):
            raise ApiError(9100, "the bucket did not answer")
        inside = self.store.locations(volume, location) if location.endswith("/") else []
        if location not in volume.objects and not inside:
            raise ApiError(9105, "no such object on the volume")
        project = self.store.projects.get(job.project)
        if project is None or not self.store.may(job.user, project, "write"):
            raise ApiError(9102, "the project cannot be written to any more")
        folder = self.store.nodes.get(job.destination.get("parent") or project.root)
        if folder is None:
            raise ApiError(9106, "the folder is not there any more")
        name = self._claim(job, folder, str(job.destination["name"]))
        if not location.endswith("/"):
            return self._alias(volume, location, folder, name, moment)
        top = self.store.folder_at(folder, name, moment)
        for inner in inside:
            path, _, last = inner[len(location) :].rpartition("/")
            place = self.store.folder_at(top, path if job.preserve_folders else "", moment)
            self._alias(volume, inner, place, self.store.free_name(place.id, last), moment)
        return top

    def _claim(self, job: Transfer, folder: Node, name: str) -> str:
        other = self.store.named(folder.id, name)
        if other is None:
            return name
        if job.overwrite:
            self.store.remove_node(other)
            return name
        if job.autorename:
            return self.store.free_name(folder.id, name)
        raise ApiError(9108, "something of that name is in the project")

    def _alias(self, volume: Volume, location: str, folder: Node, name: str, moment: float) -> Node:
        storage: dict[str, Any] = {"type": "VOLUME", "volume": volume.id, "location": location}
        node = Node(self.store.new_file_id(), name, "file", folder.project, folder.id, moment, moment)
        node.size, node.storage = volume.objects[location], storage
        self.half.effect("files_imported")
        return self.store.add_node(node)

    def _export(self, job: Transfer, moment: float) -> Node:
        volume, location = self._volume(job), str(job.destination["location"])
        node = self.store.nodes.get(job.source["file"])
        if node is None:
            raise ApiError(9106, "the file is not there any more")
        if node.is_alias:
            raise ApiError(9006, "the file has become an alias")
        if self.fails(self.switches.fail_exports, node.name):
            raise ApiError(9100, "the bucket did not answer")
        if location in volume.objects and not job.overwrite:
            raise ApiError(9107, "something lies at that location")
        self.store.put_object(volume, location, node.size)
        if not job.copy_only:
            node.storage = {"type": "VOLUME", "volume": volume.id, "location": location}
            node.modified = moment
        self.half.effect("files_exported")
        return node
