"""Projects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_src_provider.client.seven_bridges import paging, validate
from airflow_src_provider.client.seven_bridges.base import Fields, Json, Resource, fields_param, path_of
from airflow_src_provider.client.seven_bridges.members import ProjectMembers
from airflow_src_provider.exceptions import InvalidInputError

PROJECT_FIELDS = ("id", "name")

_SHOWN_CHOICES = 20


class Projects(Resource):
    """Projects and, under ``members``, who may do what in them."""

    @property
    def members(self) -> ProjectMembers:
        return ProjectMembers(self._session)

    def list(
        self,
        *,
        name: str | None = None,
        owner: str | None = None,
        category: str | None = None,
        tags: Sequence[str] | None = None,
        fields: Fields = PROJECT_FIELDS,
    ) -> Iterator[Json]:
        """Return projects, 100 per call. API page: "List all your projects".

        :param name: part of the display name, upper and lower case alike; see :meth:`find` for an exact name.
        :param owner: only projects of this owner.
        :param category: ``PRIVATE``, ``PUBLIC``, ...
        :param tags: only projects with these tags.
        :param fields: field names; default id and name.
        """
        path = "/projects" if owner is None else path_of("projects", validate.text(owner, "owner"))
        params = {
            "name": name,
            "category": category,
            "tags": ",".join(tags) if tags else None,
            "fields": fields_param(fields),
        }
        return paging.items(self._session, path, params)

    def find(self, name: str, *, owner: str | None = None, fields: Fields = PROJECT_FIELDS) -> Json:
        """Return the one project with exactly this display name; one call, unless over 100 names contain it.

        :param name: display name, compared letter by letter.
        :param owner: look only among the projects of this owner.
        :param fields: field names; ``id`` and ``name`` are always included.
        :raises InvalidInputError: when none or several have it, with what there is to choose from.
        """
        wanted = None if fields is None else list(dict.fromkeys([*PROJECT_FIELDS, *fields]))
        alike = [*self.list(name=validate.text(name, "project name"), owner=owner, fields=wanted)]
        exact = [project for project in alike if project.get("name") == name]
        if len(exact) == 1:
            return exact[0]
        shown = ", ".join(f"{p.get('name')!r} ({p.get('id')})" for p in (exact or alike)[:_SHOWN_CHOICES])
        if exact:
            raise InvalidInputError("project name", name, f"{len(exact)} projects have this name; give an id: {shown}")
        raise InvalidInputError("project name", name, f"the name of a project; similar ones: {shown or 'none'}")

    def get(self, project_id: str, *, fields: Fields = None) -> Json:
        """Return one project. API page: "Get details of a project".

        :param project_id: ``owner/short-name``.
        :param fields: field names; default everything.
        """
        path = path_of("projects", validate.project_id(project_id))
        return self._object("GET", path, params={"fields": fields_param(fields)})

    def create(self, name: str, **properties: Any) -> Json:
        """Create a project. API page: "Create a new project". Display names are not unique: repeating makes two.

        :param name: display name; the id is derived from it once.
        :param properties: ``billing_group`` (id), ``description``, ``tags``, ``settings``.
        :raises OutcomeUnknownError: when the answer was lost; look with :meth:`find` before sending again.
        """
        return self._made("/projects", json={"name": validate.text(name, "name"), **properties})

    def update(self, project_id: str, changes: Mapping[str, Any]) -> Json:
        """Change a project. API page: "Edit a project".

        :param changes: any of ``name``, ``description``, ``billing_group``, ``settings``, ``tags``.
        """
        if not changes:
            raise InvalidInputError("changes", changes, "at least one property")
        return self._object("PATCH", path_of("projects", validate.project_id(project_id)), json=dict(changes))

    def delete(self, project_id: str) -> None:
        """Delete a project with everything in it; done if it is gone already."""
        self._delete(path_of("projects", validate.project_id(project_id)))
