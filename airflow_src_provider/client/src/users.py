"""The owner of the token and the collaborations they are in."""

from __future__ import annotations

from airflow_src_provider.client.src.base import Json, JsonList, Resource, objects


class Users(Resource):
    """The user service. Wiki page: "SRC API"."""

    _service = "user"

    def me(self) -> Json:
        """Return the owner of the token; ``COs`` holds the collaborations."""
        return self._object("GET", "users/self/")

    def collaborations(self) -> JsonList:
        """Return the collaborations; ``id`` is what the other services want, ``co_name`` what people know."""
        return objects(self.me().get("COs"))
