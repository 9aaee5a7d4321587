"""Imports: make objects of a volume appear as files of a project (aliases; no bytes are copied)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from airflow_src_provider.client.seven_bridges import bulk, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, fields_param
from airflow_src_provider.client.seven_bridges.bulk import BulkItems
from airflow_src_provider.client.seven_bridges.jobs import JOB_FIELDS, StorageJobs
from airflow_src_provider.exceptions import InvalidInputError


def import_item(
    volume: str,
    location: str,
    *,
    project: str | None = None,
    parent: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    autorename: bool = False,
    preserve_folder_structure: bool | None = None,
) -> Json:
    """Build the request for one import. API page: "Start an import job".

    :param volume: volume id, ``owner/name``.
    :param location: key of the object, relative to the volume's prefix; a folder ends with ``/``.
    :param project: destination project (its root). Exactly one of ``project`` and ``parent``.
    :param parent: id of the destination folder.
    :param name: name at the destination; default the last part of ``location``.
    :param overwrite: delete what has this name at the destination first; default no.
    :param autorename: put a number before a name that is taken; default no. Without both, a taken name
        fails the job with code 9108.
    :param preserve_folder_structure: for folders only.
    :raises InvalidInputError: for ids of the wrong form or settings that exclude each other.
    """
    if (project is None) == (parent is None):
        raise InvalidInputError("project, parent", (project, parent), "exactly one of both")
    if preserve_folder_structure is not None and not location.endswith("/"):
        raise InvalidInputError("preserve_folder_structure", location, "only a folder, whose location ends with /")
    destination = (
        {"project": validate.project_id(project)}
        if project is not None
        else {"parent": validate.file_id(parent, "parent")}
    )
    if name is not None:
        destination["name"] = validate.text(name, "name")
    source = {"volume": validate.volume_id(volume), "location": validate.text(location, "location")}
    item: Json = {"source": source, "destination": destination, "overwrite": overwrite, "autorename": autorename}
    if preserve_folder_structure is not None:
        item["preserve_folder_structure"] = preserve_folder_structure
    return item


class Imports(StorageJobs):
    """Import jobs: ``get``, ``get_many``, ``list``, ``create``, ``create_chunk``, ``create_many``.

    A job may be terminal in the very answer to its creation. Jobs cannot be cancelled or deleted.
    """

    _kind = "imports"

    def list(
        self,
        *,
        project: str | None = None,
        volume: str | None = None,
        state: str | Sequence[str] | None = None,
        fields: Fields = JOB_FIELDS,
    ) -> Iterator[Json]:
        """Return the caller's own import jobs, 100 per call.

        :param project: only jobs into this project.
        :param volume: only jobs from this volume.
        :param state: one state or several (any of them).
        :param fields: field names; default :data:`~.jobs.JOB_FIELDS`.
        """
        return self._list(
            {
                "project": None if project is None else validate.project_id(project),
                "volume": None if volume is None else validate.volume_id(volume),
                "state": state,
                "fields": fields_param(fields),
            }
        )

    def create(self, item: Json) -> Json:
        """Start one import and return the job.

        :param item: see :func:`import_item`.
        :raises OutcomeUnknownError: when the answer was lost; look with :meth:`list` before sending again.
        """
        return self._create(item, {})

    def create_chunk(self, items: Sequence[Json], *, fields: Fields = JOB_FIELDS) -> BulkItems:
        """Start up to 100 imports with one call. API page: "Start a bulk import job".

        :param items: see :func:`import_item`; an entry that comes again is sent once.
        :param fields: field names of the job that are returned.
        :raises OutcomeUnknownError: when the answer was lost; look with :meth:`list` before sending again.
        """
        return self._create_chunk(self._distinct(items), {}, fields)

    def create_many(
        self, items: Iterable[Json], *, fields: Fields = JOB_FIELDS, chunk_size: int = bulk.MAX_CHUNK
    ) -> Iterator[BulkItems]:
        """Start any number of imports, one call per chunk.

        Input is checked at once, but a chunk is only sent when the iterator is asked for it, so that the caller
        can store what was done before the next one goes out.

        :param chunk_size: entries per call, 1 to 100; default 100.
        """
        distinct = self._distinct(items)
        parts = bulk.chunks(distinct, bulk.check_chunk_size(chunk_size))
        return (self._create_chunk(part, {}, fields) for part in parts)
