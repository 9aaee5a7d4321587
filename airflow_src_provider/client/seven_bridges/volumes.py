"""Volumes: buckets that are registered with the platform."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, Resource, fields_param, path_of
from airflow_src_provider.client.seven_bridges.members import VolumeMembers
from airflow_src_provider.client.seven_bridges.paging import VolumePage
from airflow_src_provider.exceptions import InvalidInputError


def _path(volume_id: str, *more: str) -> str:
    return path_of("storage", "volumes", validate.volume_id(volume_id), *more)


class Volumes(Resource):
    """Volumes, their contents and, under ``members``, who may use them."""

    @property
    def members(self) -> VolumeMembers:
        return VolumeMembers(self._session)

    def list(self, *, fields: Fields = ("id", "name")) -> Iterator[Json]:
        """Return the caller's volumes, 100 per call. API page: "List volumes"."""
        return paging.items(self._session, "/storage/volumes", {"fields": fields_param(fields)})

    def get(self, volume_id: str, *, fields: Fields = None) -> Json:
        """Return one volume; secrets are never part of it. API page: "Get details of a volume".

        :param volume_id: ``owner/name``.
        :param fields: field names; default everything.
        """
        return self._object("GET", _path(volume_id), params={"fields": fields_param(fields)})

    def create(self, body: Mapping[str, Any]) -> Json:
        """Register a bucket. API page: "Create a volume".

        :param body: ``name`` (at most 32 letters, digits, underscores), ``service``, ``access_mode`` (``RO`` or
            ``RW``), ``description``.
        :raises ConflictError: when the name is taken (code 9010).
        """
        validate.text(body.get("name"), "name")
        if not isinstance(body.get("service"), Mapping):
            raise InvalidInputError("service", None, "an object with type, bucket and credentials")
        return self._made("/storage/volumes", json=dict(body))

    def update(self, volume_id: str, changes: Mapping[str, Any]) -> Json:
        """Change a volume. API page: "Update a volume".

        :param changes: any of ``description``, ``access_mode``, ``service``, ``active``.
        """
        if not changes:
            raise InvalidInputError("changes", changes, "at least one property")
        return self._object("PATCH", _path(volume_id), json=dict(changes))

    def delete(self, volume_id: str) -> None:
        """Unregister a volume, which must have been made inactive before; done if it is gone already."""
        self._delete(_path(volume_id))

    def pages(self, volume_id: str, *, prefix: str | None = None, fields: Fields = None) -> Iterator[VolumePage]:
        """Return the pages of one level: objects, and the prefixes ("directories") below it; 100 per call.

        API page: "List the contents of a volume".

        :param prefix: only what begins with it, relative to the volume's own prefix; default the top level.
        :param fields: field names; default what the API gives.
        """
        params = {"prefix": prefix or None, "fields": fields_param(fields)}
        return paging.volume_pages(self._session, _path(volume_id, "list"), params)

    def list_objects(
        self, volume_id: str, *, prefix: str | None = None, recursive: bool = False, fields: Fields = None
    ) -> Iterator[Json]:
        """Return the objects of one level, or of all levels below a prefix; at least one call per level.

        :param recursive: go down into the prefixes; default no.
        """
        first = self.pages(volume_id, prefix=prefix, fields=fields)
        return (
            self._walk(volume_id, first, prefix, fields) if recursive else (o for page in first for o in page.objects)
        )

    def _walk(self, volume_id: str, first: Iterator[VolumePage], prefix: str | None, fields: Fields) -> Iterator[Json]:
        listed = {prefix or ""}
        levels = deque([first])
        while levels:
            for page in levels.popleft():
                yield from page.objects
                for below in page.prefixes:
                    if below not in listed:
                        listed.add(below)
                        levels.append(self.pages(volume_id, prefix=below, fields=fields))

    def get_object(self, volume_id: str, location: str) -> Json:
        """Return one object of a volume.

        :param location: key relative to the volume's prefix.
        :raises NotFoundError: when there is no such object (code 9105).
        """
        params = {"location": validate.text(location, "location")}
        return self._object("GET", _path(volume_id, "object"), params=params)
