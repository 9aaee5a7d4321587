"""Bulk calls on files ("Get details of multiple files", "Edit multiple files", "Delete multiple files")."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, route
from .errors import ApiError
from .files import check_metadata, check_tags
from .model import Node
from .render import node_json


class BulkFiles(Area):
    """Calls on up to 100 files."""

    def routes(self) -> list[Route]:
        return [
            route("POST", "/bulk/files/get", self.get),
            route("POST", "/bulk/files/delete", self.delete),
            route("POST", "/bulk/files/edit", self.edit),
            route("POST", "/bulk/files/update", self.update),
            route("POST", "/action/files/copy", self.copy),
        ]

    def apply(self, node: Node, changes: dict[str, Any], merge: bool, erase: bool) -> None:
        """Change name, tags and metadata of a file; nothing is changed when one part is refused.

        :param merge: metadata is added to what is there; otherwise it replaces it.
        :param erase: parts that are left out are erased; a name cannot be, so leaving it out is refused.
        """
        name, tags, metadata = changes.get("name"), changes.get("tags"), changes.get("metadata")
        if name is None and erase:
            raise ApiError(5024, "an update without a name would erase it")
        if name is not None:
            if not isinstance(name, str) or not name or "/" in name:
                raise ApiError(5024, "not a file name")
            other = self.store.named(node.parent or "", name)
            if other is not None and other is not node:
                raise ApiError(5003, "something of that name is there")
        checked_tags = check_tags(tags) if tags is not None else [] if erase else None
        if metadata is not None or erase:
            kept: dict[str, str | None] = dict(node.metadata) if merge else {}
            joined = kept | check_metadata(metadata or {})
            node.metadata = {key: value for key, value in joined.items() if value is not None}
        if checked_tags is not None:
            node.tags = checked_tags
        if name is not None and name != node.name:
            self.store.rename(node, name)
        node.modified = self.now()
        self.half.effect("files_edited")

    def _readable(self, call: Call, file_id: Any) -> Node:
        node = self.node(call.caller.name, file_id)
        if self.fails(self.switches.fail_files, node.name):
            raise ApiError(5000, "the file service does not answer for this file")
        return node

    def get(self, call: Call) -> Response:
        base = self.base(call)
        ids = self.body(call).get("file_ids")
        return self.bulk(call, ids, lambda file_id: node_json(base, self._readable(call, file_id)), _itself)

    def delete(self, call: Call) -> Response:
        base, user = self.base(call), call.caller.name

        def work(file_id: Any) -> dict[str, Any]:
            node = self._readable(call, file_id)
            if node.is_folder:
                raise ApiError(5021, "folders are not deleted in bulk")
            if not self.can_write(user, node):
                raise ApiError(5001, "no right to delete this file")
            shown = node_json(base, node)
            self.store.remove_node(node)
            self.half.effect("files_deleted")
            return shown

        return self.bulk(call, self.body(call).get("file_ids"), work, _itself)

    def edit(self, call: Call) -> Response:
        return self._change(call, merge=True, erase=False)

    def update(self, call: Call) -> Response:
        return self._change(call, merge=False, erase=True)

    def _change(self, call: Call, merge: bool, erase: bool) -> Response:
        base, user = self.base(call), call.caller.name

        def work(item: Any) -> dict[str, Any]:
            node = self._readable(call, self._id_of(item))
            if node.is_folder:
                raise ApiError(5023, "folders cannot be edited")
            if not self.can_write(user, node):
                raise ApiError(5009, "no right to change this file")
            self.apply(node, item, merge, erase)
            return node_json(base, node)

        return self.bulk(call, self.body(call).get("items"), work, self._id_of)

    def _id_of(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return None
        keys = ("id", "file_id") if self.switches.bulk_id_key == "both" else (self.switches.bulk_id_key,)
        return next((item[key] for key in keys if item.get(key)), None)

    def copy(self, call: Call) -> Response:
        body, user = self.body(call), call.caller.name
        folder = self.store.nodes[self.project(user, body.get("project"), "write").root]
        ids = body.get("file_ids")
        self.check_bulk(ids, _itself)
        assert isinstance(ids, list)
        done: dict[str, dict[str, Any]] = {}
        for file_id in ids:
            try:
                node = self._readable(call, file_id)
                if node.is_folder:
                    raise ApiError(5018, "folders cannot be copied this way")
                if not self.store.may(user, self.store.projects[node.project], "copy"):
                    raise ApiError(5014, "no right to copy this file")
                if self.fails(self.switches.fail_copies, node.name):
                    raise ApiError(5007, "the copy failed")
                made = self.half.files.copy_node(node, folder, None, self.now())
                done[file_id] = {"status": "OK", "new_file_id": made.id, "new_file_name": made.name}
            except ApiError as error:
                problem = error.problem
                done[str(file_id)] = {"status": "FAILED", "message": problem["message"], "code": error.code}
        call.delay = self.switches.copy_seconds_per_file * len(ids)
        return answer(done)


def _itself(entry: Any) -> Any:
    return entry
