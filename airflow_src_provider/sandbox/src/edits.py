"""Changing the state by hand, as the administrators, the cloud or another user would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .model import Token
from .render import workspace_json
from .world import World

_WORKSPACE_KEYS = {"name", "description", "status", "rules", "log", "overrides"}


def edit(world: World, kind: str, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change one thing and return what it is now.

    ===================  ==================  ===============================================================
    kind                 key                 changes
    ===================  ==================  ===============================================================
    ``workspace``        id or name          name, description, status, rules, log, overrides, end_in
    ``add_workspaces``   prefix of the name  count, and anything :meth:`World.add_workspace` takes
    ``platform``         id or name          type and reason of an operation that the platform starts
    ``plan``             operation or ``*``  how the next ones end, see :class:`.model.Plan`
    ``flavour``          id or name          free (number or null), status
    ``wallet``           id or name          empty, valid
    ``token``            user name           expires_in (seconds), purged, active, value (a new token)
    ``user``             user name           roles: names by collaboration name
    ===================  ==================  ===============================================================

    :raises KeyError: when there is no such kind or thing.
    :raises ValueError: when a change is unknown.
    """
    handlers = {
        "workspace": _workspace,
        "add_workspaces": _add,
        "platform": _platform,
        "plan": _plan,
        "flavour": _flavour,
        "wallet": _wallet,
        "token": _token,
        "user": _user,
    }
    if kind not in handlers:
        raise KeyError(f"no kind {kind!r}; known: {', '.join(handlers)}")
    return handlers[kind](world, key, dict(changes))


def _only(changes: Mapping[str, Any], known: set[str]) -> None:
    if unknown := set(changes) - known:
        raise ValueError(f"unknown keys {sorted(unknown)}; known: {', '.join(sorted(known))}")


def _workspace(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    _only(changes, _WORKSPACE_KEYS | {"end_in"})
    workspace = world.by_name(key)
    if "end_in" in changes:
        end_in = changes.pop("end_in")
        workspace.end_time = None if end_in is None else world.now() + end_in
        world.watch_end(workspace)
    for name, value in changes.items():
        setattr(workspace, name, value)
    return workspace_json(world, workspace, world.users[workspace.owner_id])


def _add(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    added = world.add_workspaces(changes.pop("count", 1), key, **changes)
    return {"ids": [workspace.id for workspace in added]}


def _platform(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    _only(changes, {"type", "reason"})
    workspace = world.by_name(key)
    if workspace.busy:
        raise ValueError(f"{workspace.name} is busy")
    world.platform(workspace, changes["type"], changes.get("reason", "ADMIN"))
    return workspace_json(world, workspace, world.users[workspace.owner_id])


def _plan(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    return asdict(world.plan(key, **changes))


def _flavour(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    _only(changes, {"free", "status"})
    flavour = world.pick(world.flavours.values(), "name", key)
    flavour.status = changes.get("status", flavour.status)
    if "free" in changes:
        world.set_free(flavour, changes["free"])
    return asdict(flavour)


def _wallet(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    _only(changes, {"empty", "valid"})
    wallet = world.pick(world.wallets.values(), "name", key)
    wallet.valid = changes.get("valid", wallet.valid)
    wallet.empty = changes.get("empty", wallet.empty)
    if wallet.empty:
        world.deplete_wallet(wallet.id)
    return asdict(wallet)


def _token(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    _only(changes, {"expires_in", "purged", "active", "value"})
    user = world.pick(world.users.values(), "username", key)
    mine = [token for token in world.tokens.values() if token.user_id == user.id]
    if "value" in changes:
        mine = [world.tokens.setdefault(changes["value"], Token(changes["value"], user.id))]
    for token in mine:
        token.purged = changes.get("purged", token.purged)
        token.active = changes.get("active", token.active)
        if "expires_in" in changes:
            expires_in = changes["expires_in"]
            token.expires_at = None if expires_in is None else world.now() + expires_in
    return {"user": user.username, "tokens": len(mine)}


def _user(world: World, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    _only(changes, {"roles"})
    user = world.pick(world.users.values(), "username", key)
    user.roles = {
        world.pick(world.cos.values(), "name", name).id: set(names) for name, names in changes["roles"].items()
    }
    return {"user": user.username, "roles": changes["roles"]}
