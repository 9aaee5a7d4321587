"""Make sure that a project is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks, json_or_none, text_or_none
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context


class SevenBridgesCreateProjectOperator(SevenBridgesOperator):
    """Find the project of a name, or create it. API pages: "List all your projects", "Create a new project".

    Names are not unique on the platform, and its own search finds parts of names; here the name has to be the same
    letter by letter, and two projects of the name are an error. Costs one call if there is one, else two or three.

    :param name: display name.
    :param create: create it when there is none, default; otherwise that is an error.
    :param project_owner: look only among the projects of this owner.
    :param billing_group: id of the billing group of a new project; default: the only one there is, for one more call,
        or else the platform's own default.
    :param description: of a new project.
    :param tags: of a new project.
    :param settings: of a new project.
    :return: ``project`` (its id, ``owner/short-name``), ``name``, ``created``, ``api_calls``.
    :raises InvalidInputError: bad parameters, none or several projects of the name.
    """

    template_fields: Sequence[str] = (
        *SevenBridgesOperator.template_fields,
        "name",
        "project_owner",
        "billing_group",
        "description",
        "tags",
        "settings",
    )

    def __init__(
        self,
        *,
        name: str,
        create: bool = True,
        project_owner: str | None = None,
        billing_group: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.create = create
        self.project_owner = project_owner
        self.billing_group = billing_group
        self.description = description
        self.tags = tags
        self.settings = settings
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate

        super().checks(check)
        check(validate.text, self.name, "name")
        check.flag(self.create, "create")
        if self.project_owner is not None:
            check(validate.text, self.project_owner, "project_owner")
        if self.billing_group is not None:
            check(validate.task_id, self.billing_group, "billing_group")
        if self.tags is not None:
            check(validate.tags, self.tags, "tags")
        check(text_or_none, self.description, "description")
        check(json_or_none, self.settings, "settings")

    def work(self, context: Context) -> Any:
        """Find or create."""
        self.check()
        ledger = self.ledger(context)
        project = self._find()
        created = project is not None and project == ledger.get("project")
        if project is None:
            if not self.create:
                raise InvalidInputError("name", self.name, "the name of a project; there is none of this name")
            wanted = {key: getattr(self, key) for key in ("billing_group", "description", "tags", "settings")}
            properties = {key: value for key, value in wanted.items() if value is not None}
            if self.billing_group is None:
                groups = [group["id"] for group in self.client.billing.list()]
                properties |= {"billing_group": groups[0]} if len(groups) == 1 else {}
            project = ledger.once(
                "project", lambda: self.client.projects.create(self.name, **properties)["id"], self._find
            )
            created = True
            self.log.info("Created project %s", project)
        self.show(project)
        return {"project": project, "name": self.name, "created": created, "api_calls": self.api_calls({})}

    def _find(self) -> str | None:
        alike = self.client.projects.list(name=self.name, owner=self.project_owner)
        found = [project["id"] for project in alike if project.get("name") == self.name]
        if len(found) > 1:
            allowed = f"a name that only one project has; these have it: {', '.join(found)}"
            raise InvalidInputError("name", self.name, allowed)
        return found[0] if found else None
