"""Checking what a user orders for a workspace: the body of an action and of a PATCH."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any

from .model import USER_ACTIONS, User, Workspace
from .problems import bad_request, forbidden
from .render import is_deletable, possible_actions
from .world import World

KNOWN_ACTIONS = (*USER_ACTIONS, "create", "delete", "purge", "release", "update", "use")


def parse_time(value: Any, field: str) -> float:
    """Epoch seconds of an ISO-8601 time that names its zone; 400 otherwise."""
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise bad_request(f"{field}: Datetime has wrong format.")
    return parsed.timestamp()


def check_end_time(world: World, value: Any) -> float:
    end, now, switches = parse_time(value, "end_time"), world.now(), world.switches
    if end <= now and not switches.allow_past_end_time:
        raise bad_request("end_time: must be in the future.")
    if switches.max_lifetime_days is not None and end > now + switches.max_lifetime_days * 86400:
        raise bad_request(f"end_time: must be within {switches.max_lifetime_days:g} days.")
    return end


def demand_right(world: World, user: User, workspace: Workspace) -> None:
    if not world.may_manage(user, workspace):
        world.refused[workspace.id]["forbidden"] += 1
        raise forbidden(world.switches.forbidden_form)


def order_actions(world: World, user: User, workspace: Workspace, wanted: list[tuple[str, Any]]) -> None:
    """Accept actions to be done one after the other, or refuse them all.

    :raises Refusal: 400 when one is unknown, malformed or not possible by then; 403; 503 for a full queue.
    """
    demand_right(world, user, workspace)
    status, rules = workspace.status, workspace.rules
    steps: list[tuple[str, dict[str, Any]]] = []
    for kind, body in wanted:
        if kind not in KNOWN_ACTIONS:
            raise bad_request(f'"{kind}" is not a valid action.')
        _demand_possible(world, workspace, kind, status)
        parameters: dict[str, Any] = {}
        if kind == "update_nsgs":
            rules = _check_rules(world, rules, body)
            parameters = {"network_security_group_rules": rules}
        elif kind == "update_storages":
            parameters = {"storages": _check_storages(world, user, workspace, body)}
        steps.append((kind, parameters))
        status = {"pause": "paused", "resume": "running", "delete": "deleted"}.get(kind, status)
    world.accept(workspace, steps, user)


def _demand_possible(world: World, workspace: Workspace, kind: str, status: str) -> None:
    if workspace.busy:
        world.refused[workspace.id][kind] += 1
        raise bad_request(f"Action {kind} is not possible while another action is in progress.")
    deletable = kind == "delete" and is_deletable(workspace, status)
    if not deletable and kind not in possible_actions(workspace, status):
        world.refused[workspace.id][kind] += 1
        raise bad_request(f"Action {kind} is not possible for a workspace with status {status}.")
    if kind == "resume" and world.wallets[workspace.wallet_id].empty:
        world.refused[workspace.id][kind] += 1
        raise bad_request("The wallet of this workspace has no budget left.")


def _check_rules(world: World, present: list[str], body: Any) -> list[str]:
    wanted = body.get("network_security_group_rules") if isinstance(body, dict) else None
    if not isinstance(wanted, list):
        raise bad_request("network_security_group_rules: This field is required.")
    rules = [_rule(each) for each in wanted]
    dropped = [each for each in present if each.endswith(" immutable") and each not in rules]
    added = [each for each in rules if each.endswith(" immutable") and each not in present]
    # A rule sent without its last word may mean one of the immutable ones.
    meant = {f"{each.removesuffix(' mutable')} immutable" for each in rules}
    dropped = [each for each in dropped if each not in meant]
    if added:
        raise bad_request(f"Rule {added[0]!r} cannot be added as immutable.")
    if dropped and world.switches.refuse_dropping_immutable_rules:
        raise bad_request(f"Rule {dropped[0]!r} is immutable and cannot be removed.")
    kept = [each for each in present if each.endswith(" immutable")]
    ports = {each.removesuffix(" immutable") for each in kept}
    mutable = [each for each in rules if each not in kept and each.removesuffix(" mutable") not in ports]
    return kept + list(dict.fromkeys(mutable))


def _rule(text: Any) -> str:
    words = text.split() if isinstance(text, str) else []
    if len(words) == 5:
        words.append("mutable")
    try:
        direction, protocol, low, high, network, change = words
        ipaddress.ip_network(network)
        valid = (
            direction in ("in", "out")
            and protocol in ("tcp", "udp")
            and 1 <= int(low) <= int(high) <= 65535
            and change in ("mutable", "immutable")
        )
    except ValueError:
        valid = False
    if not valid:
        raise bad_request(f"network_security_group_rules: {text!r} is not a valid rule.")
    return " ".join(words)


def _check_storages(world: World, user: User, workspace: Workspace, body: Any) -> list[dict[str, str]]:
    wanted = body.get("storages") if isinstance(body, dict) else None
    if not isinstance(wanted, list):
        raise bad_request("storages: This field is required.")
    checked = []
    for each in wanted:
        if not isinstance(each, dict) or each.get("type") != "Workspace":
            raise bad_request('storages: each needs an id and the type "Workspace".')
        storage = check_part(world, user, each.get("id"), "Storage", workspace.offering.subscription.group_id)
        if storage.attached_to not in ([], [workspace.id]):
            raise bad_request(f"storages: {storage.name} is attached to another workspace.")
        checked.append({"id": storage.id, "type": "Workspace"})
    return checked


def check_part(world: World, user: User, part_id: Any, kind: str, group_id: str) -> Workspace:
    """A Storage, IP or Network that a machine on this cloud may use."""
    part = world.workspaces.get(part_id) if isinstance(part_id, str) else None
    if part is None or part.kind != kind or part.co_id not in user.roles:
        raise bad_request(f"{kind} {part_id} does not exist.")
    if part.status not in ("available", "in-use"):
        raise bad_request(f"{kind} {part.name} is {part.status}.")
    if part.offering.subscription.group_id != group_id:
        raise bad_request(f"{kind} {part.name} is on another cloud provider.")
    return part


def patch(world: World, user: User, workspace: Workspace, body: Any) -> None:
    """Change name and end time; 400 when neither is given."""
    demand_right(world, user, workspace)
    if not isinstance(body, dict) or not {"name", "end_time"} & set(body):
        raise bad_request("At least one of name, end_time is required.")
    if workspace.status in ("deleting", "deleted"):
        raise bad_request(f"A workspace with status {workspace.status} cannot be changed.")
    name = body.get("name", workspace.name)
    if not isinstance(name, str) or not name.strip():
        raise bad_request("name: This field may not be blank.")
    if "end_time" in body:
        if workspace.kind != "Compute":
            raise bad_request(f"end_time: cannot be set for {workspace.kind}.")
        workspace.end_time = check_end_time(world, body["end_time"])
        world.watch_end(workspace)
    workspace.name = name
    world.note(workspace, "patch")
