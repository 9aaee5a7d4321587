"""Members of a project or of a volume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Json, Resource, path_of
from airflow_src_provider.client.seven_bridges.validate import text


class _Members(Resource):
    _collection = ""

    def _path(self, owner_id: str, *more: str) -> str:
        return path_of(self._collection, owner_id, "members", *more)

    def list(self, owner_id: str) -> Iterator[Json]:
        """Return the members with their permissions, 100 per call."""
        return paging.items(self._session, self._path(self._checked(owner_id)))

    def get(self, owner_id: str, username: str) -> Json:
        """Return one member."""
        return self._object("GET", self._path(self._checked(owner_id), text(username, "username")))

    def add(self, owner_id: str, username: str, permissions: Mapping[str, bool]) -> Json:
        """Add a member.

        :param permissions: ``read``, ``write``, ``copy``, ``execute`` (projects only), ``admin``.
        """
        body = {"username": text(username, "username"), "permissions": dict(permissions)}
        return self._object("POST", self._path(self._checked(owner_id)), json=body)

    def set_permissions(self, owner_id: str, username: str, permissions: Mapping[str, bool]) -> Json:
        """Change the given permissions of a member."""
        path = self._path(self._checked(owner_id), text(username, "username"), "permissions")
        return self._object("PATCH", path, json=dict(permissions))

    def remove(self, owner_id: str, username: str) -> None:
        """Remove a member; done if it is none."""
        self._delete(self._path(self._checked(owner_id), text(username, "username")))

    def _checked(self, owner_id: str) -> str:
        raise NotImplementedError


class ProjectMembers(_Members):
    """Members of a project, by project id. API page: "Add a member to a project"."""

    _collection = "projects"

    def _checked(self, owner_id: str) -> str:
        return validate.project_id(owner_id)


class VolumeMembers(_Members):
    """Members of a volume, by volume id. API page: "Add a member to a volume"."""

    _collection = "storage/volumes"

    def _checked(self, owner_id: str) -> str:
        return validate.volume_id(owner_id)
