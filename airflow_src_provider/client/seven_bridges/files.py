"""Files and folders, one at a time and by name. Bulk calls are in :mod:`~.file_bulk`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, JsonList, Query, fields_param, path_of
from airflow_src_provider.client.seven_bridges.file_bulk import FileBulk
from airflow_src_provider.client.seven_bridges.paging import PAGE_SIZE
from airflow_src_provider.exceptions import InvalidInputError

FILE_FIELDS = ("id", "name", "type", "project", "parent")
"""Enough to recognise a file and to walk folders."""


def is_folder(file: Mapping[str, Any]) -> bool:
    """Tell folders from files; both are the same kind of object, and the server's spelling of the type varies."""
    return str(file.get("type")).lower() == "folder"


NameGroup = list[str]


@dataclass(frozen=True)
class Walked:
    """One object of a walk.

    :param path: names from the start of the walk, joined by ``/``.
    :param file: the file or folder.
    """

    path: str
    file: Json


def _place(project: str | None, parent: str | None) -> dict[str, str]:
    if (project is None) == (parent is None):
        raise InvalidInputError("project, parent", (project, parent), "exactly one of both")
    if project is not None:
        return {"project": validate.project_id(project)}
    return {"parent": validate.file_id(parent, "parent")}


def _path(file_id: str, *more: str) -> str:
    return path_of("files", validate.file_id(file_id), *more)


def _with(fields: Fields, *needed: str) -> Fields:
    return None if fields is None else [*dict.fromkeys([*needed, *([fields] if isinstance(fields, str) else fields)])]


class Files(FileBulk):
    """Files and folders. An id belongs to one project: a copy has a new one."""

    def list(
        self,
        *,
        project: str | None = None,
        parent: str | None = None,
        name: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | Sequence[str]] | None = None,
        tag: str | Sequence[str] | None = None,
        origin_task: str | None = None,
        fields: Fields = FILE_FIELDS,
    ) -> Iterator[Json]:
        """Return the files and folders of one level, 100 per call. API page: "List files (primary method)".

        Several values of one filter mean any of them; different filters and different metadata keys mean all.

        :param project: the top level of this project. Exactly one of ``project`` and ``parent``.
        :param parent: this folder.
        :param name: exact names; for many of them see :meth:`resolve_names`.
        :param metadata: exact values by key.
        :param tag: exact tags.
        :param origin_task: only files made by this task.
        :param fields: field names; default :data:`FILE_FIELDS`.
        :raises InvalidInputError: when the filters do not fit into a URL.
        """
        query: Query = {
            **_place(project, parent),
            "name": name,
            **{f"metadata.{key}": value for key, value in (metadata or {}).items()},
            "tag": tag,
            "origin.task": None if origin_task is None else validate.task_id(origin_task, "origin_task"),
            "fields": fields_param(fields),
        }
        return paging.items(self._session, "/files", query)

    def walk(
        self, *, project: str | None = None, parent: str | None = None, fields: Fields = FILE_FIELDS
    ) -> Iterator[Walked]:
        """Return everything below a project or folder, level by level; at least one call per folder.

        Filters are left to the caller: the API does not look into folders, and a filtered level hides them.

        :param fields: field names; ``id``, ``name`` and ``type`` are always included.
        """
        wanted = _with(fields, "id", "name", "type")
        return self._walk(self.list(project=project, parent=parent, fields=wanted), wanted)

    def _walk(self, top: Iterator[Json], fields: Fields) -> Iterator[Walked]:
        visited: set[Any] = set()
        levels = deque([("", top)])
        while levels:
            above, level = levels.popleft()
            for file in level:
                path = f"{above}{file.get('name')}"
                yield Walked(path, file)
                folder_id = file.get("id")
                if is_folder(file) and isinstance(folder_id, str) and folder_id not in visited:
                    visited.add(folder_id)
                    levels.append((f"{path}/", self.list(parent=folder_id, fields=fields)))

    def scroll(
        self, *, project: str | None = None, folder: str | None = None, fields: Fields = FILE_FIELDS
    ) -> Iterator[Json]:
        """Return one level by token, for projects that change while they are listed; 100 per call.

        Needs the advance access header.

        :param project: the top level of this project. Exactly one of ``project`` and ``folder``.
        :param folder: id of a folder.
        """
        place = _place(project, folder)
        path = "/files/scroll" if folder is None else _path(folder, "scroll")
        query = {"project": place.get("project"), "fields": fields_param(fields)}
        return paging.scroll(self._session, path, query)

    def resolve_names(
        self,
        names: Iterable[str],
        *,
        project: str | None = None,
        parent: str | None = None,
        fields: Fields = FILE_FIELDS,
    ) -> dict[str, JsonList]:
        """Return the files of one level by exact name, up to 100 names per call.

        The cost depends on the names wanted, not on the size of the project.

        :param names: exact names; doubles are asked for once.
        :return: for every name what has it, an empty list when nothing has.
        :raises InvalidInputError: for an empty list, or a name too long for a URL.
        """
        wanted = [*dict.fromkeys(validate.several(names, "names", validate.text))]
        found: dict[str, JsonList] = {name: [] for name in wanted}
        base: Query = {**_place(project, parent), "fields": fields_param(_with(fields, "id", "name"))}
        for group in [*_name_groups(wanted, paging.url_room("/files", paging.pairs_of(base)))]:
            for file in paging.items(self._session, "/files", {**base, "name": group}):
                if (name := file.get("name")) in found:
                    found[name].append(file)
        return found

    def get(self, file_id: str, *, fields: Fields = None) -> Json:
        """Return one file or folder. API page: "Get file details".

        :param fields: field names; default everything.
        """
        return self._object("GET", _path(file_id), params={"fields": fields_param(fields)})

    def update(self, file_id: str, changes: Mapping[str, Any], *, fields: Fields = FILE_FIELDS) -> Json:
        """Set ``name``, ``tags`` or ``metadata`` of one file. API page: "Update file details".

        ``metadata`` given here **replaces** all metadata; see :meth:`merge_metadata`.
        """
        if not changes:
            raise InvalidInputError("changes", changes, "at least one of name, tags, metadata")
        if "metadata" in changes:
            validate.metadata(changes["metadata"])
        return self._object("PATCH", _path(file_id), params={"fields": fields_param(fields)}, json=dict(changes))

    def delete(self, file_id: str) -> None:
        """Delete one file or empty folder; done if it is gone already."""
        self._delete(_path(file_id))

    def copy(
        self, file_id: str, *, project: str | None = None, parent: str | None = None, name: str | None = None
    ) -> Json:
        """Copy one file and return the new one. API page: "Copy a file".

        :param name: new name; default the same. A taken name gets a number in front, so repeating makes doubles.
        """
        body = {**_place(project, parent), **({} if name is None else {"name": name})}
        return self._made(_path(file_id, "actions", "copy"), json=body)

    def move(self, file_id: str, parent: str, *, name: str | None = None) -> Json:
        """Move one file to a folder of the same project; it keeps its id. API page: "Move a file"."""
        body = {"parent": validate.file_id(parent, "parent"), **({} if name is None else {"name": name})}
        return self._object("POST", _path(file_id, "actions", "move"), json=body)

    def create_folder(self, name: str, *, project: str | None = None, parent: str | None = None) -> Json:
        """Create a folder. API page: "Create a folder".

        :param name: must not begin with two underscores.
        :raises ConflictError: when there is one of this name (code 5030).
        """
        if validate.text(name, "name").startswith("__"):
            raise InvalidInputError("name", name, "a name that does not begin with two underscores")
        return self._made("/files", json={"name": name, "type": "folder", **_place(project, parent)})

    def list_folder(self, folder_id: str, *, fields: Fields = FILE_FIELDS) -> Iterator[Json]:
        """Return the contents of a folder, 100 per call. API page: "List folder contents"."""
        return paging.items(self._session, _path(folder_id, "list"), {"fields": fields_param(fields)})

    def metadata(self, file_id: str) -> Json:
        """Return the metadata of one file."""
        return self._object("GET", _path(file_id, "metadata"))

    def merge_metadata(self, file_id: str, metadata: Mapping[str, str | None]) -> Json:
        """Set the given keys, keep the others, and return the result. API page: "Modify a file's metadata"."""
        return self._object("PATCH", _path(file_id, "metadata"), json=validate.metadata(metadata))

    def replace_metadata(self, file_id: str, metadata: Mapping[str, str | None]) -> Json:
        """Replace all metadata and return the result. API page: "Overwrite a file's metadata"."""
        return self._object("PUT", _path(file_id, "metadata"), json=validate.metadata(metadata))

    def tags(self, file_id: str) -> Sequence[str]:
        """Return the tags of one file."""
        return _texts(self._session.request("GET", _path(file_id, "tags")).json())

    def set_tags(self, file_id: str, tags: Sequence[str]) -> Sequence[str]:
        """Replace the tags of one file and return them."""
        return _texts(self._session.request("PUT", _path(file_id, "tags"), json=validate.tags(tags)).json())

    def download_info(self, file_id: str) -> Json:
        """Return ``url``, a short-lived address to download from; one call per file, there is no bulk form.

        API page: "Get download URL for a file". The address is a secret: whoever has it can read the file.
        """
        return self._object("GET", _path(file_id, "download_info"))


def _texts(answer: object) -> Sequence[str]:
    return [entry for entry in answer if isinstance(entry, str)] if isinstance(answer, list) else []


def _name_groups(names: Sequence[str], room: int) -> Iterator[NameGroup]:
    group: NameGroup = []
    used = 0
    for name in names:
        length = len(urlencode([("name", name)])) + 1
        if length > room:
            raise InvalidInputError("names", name, f"a name that fits into {paging.MAX_URL_LENGTH} characters of URL")
        if group and (len(group) == PAGE_SIZE or used + length > room):
            yield group
            group, used = [], 0
        group.append(name)
        used += length
    yield group
