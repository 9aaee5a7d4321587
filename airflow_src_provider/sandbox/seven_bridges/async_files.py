"""Asynchronous copies, moves and deletions of files and whole folders ("Copy multiple files")."""

from __future__ import annotations

from typing import Any, Literal

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, optional_name, route
from .errors import ApiError
from .model import AsyncJob, Node
from .render import THIN_ASYNC, async_json

Kind = Literal["copy", "move", "delete"]
_KINDS: tuple[Kind, ...] = ("copy", "move", "delete")


class AsyncFiles(Area):
    """Jobs go SUBMITTED, RESOLVING, RUNNING, FINISHED; items are done one after the other while RUNNING."""

    def routes(self) -> list[Route]:
        made = [route("GET", "/async/files", self.listing)]
        for kind in _KINDS:
            made.append(route("POST", f"/async/files/{kind}", self.create))
            made.append(route("GET", f"/async/files/{kind}/{{id}}", self.details))
        return made

    @staticmethod
    def _kind(call: Call) -> Kind:
        place = call.path.split("/")[4]
        return next(kind for kind in _KINDS if kind == place)

    def listing(self, call: Call) -> Response:
        own = [job for job in self.store.async_jobs.values() if job.user == call.caller.name]
        base = self.base(call)
        return self.page(call, own, lambda job: async_json(base, job), THIN_ASYNC)

    def details(self, call: Call) -> Response:
        job = self.store.async_jobs.get(call.path_params["id"])
        if job is None or job.user != call.caller.name or job.kind != self._kind(call):
            raise ApiError(57039, "no such job")
        return self.one(call, async_json(self.base(call), job))

    def create(self, call: Call) -> Response:
        kind, items = self._kind(call), self.body(call, 57002).get("items")
        self._check(kind, items)
        assert isinstance(items, list)
        job = AsyncJob(self.store.new_async_id(), kind, call.caller.name, items)
        self.store.async_jobs[job.id] = job
        self.half.effect(f"async_{kind}_jobs_created")
        base, agenda = self.base(call), self.store.agenda
        resolving = self.now() + self.half.lasts("async_submitted_seconds")
        running = resolving + self.half.lasts("async_resolving_seconds")
        agenda.at(resolving, lambda _: self._resolve(job))
        agenda.at(running, lambda moment: self._begin(job, moment))
        for number, item in enumerate(items, 1):
            moment = running + number * self.half.lasts("async_item_seconds")
            agenda.at(moment, lambda moment, item=item: self._do(job, item, base, moment))  # type: ignore[misc]
        end = running + len(items) * self.half.lasts("async_item_seconds")
        agenda.at(end, lambda moment: self._finish(job, moment))
        self.half.settle()
        return self.one(call, async_json(base, job))

    def _check(self, kind: Kind, items: Any) -> None:
        if not isinstance(items, list) or not items or len(items) > self.switches.max_async_items:
            raise ApiError(57003, f"a job takes 1 to {self.switches.max_async_items} items")
        sources = []
        for item in items:
            if not isinstance(item, dict) or not item.get("file"):
                raise ApiError(57004, "each item names a file")
            if not all(isinstance(value, str | None) for value in item.values()):
                raise ApiError(57006, "the parts of an item are text")
            optional_name(item.get("name"), 57009)
            places = [key for key in ("project", "parent") if item.get(key)]
            if kind != "delete" and len(places) != 1:
                raise ApiError(57007, "each item names a project or a parent")
            sources.append((item["file"], *(item.get(key) for key in ("project", "parent", "name"))))
        if len(set(sources)) < len(sources):
            raise ApiError(57005 if kind == "copy" else 57008, "an item is named twice")

    def _resolve(self, job: AsyncJob) -> None:
        job.state = "RESOLVING"

    def _begin(self, job: AsyncJob, moment: float) -> None:
        job.state, job.started = "RUNNING", moment
        job.total = sum(self._size(item["file"]) for item in job.items)

    def _size(self, file_id: str) -> int:
        node = self.store.nodes.get(file_id)
        if node is None or not node.is_folder:
            return 1
        return sum(1 for inner in self.store.walk(node) if not inner.is_folder)

    def _finish(self, job: AsyncJob, moment: float) -> None:
        job.state, job.finished = "FINISHED", moment

    def _do(self, job: AsyncJob, item: dict[str, Any], base: str, moment: float) -> None:
        size = self._size(item["file"])
        try:
            node = self.node(job.user, item["file"])
            if self.fails(self.switches.fail_copies, node.name):
                raise ApiError(57433, "the item failed")
            if job.kind == "delete":
                job.result.append({"resource": self._summary(base, node)})
                self._delete(job, node)
            else:
                made = self._place(job, node, item, moment)
                job.result.append({"resource": self._summary(base, made)})
            job.completed += size
        except ApiError as error:
            job.result.append({"error": error.problem})
            job.failed += size

    @staticmethod
    def _summary(base: str, node: Node) -> dict[str, Any]:
        shown = {"id": node.id, "name": node.name, "project": node.project, "parent": node.parent}
        return {"href": f"{base}/files/{node.id}"} | shown | {"type": node.kind}

    def _delete(self, job: AsyncJob, node: Node) -> None:
        if node.parent is None or not self.can_write(job.user, node):
            raise ApiError(5001, "no right to delete this")
        self.half.effect("files_deleted", self.store.remove_node(node))

    def _place(self, job: AsyncJob, node: Node, item: dict[str, Any], moment: float) -> Node:
        folder = self._target(job, item)
        name = item.get("name") or node.name
        if node.parent is None:
            raise ApiError(57020, "the top folder of a project can neither be copied nor moved")
        if node.is_folder and (folder is node or folder in self.store.walk(node)):
            raise ApiError(57010 if job.kind == "copy" else 57016, "a folder cannot go into itself")
        if job.kind == "copy":
            if not self.store.may(job.user, self.store.projects[node.project], "copy"):
                raise ApiError(5014, "no right to copy this")
            return self._copy(node, folder, name, moment)
        if not self.can_write(job.user, node):
            raise ApiError(5032, "no right to move this")
        return self._move(node, folder, name, moment)

    def _target(self, job: AsyncJob, item: dict[str, Any]) -> Node:
        try:
            return self.half.files.destination(job.user, item)
        except ApiError as error:
            if error.code != 5022:
                raise
            raise ApiError(57017 if job.kind == "move" else 57021, "the destination is not a folder") from None

    def _copy(self, node: Node, folder: Node, name: str, moment: float) -> Node:
        if not node.is_folder:
            return self.half.files.copy_node(node, folder, name, moment)
        inside = self.store.children(node.id)
        made = self.store.folder_at(folder, self.store.free_name(folder.id, name), moment)
        for inner in inside:
            self._copy(inner, made, inner.name, moment)
        return made

    def _move(self, node: Node, folder: Node, name: str, moment: float) -> Node:
        if not node.is_folder:
            if folder.id != node.parent or name != node.name:
                self.store.move_node(node, folder, self.store.free_name(folder.id, name))
            self.half.effect("files_moved")
            return node
        # A moved folder gets a new id, and joins a folder of the same name.
        made = self.store.folder_at(folder, name, moment)
        for inner in self.store.children(node.id):
            self._move(inner, made, inner.name, moment)
        self.store.remove_node(node)
        return made
