"""Endpoints of the workspace service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import PlainTextResponse, Response

from ..half import Call
from .answers import Service, json_answer, one, page, uuid_filter
from .create import create
from .model import USER_ACTIONS, User, Workspace
from .orders import demand_right, order_actions, patch
from .problems import bad_request, forbidden, no_logs
from .render import possible_actions, workspace_json


class WorkspaceService(Service):
    """Lists, creates, changes and deletes workspaces (API pages "Workspace" of SURF Research Cloud)."""

    prefix = "workspace"

    def endpoints(self) -> list[tuple[str, Callable[[Call], Response], list[str]]]:
        one_workspace = "workspaces/{id}/"
        return [
            ("workspaces/", self.listing, ["GET"]),
            ("workspaces/", self.create, ["POST"]),
            (one_workspace, self.get, ["GET"]),
            (one_workspace, self.patch, ["PATCH"]),
            (one_workspace, self.delete, ["DELETE"]),
            (f"{one_workspace}actions/", self.possible, ["GET"]),
            (f"{one_workspace}actions/", self.several_actions, ["POST"]),
            (f"{one_workspace}actions/{{type}}/", self.single_action, ["POST"]),
            (f"{one_workspace}logs/", self.logs, ["GET"]),
            (f"{one_workspace}change_wallet/", self.change_wallet, ["PATCH"]),
            (f"{one_workspace}claim_ownership/", self.claim_ownership, ["PATCH"]),
        ]

    def show(self, workspace: Workspace, user: User, status: int = 200) -> Response:
        response = json_answer(workspace_json(self.world, workspace, user), status)
        if self.world.switches.typed_content_type:
            response.headers["content-type"] = f"application/json;{workspace.kind}"
        return response

    def listing(self, call: Call) -> Response:
        world, user = self.world, self.user(call)
        order, wanted = world.switches.list_order, self._filter(call, user)
        found = sorted(
            (each for each in world.visible(user) if wanted(each)),
            key=(lambda each: each.id) if order == "id" else (lambda each: (each.created, each.number)),
            reverse=order == "newest",
        )
        return json_answer(page(world, call, found, lambda each: workspace_json(world, each, user)))

    def _filter(self, call: Call, user: User) -> Callable[[Workspace], bool]:
        kind, status, name = one(call, "application_type"), one(call, "status"), one(call, "name")
        deleted, by_owner = (one(call, "deleted") or "").lower(), (one(call, "by_owner") or "").lower()
        co_id, wallet_id, own_id = (uuid_filter(call, key) for key in ("co_id", "wallet_id", "id"))
        gone = {"false": False, "true": True}.get(deleted)
        if self.world.switches.deleted_is_404:
            gone = False

        def wanted(workspace: Workspace) -> bool:
            shown = workspace.overrides.get("status", self.world.shown_status(workspace))
            return (
                kind in (None, workspace.kind)
                and gone in (None, shown == "deleted")
                and (by_owner != "true" or workspace.owner_id == user.id)
                and (name is None or name.lower() in workspace.name.lower())
                and status in (None, shown)
                and co_id in (None, workspace.co_id)
                and wallet_id in (None, workspace.wallet_id)
                and own_id in (None, workspace.id)
            )

        return wanted

    def create(self, call: Call) -> Response:
        user = self.user(call)
        return self.show(create(self.world, user, call.body_json()), user, 201)

    def get(self, call: Call) -> Response:
        return self.show(self.workspace(call), self.user(call))

    def patch(self, call: Call) -> Response:
        workspace, user = self.workspace(call), self.user(call)
        patch(self.world, user, workspace, call.body_json())
        return self.show(workspace, user)

    def delete(self, call: Call) -> Response:
        workspace, user = self.workspace(call), self.user(call)
        order_actions(self.world, user, workspace, [("delete", {})])
        if self.world.switches.delete_status == 204:
            return Response(status_code=204)
        return self.show(workspace, user)

    def possible(self, call: Call) -> Response:
        workspace = self.workspace(call)
        may = self.world.may_manage(self.user(call), workspace)
        return json_answer(possible_actions(workspace, self.world.shown_status(workspace)) if may else [])

    def single_action(self, call: Call) -> Response:
        workspace, user, body = self.workspace(call), self.user(call), call.body_json()
        kind = call.path_params["type"]
        if kind not in USER_ACTIONS:
            raise bad_request(f'"{kind}" is not a valid action.')
        if not isinstance(body, dict) and (body is not None or self.world.switches.require_action_body):
            raise bad_request("Invalid data. Expected a dictionary.")
        order_actions(self.world, user, workspace, [(kind, body)])
        return self.show(workspace, user)

    def several_actions(self, call: Call) -> Response:
        workspace, user, body = self.workspace(call), self.user(call), call.body_json()
        if not isinstance(body, list) or not body or not all(isinstance(each, dict) for each in body):
            raise bad_request("Expected a list of actions.")
        wanted = [(each.get("action", ""), each.get("parameters")) for each in body]
        order_actions(self.world, user, workspace, wanted)
        return self.show(workspace, user)

    def logs(self, call: Call) -> Response:
        workspace = self.workspace(call)
        gone = workspace.status == "deleted" and not self.world.switches.logs_survive_delete
        if gone or not workspace.log:
            raise no_logs()
        return PlainTextResponse("\n".join(workspace.log) + "\n")

    def change_wallet(self, call: Call) -> Response:
        world, workspace, user = self.world, self.workspace(call), self.user(call)
        demand_right(world, user, workspace)
        body: Any = call.body_json()
        wallet_id = body.get("wallet_id") if isinstance(body, dict) else None
        if not isinstance(wallet_id, str):
            raise bad_request("wallet_id: This field is required.")
        wallet = world.wallets.get(wallet_id)
        if wallet is None or workspace.co_id not in wallet.co_ids:
            raise bad_request("wallet_id: Wallet does not exist.")
        workspace.wallet_id = wallet.id
        world.note(workspace, "change_wallet")
        return self.show(workspace, user)

    def claim_ownership(self, call: Call) -> Response:
        world, workspace, user = self.world, self.workspace(call), self.user(call)
        if not user.has_role(workspace.co_id, "src_ws_admin"):
            raise forbidden(world.switches.forbidden_form, "Only a workspace admin can claim ownership.")
        workspace.owner_id = user.id
        world.note(workspace, "claim_ownership")
        return self.show(workspace, user)
