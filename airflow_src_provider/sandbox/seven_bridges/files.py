"""Files and folders, one at a time, and their listings ("List files (primary method)")."""

from __future__ import annotations

import base64
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, optional_name, own_url, route
from .errors import ApiError
from .fields import Selector
from .model import Node
from .render import THIN_FILE, node_json

MAX_PAIRS, MAX_KEY, MAX_VALUE = 1000, 100, 300


def check_metadata(metadata: Any) -> dict[str, str | None]:
    """Metadata as sent, or 5006: at most 1000 pairs, keys of 100 and values of 300 bytes, strings or null.

    See "Modify a file's metadata".
    """
    if not isinstance(metadata, dict) or len(metadata) > MAX_PAIRS:
        raise ApiError(5006, f"metadata is an object of at most {MAX_PAIRS} pairs")
    for key, value in metadata.items():
        if not key or len(key.encode()) > MAX_KEY:
            raise ApiError(5006, f"a metadata key has 1 to {MAX_KEY} bytes")
        if value is not None and (not isinstance(value, str) or len(value.encode()) > MAX_VALUE):
            raise ApiError(5006, f"a metadata value is a string of at most {MAX_VALUE} bytes")
    return metadata


def check_tags(tags: Any) -> list[str]:
    """Tags as sent, or 5011: a list of strings."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ApiError(5011, "tags are a list of strings")
    return tags


class Files(Area):
    """Calls on single files and folders."""

    def routes(self) -> list[Route]:
        return [
            route("GET", "/files", self.listing),
            route("POST", "/files", self.create_folder),
            route("GET", "/projects/{owner}/{name}/files", self.listing),
            route("GET", "/files/scroll", self.scroll),
            route("GET", "/files/{id}/scroll", self.scroll),
            route("GET", "/files/{id}/list", self.list_folder),
            # Two calls that are named in places but whose forms nobody describes.
            route("POST", "/files/paths", self.half.not_found),
            route("POST", "/files/search", self.half.not_found),
            route("GET", "/files/{id}", self.details),
            route("PATCH", "/files/{id}", self.update),
            route("DELETE", "/files/{id}", self.delete),
            route("GET", "/files/{id}/metadata", self.metadata),
            route("PATCH", "/files/{id}/metadata", self.metadata),
            route("PUT", "/files/{id}/metadata", self.metadata),
            route("GET", "/files/{id}/tags", self.tags),
            route("PUT", "/files/{id}/tags", self.tags),
            route("POST", "/files/{id}/actions/copy", self.copy),
            route("POST", "/files/{id}/actions/move", self.move),
            route("GET", "/files/{id}/download_info", self.download_info),
        ]

    def _named(self, call: Call) -> Node:
        return self.node(call.caller.name, call.path_params["id"])

    def _shown(self, call: Call, node: Node) -> Response:
        return self.one(call, node_json(self.base(call), node))

    # Listings

    def _level(self, call: Call) -> Node:
        query, user = call.query_params, call.caller.name
        if "owner" in call.path_params:
            project = f"{call.path_params['owner']}/{call.path_params['name']}"
            return self.store.nodes[self.project(user, project).root]
        if "id" in call.path_params:
            return self.folder(user, call.path_params["id"], 5002)
        if "project" in query and "parent" in query:
            raise ApiError(5031, "give a project or a parent, not both")
        if "parent" in query:
            return self.folder(user, query["parent"])
        if "project" not in query:
            raise ApiError(5029, "give a project or a parent")
        if query["project"].count("/") != 1:
            raise ApiError(5005, "a project id has the form owner/project")
        return self.store.nodes[self.project(user, query["project"]).root]

    def _found(self, call: Call, level: Node) -> list[Node]:
        wanted: dict[str, set[str]] = {}
        for key, value in call.query_params.multi_items():
            wanted.setdefault(key, set()).add(value)
        names, tags, origins = wanted.get("name"), wanted.get("tag"), wanted.get("origin.task")
        metadata = {key[9:]: values for key, values in wanted.items() if key.startswith("metadata.")}
        if origins is not None:
            nodes = [node for task in sorted(origins) for node in self.store.made_by(task)]
            if not self.switches.filters_recursive:
                nodes = [node for node in nodes if node.parent == level.id]
        elif self.switches.filters_recursive and (names or tags or metadata):
            nodes = list(self.store.walk(level))
        elif names is not None:
            nodes = [node for name in names if (node := self.store.named(level.id, name))]
            nodes.sort(key=lambda node: node.id)
        else:
            nodes = self.store.children(level.id)
        return [
            node
            for node in nodes
            if (names is None or node.name in names)
            and (tags is None or tags & set(node.tags))
            and all(node.metadata.get(key) in values for key, values in metadata.items())
        ]

    def listing(self, call: Call) -> Response:
        base = self.base(call)
        return self.page(call, self._found(call, self._level(call)), lambda node: node_json(base, node), THIN_FILE)

    def list_folder(self, call: Call) -> Response:
        base = self.base(call)
        nodes = self.store.children(self._level(call).id)
        return self.page(call, nodes, lambda node: node_json(base, node), THIN_FILE)

    def scroll(self, call: Call) -> Response:
        self.advance_access(call)
        query = call.query_params
        if "offset" in query or any(key.startswith("metadata.") for key in query):
            raise ApiError(57001, "scrolling excludes an offset and metadata filters")
        level = self._level(call)
        nodes = sorted(self._found(call, level), key=lambda node: node.id)
        after = self._after(query.get("token"), level.id)
        rest = [node for node in nodes if node.id > after]
        limit = self._limit(call)
        selector, base = Selector(query.get("fields")), self.base(call)
        shown = [selector(node_json(base, node)) for node in rest[:limit]]
        if not selector.given:
            shown = [{key: item[key] for key in THIN_FILE} for item in shown]
        links = []
        if len(rest) > limit:
            token = base64.urlsafe_b64encode(f"{level.id}:{rest[limit - 1].id}".encode()).decode()
            url = call.url.include_query_params(token=token)
            links = [{"href": f"{call.origin}{url.path}?{url.query}", "rel": "next", "method": "GET"}]
        data = {"href": own_url(call), "items": shown, "links": links}
        return answer(data, headers={"X-Total-Matching-Query": str(len(nodes))})

    @staticmethod
    def _after(token: str | None, level: str) -> str:
        if token == "init":
            return ""
        try:
            made_for, _, last = base64.b64decode(token or "!", b"-_", validate=True).decode().partition(":")
        except ValueError:
            raise ApiError(57000, "the continuation token is malformed") from None
        if made_for != level or not last:
            raise ApiError(57001, "the continuation token does not belong to this listing")
        return last

    # One file

    def details(self, call: Call) -> Response:
        return self._shown(call, self._named(call))

    def _changeable(self, call: Call, code: int, on_folder: int) -> Node:
        node = self._named(call)
        if node.is_folder:
            raise ApiError(on_folder, "folders do not have this")
        if not self.can_write(call.caller.name, node):
            raise ApiError(code, "no right to change this file")
        return node

    def update(self, call: Call) -> Response:
        body = self.body(call)
        node = self._changeable(call, 5008, 5023)
        self.half.bulk_files.apply(node, body, merge=False, erase=False)
        return self._shown(call, node)

    def metadata(self, call: Call) -> Response:
        if call.method == "GET":
            return answer(self._named(call).metadata)
        node = self._changeable(call, 5009, 5027)
        given = check_metadata(call.body_json())
        kept: dict[str, str | None] = dict(node.metadata) if call.method == "PATCH" else {}
        node.metadata = {key: value for key, value in (kept | given).items() if value is not None}
        node.modified = self.now()
        self.half.effect("files_edited")
        return answer(node.metadata)

    def tags(self, call: Call) -> Response:
        if call.method == "GET":
            return answer(self._named(call).tags)
        node = self._changeable(call, 5011, 5025)
        node.tags = check_tags(call.body_json())
        node.modified = self.now()
        self.half.effect("files_edited")
        return answer(node.tags)

    def delete(self, call: Call) -> Response:
        node = self._named(call)
        if node.parent is None or not self.can_write(call.caller.name, node):
            raise ApiError(5001, "no right to delete this")
        if node.is_folder and self.store.children(node.id):
            raise ApiError(5021, "the folder is not empty")
        self.store.remove_node(node)
        self.half.effect("files_deleted")
        return Response(status_code=204)

    def create_folder(self, call: Call) -> Response:
        body, user = self.body(call), call.caller.name
        if str(body.get("type", "")).lower() != "folder":
            raise ApiError(5012, "only folders can be made here")
        name = body.get("name")
        if not isinstance(name, str) or not name or name.startswith("__") or "/" in name:
            raise ApiError(5024, "a folder needs a name that does not begin with two underscores")
        parent = self.destination(user, body)
        if self.store.named(parent.id, name):
            raise ApiError(5030, "something of that name is there")
        now = self.now()
        folder = self.store.add_node(
            Node(self.store.new_file_id(), name, "folder", parent.project, parent.id, now, now)
        )
        self.half.effect("folders_created")
        return self._shown(call, folder)

    def destination(self, user: str, body: dict[str, Any]) -> Node:
        """The folder that ``project`` or ``parent`` of a body names, writable for ``user``."""
        project, parent = body.get("project"), body.get("parent")
        if project and parent:
            raise ApiError(5031, "give a project or a parent, not both")
        if parent:
            folder = self.folder(user, parent)
            if not self.can_write(user, folder):
                raise ApiError(5001, "no right to write to this folder")
            return folder
        if not project:
            raise ApiError(5029, "give a project or a parent")
        return self.store.nodes[self.project(user, project, "write").root]

    def copy_node(self, node: Node, folder: Node, name: str | None, moment: float) -> Node:
        """Copy a file into a folder; a taken name gets a number in front."""
        made = Node(
            self.store.new_file_id(),
            self.store.free_name(folder.id, name or node.name),
            "file",
            folder.project,
            folder.id,
            moment,
            moment,
            node.size,
            dict(node.storage),
            dict(node.origin),
            list(node.tags),
            dict(node.metadata),
        )
        self.half.effect("files_copied")
        return self.store.add_node(made)

    def copy(self, call: Call) -> Response:
        body, user, node = self.body(call), call.caller.name, self._named(call)
        if node.is_folder:
            raise ApiError(5018, "folders cannot be copied this way")
        if not self.store.may(user, self.store.projects[node.project], "copy"):
            raise ApiError(5014, "no right to copy this file")
        folder = self.destination(user, body)
        return self._shown(call, self.copy_node(node, folder, optional_name(body.get("name"), 5024), self.now()))

    def move(self, call: Call) -> Response:
        body, user, node = self.body(call), call.caller.name, self._named(call)
        folder = self.destination(user, {"parent": body.get("parent")})
        if node.is_folder or folder.project != node.project:
            raise ApiError(5015, "only files can be moved, and only inside their project")
        if not self.can_write(user, node):
            raise ApiError(5032, "no right to move this file")
        name = optional_name(body.get("name"), 5024) or node.name
        if folder.id != node.parent or name != node.name:
            self.store.move_node(node, folder, self.store.free_name(folder.id, name))
        self.half.effect("files_moved")
        return self._shown(call, node)

    def download_info(self, call: Call) -> Response:
        node = self.store.logs.get(call.path_params["id"]) or self._named(call)
        if node.is_folder:
            raise ApiError(5017, "folders cannot be downloaded")
        volume = self.store.volumes.get(node.storage.get("volume", ""))
        if volume is not None and not volume.active:
            raise ApiError(5034, "the file lies on an inactive volume")
        return answer({"url": f"{self.base(call)}/download/{node.id}"})
