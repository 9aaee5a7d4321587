"""Workspaces: Compute, Storage, IP and Network, which all live in the same collection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.base import PAGE_SIZE, Json, JsonList, Resource
from airflow_src_provider.client.src.states import ACTIONS, KINDS, Status, parse_time, raw_status, status_of
from airflow_src_provider.exceptions import (
    BadAnswerError,
    BadRequestError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
)

_SHOWN_CHOICES = 20
_SENDABLE = ("create", "delete", "purge", "release", "update", "use", *ACTIONS)


def _path(workspace_id: str, *more: str) -> str:
    parts = ["workspaces", validate.uuid(workspace_id, "workspace_id"), *more]
    return "".join(f"{quote(part, safe='')}/" for part in parts)


class Workspaces(Resource):
    """Workspaces. Wiki pages: "SRC API", "Workspace actions".

    Every change is put into the service's queue; a full queue is waited for. After a change, reads may show the old
    state for up to a minute: judge with ``progress.judge``.
    """

    _service = "workspace"
    #: Number of workspaces at the last look at the list; it decides how to look next time.
    _total: int | None = None
    #: Workspaces that were about to be deleted when they were last seen.
    _leaving: frozenset[str] = frozenset()

    def list(
        self,
        *,
        application_type: str | None = None,
        deleted: bool | None = False,
        by_owner: bool | None = None,
        co_id: str | None = None,
        name: str | None = None,
        status: str | None = None,
        wallet_id: str | None = None,
        workspace_id: str | None = None,
    ) -> JsonList:
        """Return all matching workspaces, oldest first; 100 per call.

        :param application_type: ``Compute``, ``Storage``, ``IP`` or ``Network``.
        :param deleted: ``False`` (default) hides deleted ones, ``None`` includes them.
        :param by_owner: ``True`` for only my own; default all of my collaborations.
        :param co_id: one collaboration.
        :param name: part of the name; see :meth:`find` for an exact name.
        :param status: one status.
        :param wallet_id: one wallet.
        :param workspace_id: one workspace, as a list of one.
        """
        if application_type not in (None, *KINDS):
            raise InvalidInputError("application_type", application_type, f"one of {', '.join(KINDS)}")
        ids = {"co_id": co_id, "wallet_id": wallet_id, "id": workspace_id}
        params = {
            "application_type": application_type,
            "deleted": deleted,
            "by_owner": by_owner,
            "name": name,
            "status": status,
            **{key: None if value is None else validate.uuid(value, key) for key, value in ids.items()},
        }
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(self._pages("workspaces/", params), key=lambda w: parse_time(w.get("time_created")) or oldest)

    def get(self, workspace_id: str) -> Json:
        """Return one workspace.

        :raises NotFoundError: when it does not exist, or is not visible to the token's owner.
        """
        workspace = self._object("GET", _path(workspace_id))
        if str(workspace.get("id")).lower() == workspace_id.lower():
            return workspace
        raise BadAnswerError(
            "the answer is about something else", service=self._service, method="GET", path=_path(workspace_id)
        )

    def look(self, workspace_ids: Sequence[str]) -> dict[str, Json]:
        """Return workspaces by id, with the fewest calls: pages of the list, single ones, or both.

        A list may lag behind, so what is not in it is asked for by itself before it counts as gone, unless it was seen
        to be deleted.

        :param workspace_ids: which ones. Those that do not exist or are not visible are missing in the answer.
        """
        wanted = list(dict.fromkeys(workspace_ids))
        found: dict[str, Json] = {}
        missing = set(wanted)
        known = self._total or 0
        if len(wanted) > max(1, -(-known // PAGE_SIZE)):
            self._total = 0
            pages = 0
            for pages, (page, left) in enumerate(self._each_page("workspaces/", {"deleted": False}), 1):
                self._total = (pages - 1) * PAGE_SIZE + len(page) + left
                for entry in page:
                    key = entry.get("id")
                    if isinstance(key, str) and key in missing:
                        found[key] = entry
                        missing.discard(key)
                if len(missing) <= -(-left // PAGE_SIZE):
                    break
            else:
                if pages == 1:
                    missing -= self._leaving
        for key in [one for one in wanted if one in missing]:
            try:
                found[key] = self.get(key)
            except NotFoundError as error:
                if error.body is None:
                    # Not in the service's own form: a gateway that does not find the service says the same, for once.
                    with contextlib.suppress(NotFoundError):
                        found[key] = self.get(key)
        self._leaving |= {key for key, one in found.items() if status_of(one) is Status.DELETING}
        return found

    def find(self, name: str, *, co_id: str | None = None, application_type: str | None = None) -> Json:
        """Return the one workspace that is not deleted and has exactly this name.

        :param co_id: look only in this collaboration.
        :param application_type: look only among this kind.
        :raises InvalidInputError: when none or several have it, with what there is to choose from.
        """
        alike = self.list(name=validate.text(name, "workspace"), co_id=co_id, application_type=application_type)
        exact = [workspace for workspace in alike if workspace.get("name") == name]
        if len(exact) == 1:
            return exact[0]
        shown = ", ".join(
            f"{w.get('name')!r} ({w.get('id')}, {raw_status(w)})" for w in (exact or alike)[:_SHOWN_CHOICES]
        )
        if exact:
            raise InvalidInputError("workspace", name, f"{len(exact)} workspaces have this name; give an id: {shown}")
        raise InvalidInputError("workspace", name, f"the name of a workspace; similar ones: {shown or 'none'}")

    def create(self, body: Mapping[str, Any]) -> Json:
        """Create a workspace and return it. Not repeatable, and there is no idempotency key.

        :param body: see ``bodies.create_body`` and ``resolve.resolve_create``.
        :raises OutcomeUnknownError: when the answer was lost; look for the name in the collaboration first.
        """
        made = self._object("POST", "workspaces/", json=dict(body))
        if validate.is_uuid(made.get("id")):
            return made
        raise OutcomeUnknownError(
            "the answer to what was made has no id", service=self._service, method="POST", path="workspaces/"
        )

    def update(self, workspace_id: str, *, name: str | None = None, end_time: datetime | str | None = None) -> Json:
        """Change name or expiry.

        :param name: new name.
        :param end_time: new expiry, with time zone; only Compute has one.
        :raises InvalidInputError: when neither is given.
        """
        changes: Json = {}
        if name is not None:
            changes["name"] = validate.text(name, "name")
        if end_time is not None:
            changes["end_time"] = validate.moment(end_time, "end_time")
        if not changes:
            raise InvalidInputError("name, end_time", None, "at least one of both")
        return self._object("PATCH", _path(workspace_id), json=changes)

    def delete(self, workspace_id: str) -> Json | None:
        """Ask for deletion, which goes on after the answer; done if it is gone or going already.

        :return: the workspace, if the service sends it.
        :raises BadRequestError: when it cannot be deleted in its state.
        """
        try:
            response = self._session.request("DELETE", _path(workspace_id), service=self._service, expect_json=False)
        except NotFoundError:
            # A gateway that does not find the service says the same.
            if self.look([workspace_id]):
                raise
            return None
        except BadRequestError:
            # Also the answer to a repeated request whose first answer was lost.
            if status_of(workspace := self.get(workspace_id)) in (Status.DELETING, Status.DELETED):
                return workspace
            raise
        try:
            answer = response.json()
        except ValueError:
            return None
        return answer if isinstance(answer, dict) else None

    def action(self, workspace_id: str, action: str, body: Mapping[str, Any] | None = None) -> Json:
        """Ask for one action and return the workspace, which may still show the status from before.

        :param action: ``pause``, ``resume``, ``reboot``, ``update_nsgs`` or ``update_storages``.
        :param body: parameters of the action; default none.
        :raises BadRequestError: when it is not possible in this state.
        :raises OutcomeUnknownError: when the answer was lost; look at the newest action before sending again.
        """
        if action not in ACTIONS:
            raise InvalidInputError("action", action, f"one of {', '.join(ACTIONS)}")
        return self._object("POST", _path(workspace_id, "actions", action), json=dict(body or {}))

    def pause(self, workspace_id: str) -> Json:
        """Ask for a pause; see :meth:`action`."""
        return self.action(workspace_id, "pause")

    def resume(self, workspace_id: str) -> Json:
        """Ask for a resume; see :meth:`action`."""
        return self.action(workspace_id, "resume")

    def reboot(self, workspace_id: str) -> Json:
        """Ask for a reboot, which is a pause and a resume: a GPU can be lost on the way. See :meth:`action`."""
        return self.action(workspace_id, "reboot")

    def update_nsgs(self, workspace_id: str, rules: Sequence[str]) -> Json:
        """Replace the firewall rules; see :mod:`~.firewall` for how to keep the existing ones."""
        if isinstance(rules, str) or not all(isinstance(rule, str) and rule.strip() for rule in rules):
            raise InvalidInputError("rules", rules, "a list of rules")
        return self.action(workspace_id, "update_nsgs", {"network_security_group_rules": [*rules]})

    def update_storages(self, workspace_id: str, storage_ids: Iterable[str]) -> Json:
        """Attach exactly these storages: those that are attached and not named are detached.

        :param storage_ids: ids of Storage workspaces; an empty list detaches all.
        """
        ids = [validate.uuid(one, "storage_ids") for one in validate.texts(storage_ids, "storage_ids")]
        storages = [{"id": one, "type": "Workspace"} for one in dict.fromkeys(ids)]
        return self.action(workspace_id, "update_storages", {"storages": storages})

    def actions(self, workspace_id: str, actions: Iterable[str | Mapping[str, Any]]) -> Json:
        """Ask for several actions in order. The single form, :meth:`action`, is the proven one.

        :param actions: names, or objects with ``action`` and ``parameters``.
        """
        steps: JsonList = []
        for step in actions:
            name = step.get("action") if isinstance(step, Mapping) else step
            parameters = step.get("parameters") if isinstance(step, Mapping) else None
            if name not in _SENDABLE:
                raise InvalidInputError("actions", step, f"one of {', '.join(sorted(_SENDABLE))}")
            steps.append({"action": name, "parameters": dict(parameters or {})})
        if not steps:
            raise InvalidInputError("actions", steps, "a list with at least one action")
        return self._object("POST", _path(workspace_id, "actions"), json=steps)

    def change_wallet(self, workspace_id: str, wallet_id: str, wallet_name: str | None = None) -> Json:
        """Let another wallet pay.

        :param wallet_name: its name, for display; optional.
        """
        body = {"wallet_id": validate.uuid(wallet_id, "wallet_id")}
        if wallet_name is not None:
            body["wallet_name"] = validate.text(wallet_name, "wallet_name")
        return self._object("PATCH", _path(workspace_id, "change_wallet"), json=body)

    def claim_ownership(self, workspace_id: str) -> Json:
        """Become the owner; for workspace admins of the collaboration.

        :raises ForbiddenError: for anybody else.
        """
        return self._object("PATCH", _path(workspace_id, "claim_ownership"), json={})

    def logs(self, workspace_id: str) -> str | None:
        """Return the provisioning log, ``None`` when there is none.

        After a failed creation it is to be fetched at once: the platform deletes the workspace soon.
        """
        try:
            response = self._session.request(
                "GET", _path(workspace_id, "logs"), service=self._service, expect_json=False
            )
        except NotFoundError:
            return None
        return response.text or None
