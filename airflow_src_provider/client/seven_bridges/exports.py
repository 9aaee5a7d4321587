"""Exports: write files of a project to a volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_src_provider.client.seven_bridges import bulk, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, fields_param
from airflow_src_provider.client.seven_bridges.bulk import BulkItems
from airflow_src_provider.client.seven_bridges.jobs import JOB_FIELDS, StorageJobs
from airflow_src_provider.exceptions import InvalidInputError


def export_item(
    file: str,
    volume: str,
    location: str,
    *,
    overwrite: bool = False,
    properties: Mapping[str, Any] | None = None,
) -> Json:
    """Build the request for one export. API page: "Start an export job".

    :param file: id of the file; folders, aliases, public and archived files cannot be exported.
    :param volume: volume id, ``owner/name``; it must be writable and in the project's cloud and region.
    :param location: key of the object to write, relative to the volume's prefix.
    :param overwrite: replace what lies there; default no, then the job fails with code 9107.
    :param properties: ``sse_algorithm``, ``sse_aws_kms_key_Id``, ``aws_canned_acl``.
    :raises InvalidInputError: for ids of the wrong form or a location that ends with ``/``.
    """
    if validate.text(location, "location").endswith("/"):
        raise InvalidInputError("location", location, "the key of an object, not ending with /")
    item: Json = {
        "source": {"file": validate.file_id(file, "file")},
        "destination": {"volume": validate.volume_id(volume), "location": location},
        "overwrite": overwrite,
    }
    if properties is not None:
        item["properties"] = dict(properties)
    return item


def _copy_only(value: object) -> Json:
    if not isinstance(value, bool):
        raise InvalidInputError("copy_only", value, "True to keep the file on the platform, False to give it up")
    return {"copy_only": value}


class Exports(StorageJobs):
    """Export jobs: ``get``, ``get_many``, ``list``, ``create``, ``create_chunk``, ``create_many``.

    ``copy_only`` has no default here, because the API's own default is destructive: the bytes leave the platform
    and the file becomes an alias of the object, which cannot be exported again.
    """

    _kind = "exports"

    def list(
        self,
        *,
        volume: str | None = None,
        state: str | Sequence[str] | None = None,
        fields: Fields = JOB_FIELDS,
    ) -> Iterator[Json]:
        """Return the caller's own export jobs, 100 per call. The API has no filter by project here.

        :param volume: only jobs to this volume.
        :param state: one state or several (any of them).
        :param fields: field names; default :data:`~.jobs.JOB_FIELDS`.
        """
        return self._list(
            {
                "volume": None if volume is None else validate.volume_id(volume),
                "state": state,
                "fields": fields_param(fields),
            }
        )

    def create(self, item: Json, *, copy_only: bool) -> Json:
        """Start one export and return the job.

        :param item: see :func:`export_item`.
        :param copy_only: keep the file's bytes on the platform.
        :raises OutcomeUnknownError: when the answer was lost; look with :meth:`list` before sending again.
        """
        return self._create(item, _copy_only(copy_only))

    def create_chunk(self, items: Sequence[Json], *, copy_only: bool, fields: Fields = JOB_FIELDS) -> BulkItems:
        """Start up to 100 exports with one call. API page: "Start a bulk export job".

        :param items: see :func:`export_item`; an entry that comes again is sent once.
        :param copy_only: keep the files' bytes on the platform; holds for the whole call.
        :param fields: field names of the job that are returned.
        :raises OutcomeUnknownError: when the answer was lost; look with :meth:`list` before sending again.
        """
        return self._create_chunk(self._distinct(items), _copy_only(copy_only), fields)

    def create_many(
        self,
        items: Iterable[Json],
        *,
        copy_only: bool,
        fields: Fields = JOB_FIELDS,
        chunk_size: int = bulk.MAX_CHUNK,
    ) -> Iterator[BulkItems]:
        """Start any number of exports, one call per chunk; lazily, see ``imports.create_many``.

        :param copy_only: keep the files' bytes on the platform.
        :param chunk_size: entries per call, 1 to 100; default 100.
        """
        distinct, params = self._distinct(items), _copy_only(copy_only)
        parts = bulk.chunks(distinct, bulk.check_chunk_size(chunk_size))
        return (self._create_chunk(part, params, fields) for part in parts)
