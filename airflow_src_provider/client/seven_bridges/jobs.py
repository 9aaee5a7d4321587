"""What imports and exports have in common: two directions of the same kind of job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow_src_provider.client.seven_bridges import bulk, paging, validate
from airflow_src_provider.client.seven_bridges.base import (
    BULK_TIMEOUT,
    Fields,
    Json,
    Query,
    Resource,
    fields_param,
    path_of,
)
from airflow_src_provider.client.seven_bridges.bulk import BulkItems
from airflow_src_provider.exceptions import ApiError, InvalidInputError

JOB_FIELDS = ("id", "state", "source", "destination", "error", "result.id", "result.name")
"""Enough to wait for a job, to recognise it and to go on with the file it made."""


def job_key(item: Json) -> tuple[Any, ...]:
    """Return what makes a job the same job: where from and where to."""
    parts = [item["source"].get(name) for name in ("volume", "location", "file")]
    return (*parts, *(item["destination"].get(name) for name in ("project", "parent", "volume", "location", "name")))


def same_job(item: Json, resource: Json) -> bool:
    """Tell whether a job of the server is the one that was asked for.

    The server may add a name to the destination that the request left to it.
    """
    source, destination = resource.get("source"), resource.get("destination")
    if not isinstance(source, dict) or not isinstance(destination, dict):
        return False
    shared = [name for name in item["destination"] if name in destination]
    return (
        bool(shared)
        and all(source.get(name) == value for name, value in item["source"].items())
        and all(destination[name] == item["destination"][name] for name in shared)
    )


def check_item(item: object, parameter: str = "item") -> Json:
    """Return a job request.

    :raises InvalidInputError: unless it is a mapping with the objects ``source`` and ``destination``.
    """
    if isinstance(item, dict) and isinstance(item.get("source"), dict) and isinstance(item.get("destination"), dict):
        return item
    raise InvalidInputError(parameter, item, "an object with source and destination")


class StorageJobs(Resource):
    """Base of ``imports`` and ``exports``."""

    _kind = ""

    def get(self, job_id: str, *, fields: Fields = None) -> Json:
        """Return one job.

        :param job_id: the job's id.
        :param fields: field names; default everything.
        :raises NotFoundError: for an unknown id.
        """
        path = path_of("storage", self._kind, validate.job_id(job_id))
        try:
            return self._object("GET", path, params={"fields": fields_param(fields)})
        except ApiError as error:
            # A failed job may come with the HTTP status of its own error.
            if error.body and error.body.get("id") and error.body.get("state"):
                return error.body
            raise

    def get_many(
        self, job_ids: Iterable[str], *, fields: Fields = JOB_FIELDS, chunk_size: int = bulk.MAX_CHUNK
    ) -> BulkItems:
        """Return many jobs, 100 per call, in the order of the ids, each once.

        :param job_ids: at least one id.
        :param fields: field names of the job; default :data:`JOB_FIELDS`. ``id`` is always asked for.
        :param chunk_size: ids per call, 1 to 100; default 100.
        """
        wanted = list(dict.fromkeys(validate.several(job_ids, "job_ids", validate.job_id)))
        selector = fields_param(fields, prefix="resource.", always=("resource.id", "error"))

        def call(chunk: list[str]) -> BulkItems:
            path = f"/bulk/storage/{self._kind}/get"
            body = {f"{self._kind.removesuffix('s')}_ids": chunk}
            answer = self._bulk(path, body, {"fields": selector})
            return bulk.match(chunk, answer, lambda one, resource: resource.get("id") == one)

        parts = bulk.repeatable(call, wanted, bulk.check_chunk_size(chunk_size))
        return [item for part in parts for item in part]

    def _list(self, params: Query) -> Iterator[Json]:
        return paging.items(self._session, f"/storage/{self._kind}", params)

    def _create(self, item: Json, params: Query) -> Json:
        return self._made(f"/storage/{self._kind}", params=params, json=check_item(item))

    def _distinct(self, items: Iterable[Json]) -> list[Json]:
        checked = validate.several(items, "items", check_item)
        return bulk.unique(checked, job_key, "items")

    def _create_chunk(self, items: Sequence[Json], params: Query, fields: Fields) -> BulkItems:
        """Send one chunk of distinct items; an unclear outcome is raised, so that the caller can look."""
        selector = fields_param(
            fields, prefix="resource.", always=("resource.id", "resource.source", "resource.destination", "error")
        )
        answer = self._object(
            "POST",
            f"/bulk/storage/{self._kind}/create",
            params={**params, "fields": selector},
            json={"items": list(bulk.one_chunk(items, "items"))},
            timeout=BULK_TIMEOUT,
        )
        return bulk.match(items, answer, same_job)
