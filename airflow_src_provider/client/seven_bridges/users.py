"""Who the token belongs to."""

from __future__ import annotations

from airflow_src_provider.client.seven_bridges import validate
from airflow_src_provider.client.seven_bridges.base import Json, Resource, path_of


class Users(Resource):
    """Users. API page: "Get details of the current user"."""

    def me(self) -> Json:
        """Return the owner of the token; the cheapest test of a connection."""
        return self._object("GET", "/user")

    def get(self, username: str) -> Json:
        """Return one user; others than the caller are refused with code 2001.

        :raises ForbiddenError: for somebody else's name.
        """
        return self._object("GET", path_of("users", validate.text(username, "username")))
