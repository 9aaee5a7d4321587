"""Bulk calls on files: 100 files for the price of one request.

All but the copy may be repeated; a copy that is repeated makes duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_src_provider.client.seven_bridges import bulk, validate
from airflow_src_provider.client.seven_bridges.base import BULK_TIMEOUT, Fields, Json, Resource, fields_param
from airflow_src_provider.client.seven_bridges.bulk import BulkItem, BulkItems, ItemError
from airflow_src_provider.exceptions import InvalidInputError, NotFoundError

BULK_FILE_FIELDS = ("id", "name", "type", "project", "parent", "size")
CHANGEABLE = frozenset({"id", "name", "tags", "metadata"})


def _same_id(one: str, resource: Json) -> bool:
    return resource.get("id") == one


def _change(value: object, parameter: str) -> Json:
    if not isinstance(value, Mapping):
        raise InvalidInputError(parameter, value, "an object with id and name, tags or metadata")
    validate.file_id(value.get("id"), f"{parameter}.id")
    if not set(value) <= CHANGEABLE or len(value) < 2:
        raise InvalidInputError(parameter, sorted(map(str, value)), "id and at least one of name, tags, metadata")
    if "name" in value:
        validate.text(value["name"], f"{parameter}.name")
    if "tags" in value:
        validate.tags(value["tags"], f"{parameter}.tags")
    if "metadata" in value:
        validate.metadata(value["metadata"], f"{parameter}.metadata")
    return dict(value)


class FileBulk(Resource):
    """The bulk half of ``files``."""

    def get_many(
        self, file_ids: Iterable[str], *, fields: Fields = BULK_FILE_FIELDS, chunk_size: int = bulk.MAX_CHUNK
    ) -> BulkItems:
        """Return many files, 100 per call, in the order of the ids, each once.

        API page: "Get details of multiple files".

        :param fields: field names of the file; default :data:`BULK_FILE_FIELDS`. ``id`` is always asked for.
        :param chunk_size: ids per call, 1 to 100; default 100.
        """
        wanted = [*dict.fromkeys(validate.file_ids(file_ids))]

        def call(chunk: Sequence[str]) -> BulkItems:
            return bulk.match(chunk, self._files("get", {"file_ids": [*chunk]}, fields), _same_id)

        parts = bulk.repeatable(call, wanted, bulk.check_chunk_size(chunk_size))
        return [item for part in parts for item in part]

    def edit_many(
        self, changes: Iterable[Mapping[str, Any]], *, fields: Fields = ("id",), chunk_size: int = bulk.MAX_CHUNK
    ) -> Iterator[BulkItems]:
        """Change name, tags or metadata of many files; what is not given stays, metadata is merged.

        API page: "Edit details of multiple files". Input is checked at once; a chunk is only sent when the
        iterator is asked for it, so nothing happens unless it is consumed.

        :param changes: objects with ``id`` and any of ``name``, ``tags``, ``metadata``.
        :param fields: field names of the file that are returned; default only the id.
        :param chunk_size: files per call, 1 to 100; default 100.
        :raises InvalidInputsError: naming every change that was refused.
        """
        return self._change_many("edit", changes, fields, chunk_size)

    def update_many(
        self, changes: Iterable[Mapping[str, Any]], *, fields: Fields = ("id",), chunk_size: int = bulk.MAX_CHUNK
    ) -> Iterator[BulkItems]:
        """Replace name, tags and metadata of many files: **what is not given is erased**. Lazy like edit_many.

        API page: "Update details of multiple files".

        :param changes: objects with ``id`` and any of ``name``, ``tags``, ``metadata``.
        """
        return self._change_many("update", changes, fields, chunk_size)

    def _change_many(
        self, call_name: str, changes: Iterable[Mapping[str, Any]], fields: Fields, chunk_size: int
    ) -> Iterator[BulkItems]:
        checked = validate.several(changes, "changes", _change)
        distinct = bulk.unique(checked, lambda change: change["id"], "changes")

        def call(chunk: Sequence[Json]) -> BulkItems:
            answer = self._files(call_name, {"items": [*chunk]}, fields)
            return bulk.match(chunk, answer, lambda change, resource: _same_id(change["id"], resource))

        return bulk.repeatable(call, distinct, bulk.check_chunk_size(chunk_size))

    def delete_many(self, file_ids: Iterable[str], *, chunk_size: int = bulk.MAX_CHUNK) -> Iterator[BulkItems]:
        """Delete many files; what is gone already is done, with no resource. Lazy like :meth:`edit_many`.

        API page: "Bulk deletion of files". Folders are not deleted this way, see ``async_jobs.delete``.

        :param chunk_size: files per call, 1 to 100; default 100.
        """
        distinct = [*dict.fromkeys(validate.file_ids(file_ids))]
        return bulk.repeatable(self._delete_chunk, distinct, bulk.check_chunk_size(chunk_size))

    def _delete_chunk(self, chunk: Sequence[str]) -> BulkItems:
        try:
            answer = self._files("delete", {"file_ids": [*chunk]}, ("id",))
        except NotFoundError as error:
            if error.code is None:
                raise  # the route is missing, not a file
            if len(chunk) == 1:
                return [_gone_is_done(BulkItem(chunk[0], "failed", error=ItemError.of_call(error)))]
            # One missing file can fail the whole call without saying which one it is.
            middle = len(chunk) // 2
            return self._delete_chunk(chunk[:middle]) + self._delete_chunk(chunk[middle:])
        return [_gone_is_done(item) for item in bulk.match(chunk, answer, _same_id)]

    def _files(self, call_name: str, body: Json, fields: Fields) -> Json:
        selector = fields_param(fields, prefix="resource.", always=("resource.id", "error"))
        return self._bulk(f"/bulk/files/{call_name}", body, {"fields": selector})

    def copy_chunk(self, project: str, file_ids: Sequence[str]) -> BulkItems:
        """Copy up to 100 files to the top level of a project with one call.

        API page: "Copy multiple files between projects". Not repeatable: a taken name gets a number in front.

        :param project: destination, ``owner/short-name``.
        :return: per id; ``resource`` has ``new_file_id`` and ``new_file_name``.
        :raises OutcomeUnknownError: when the answer was lost; list the destination before sending again.
        """
        ids = bulk.one_chunk([*dict.fromkeys(validate.file_ids(file_ids))], "file_ids")
        body = {"project": validate.project_id(project), "file_ids": [*ids]}
        answer = self._object("POST", "/action/files/copy", json=body, timeout=BULK_TIMEOUT)
        return [_copied(one, answer.get(one)) for one in ids]

    def copy_many(
        self, project: str, file_ids: Iterable[str], *, chunk_size: int = bulk.MAX_CHUNK
    ) -> Iterator[BulkItems]:
        """Copy any number of files, one call per chunk. Lazy like :meth:`edit_many`, see :meth:`copy_chunk`.

        :param chunk_size: files per call, 1 to 100; default 100.
        """
        validate.project_id(project)
        distinct = [*dict.fromkeys(validate.file_ids(file_ids))]
        parts = bulk.chunks(distinct, bulk.check_chunk_size(chunk_size))
        return (self.copy_chunk(project, part) for part in parts)


def _gone_is_done(item: BulkItem) -> BulkItem:
    gone = item.error is not None and (item.error.code == 5002 or (item.error.status, item.error.code) == (404, None))
    return BulkItem(item.sent, "done") if gone else item


def _copied(file_id: str, entry: object) -> BulkItem:
    if not isinstance(entry, dict) or not isinstance(entry.get("status"), str):
        return BulkItem(file_id, "unknown")
    if entry["status"].upper() == "OK":
        return BulkItem(file_id, "done", entry)
    # The word in `status` is no HTTP status; the code is all there is to tell failures apart.
    message = entry.get("message") or entry["status"]
    return BulkItem(file_id, "failed", error=ItemError.of({"code": entry.get("code"), "message": message}))
