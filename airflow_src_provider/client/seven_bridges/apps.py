"""Apps: to read and to copy."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, Resource, fields_param, path_of
from airflow_src_provider.exceptions import InvalidInputError

APP_FIELDS = ("id", "name", "project", "revision", "latest_revision", "copy_of")
"""Everything but ``raw``, the workflow itself, which can be megabytes."""


class Apps(Resource):
    """Apps, i.e. workflows and tools."""

    def list(
        self,
        *,
        project: str | None = None,
        visibility: str | None = None,
        query: str | None = None,
        app_id: str | None = None,
        fields: Fields = ("id", "name", "project"),
    ) -> Iterator[Json]:
        """Return apps, 100 per call. API page: "List all apps available to you".

        :param project: only apps of this project.
        :param visibility: ``PUBLIC`` or ``PRIVATE``.
        :param query: words to search for.
        :param app_id: only this app.
        """
        if visibility not in (None, "PUBLIC", "PRIVATE"):
            raise InvalidInputError("visibility", visibility, "PUBLIC or PRIVATE")
        params = {
            "project": None if project is None else validate.project_id(project),
            "visibility": visibility,
            "q": query,
            "id": app_id,
            "fields": fields_param(fields),
        }
        return paging.items(self._session, "/apps", params)

    def get(self, app_id: str, *, fields: Fields = APP_FIELDS) -> Json:
        """Return one app. API page: "Get details of an app".

        :param app_id: ``owner/project/app``, if wanted with ``/revision``; default the latest.
        :param fields: field names; default everything but ``raw``. ``("raw",)`` for the inputs it knows.
        :raises NotFoundError: when app or revision do not exist (code 6002).
        """
        path = path_of("apps", validate.app_id(app_id))
        return self._object("GET", path, params={"fields": fields_param(fields)})

    def raw(self, app_id: str) -> Json:
        """Return the workflow itself (CWL). API page: "Get raw CWL of an app"."""
        return self._object("GET", path_of("apps", validate.app_id(app_id), "raw"))

    def copy(self, app_id: str, project: str, *, name: str | None = None, strategy: str | None = None) -> Json:
        """Copy an app into a project. API page: "Copy an app".

        :param project: destination, ``owner/short-name``.
        :param name: new name; default that of the original.
        :param strategy: ``clone``, ``direct``, ``clone_direct`` or ``transient``; default the API's own.
        :raises ConflictError: when it is there already (code 6003).
        """
        if strategy not in (None, "clone", "direct", "clone_direct", "transient"):
            raise InvalidInputError("strategy", strategy, "clone, direct, clone_direct or transient")
        wanted = {"project": validate.project_id(project), "name": name, "strategy": strategy}
        body = {key: value for key, value in wanted.items() if value is not None}
        return self._object("POST", path_of("apps", validate.app_id(app_id), "actions", "copy"), json=body)

    def sync(self, app_id: str) -> Json:
        """Take over the newest revision of the app that this one is a copy of."""
        return self._object("POST", path_of("apps", validate.app_id(app_id), "actions", "sync"))
