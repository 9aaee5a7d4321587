"""Async jobs: copy, move and delete of whole folders and large sets, renames included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, JsonList, Resource, fields_param, path_of
from airflow_src_provider.exceptions import InvalidInputError

Kind = Literal["copy", "move", "delete"]

DEFAULT_MAX_ITEMS = 100
"""How many items a job may have is not documented; this many are known to work elsewhere in the API."""


def _moved(item: object, parameter: str) -> Json:
    if not isinstance(item, Mapping):
        raise InvalidInputError(parameter, item, "an object with file and project or parent")
    validate.file_id(item.get("file"), f"{parameter}.file")
    if (item.get("project") is None) == (item.get("parent") is None):
        raise InvalidInputError(parameter, dict(item), "exactly one of project and parent")
    if item.get("project") is not None:
        validate.project_id(item["project"], f"{parameter}.project")
    else:
        validate.file_id(item["parent"], f"{parameter}.parent")
    return dict(item)


class AsyncJobs(Resource):
    """Async file jobs. A job ends as ``FINISHED`` even if every file failed: see ``states.async_job_succeeded``.

    :param max_items: most items per job; default 100.
    """

    max_items: int = DEFAULT_MAX_ITEMS

    def copy(self, items: Iterable[Mapping[str, Any]]) -> Json:
        """Start a job that copies files and folders, and return it. API page: "Copy multiple files".

        :param items: objects with ``file`` (id of a file or folder), exactly one of ``project`` and ``parent``,
            and optionally a new ``name``. A taken name gets a number in front.
        :raises OutcomeUnknownError: when the answer was lost; look with :meth:`list` before sending again.
        """
        return self._start("copy", validate.several(items, "items", _moved))

    def move(self, items: Iterable[Mapping[str, Any]]) -> Json:
        """Start a job that moves files and folders within a project. API page: "Move multiple files and folders".

        :param items: as for :meth:`copy`. A moved file keeps its id, a moved folder gets a new one.
        """
        return self._start("move", validate.several(items, "items", _moved))

    def delete(self, file_ids: Iterable[str]) -> Json:
        """Start a job that deletes files and folders with everything in them.

        API page: "Delete multiple files and folders".
        """
        return self._start("delete", [{"file": one} for one in dict.fromkeys(validate.file_ids(file_ids))])

    def _start(self, kind: Kind, items: JsonList) -> Json:
        if len(items) > self.max_items:
            raise InvalidInputError("items", f"{len(items)} items", f"at most {self.max_items} items per job")
        return self._made(f"/async/files/{kind}", json={"items": items})

    def get(self, kind: Kind, job_id: str) -> Json:
        """Return one job; its details are kept for about a month. API page: "Get details of a copy job".

        :param kind: ``copy``, ``move`` or ``delete``, as it was started; a wrong kind is not found.
        :raises NotFoundError: for an unknown id (code 57039).
        """
        if kind not in ("copy", "move", "delete"):
            raise InvalidInputError("kind", kind, "copy, move or delete")
        return self._object("GET", path_of("async", "files", kind, validate.job_id(job_id)))

    def list(self, *, fields: Fields = None) -> Iterator[Json]:
        """Return the caller's jobs, 100 per call."""
        return paging.items(self._session, "/async/files", {"fields": fields_param(fields)})
