"""Billing groups, to read."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, Resource, fields_param, path_of


class Billing(Resource):
    """Billing groups. API pages: "List billing groups", "Get details of a billing group"."""

    def list(self, *, fields: Fields = ("id", "name")) -> Iterator[Json]:
        """Return the caller's billing groups, 100 per call."""
        return paging.items(self._session, "/billing/groups", {"fields": fields_param(fields)})

    def get(self, group_id: str, *, fields: Fields = None) -> Json:
        """Return one billing group with its balance.

        :param group_id: id of the group, a UUID.
        :raises InvalidInputError: for anything else (the platform would answer with code 4005).
        """
        path = path_of("billing", "groups", validate.task_id(group_id, "group_id"))
        return self._object("GET", path, params={"fields": fields_param(fields)})
