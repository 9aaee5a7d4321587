"""Checking the order of a new workspace, and placing it."""

from __future__ import annotations

import re
from typing import Any

from .model import KINDS, RESOURCE_TYPES, Flavour, Offering, User, Workspace
from .orders import check_end_time, check_part
from .problems import bad_request, forbidden
from .world import World

META_TEXTS = (
    "application_offering_id",
    "application_name",
    "application_icon",
    "application_type",
    "subscription_tag",
    "subscription_name",
    "subscription_group_id",
    "subscription_resource_type",
    "co_name",
    "host_name",
    "wallet_name",
    "wallet_id",
)
LEFT_OUT_IN_PRACTICE = ("application_icon", "subscription_name")
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")


def create(world: World, user: User, body: Any) -> Workspace:
    """Place the order and return the workspace, which is `creating` as soon as the queue gets to it.

    :raises Refusal: 400 with every finding, 403 without the right to spend, 503 when the queue is full.
    """
    _check_form(world, body)
    meta = body["meta"]
    kind = meta["application_type"]
    if body["co_id"] not in user.roles:
        raise bad_request("co_id: Collaboration does not exist.")
    wallet = world.wallets.get(body["wallet_id"])
    if wallet is None or body["co_id"] not in wallet.co_ids or meta["wallet_id"] != wallet.id:
        raise bad_request("wallet_id: Wallet does not exist.")
    if not user.has_role(body["co_id"], "src_co_wallet"):
        raise forbidden(world.switches.forbidden_form, "You may not use the wallet of this collaboration.")
    if wallet.empty:
        raise bad_request("The wallet has no budget left.")
    offering = _offering(world, body["co_id"], meta)
    flavours = _flavours(meta.get("flavours") or [], offering, wallet.products, kind)
    parts: dict[str, Any] = {key: _parts(world, user, meta, key, offering) for key in PARTS}
    additional = _additional(body)
    world.demand_room()
    workspace = world.register(
        name=body["name"],
        description=body["description"],
        kind=kind,
        status="creating",
        co_id=body["co_id"],
        owner_id=user.id,
        wallet_id=wallet.id,
        created=world.now(),
        offering=offering,
        host_name=meta["host_name"],
        flavours=flavours,
        end_time=check_end_time(world, body["end_time"]) if kind == "Compute" else None,
        parameters=_as_list(meta.get("interactive_parameters")),
        dataset_ids=meta.get("dataset_ids") or [],
        dataset_names=meta.get("dataset_names") or [],
        **parts,
    )
    for part in world.attachments(workspace):
        world.attach(workspace, part)
    world.created_names[workspace.name] += 1
    if wallet.valid:
        world.accept(workspace, [("create", {}), *additional], user)
    else:
        world.note(workspace, "create")
        world.refuse_account(workspace)
    return workspace


PARTS = {"storages": "Storage", "ips": "IP", "networks": "Network"}


def _check_form(world: World, body: Any) -> None:
    if not isinstance(body, dict):
        raise bad_request("Invalid data. Expected a dictionary.")
    findings = [
        f"{key}: This field is required."
        for key in ("co_id", "wallet_id", "name", "description")
        if not isinstance(body.get(key), str)
    ]
    if body.get("name") == "":
        findings.append("name: This field may not be blank.")
    meta = body.get("meta")
    if not isinstance(meta, dict):
        raise bad_request(*findings, "meta: This field is required.")
    optional = () if world.switches.strict_create else LEFT_OUT_IN_PRACTICE
    findings += [
        f"meta.{key}: This field is required."
        for key in META_TEXTS
        if key not in optional and not isinstance(meta.get(key), str)
    ]
    kind = meta.get("application_type")
    if kind not in KINDS:
        findings.append(f"meta.application_type: {kind!r} is not a valid choice.")
    elif kind != "IP" and meta.get("subscription_resource_type") not in (None, RESOURCE_TYPES[kind]):
        findings.append(f"meta.subscription_resource_type: must be {RESOURCE_TYPES[kind]} for {kind}.")
    if kind == "Compute" and not body.get("end_time"):
        findings.append("end_time: This field is required.")
    elif kind != "Compute" and body.get("end_time") is not None:
        findings.append(f"end_time: cannot be set for {kind}.")
    host = meta.get("host_name")
    if isinstance(host, str) and not HOST_NAME.fullmatch(host):
        findings.append("meta.host_name: only lowercase letters, digits and hyphens are allowed.")
    findings += _lists(meta)
    if findings:
        raise bad_request(*findings)
    if kind == "Compute":
        check_end_time(world, body["end_time"])


def _lists(meta: dict[str, Any]) -> list[str]:
    findings = [
        f"meta.{key}: Expected a list of items."
        for key in ("flavours", *PARTS, "dataset_ids", "dataset_names")
        if not isinstance(meta.get(key) or [], list)
    ]
    for each in _as_list(meta.get("interactive_parameters")):
        value = each.get("value") if isinstance(each, dict) and isinstance(each.get("key"), str) else None
        if not isinstance(value, str) or "\n" in value:
            findings.append("meta.interactive_parameters: each needs a key and a value of one line of text.")
    return findings


def _as_list(parameters: Any) -> list[Any]:
    # The schema of storages has one object here, the others a list.
    return parameters if isinstance(parameters, list) else [parameters] if parameters else []


def _offering(world: World, co_id: str, meta: dict[str, Any]) -> Offering:
    offering = world.offering(meta["application_offering_id"])
    item = world.items[offering.item_id] if offering else None
    if offering is None or item is None or (item.co_ids is not None and co_id not in item.co_ids):
        raise bad_request("meta.application_offering_id: Offering does not exist.")
    if item.kind != meta["application_type"]:
        raise bad_request(f"meta.application_type: this offering is of type {item.kind}.")
    if offering.subscription.group_id != meta["subscription_group_id"]:
        raise bad_request("meta.subscription_group_id: does not belong to this offering.")
    if offering.subscription.tag != meta["subscription_tag"]:
        raise bad_request("meta.subscription_tag: does not belong to this offering.")
    return offering


def _flavours(wanted: list[Any], offering: Offering, products: set[str], kind: str) -> list[Flavour]:
    offered = {flavour.id: flavour for flavour in offering.flavours}
    chosen = []
    for each in wanted:
        flavour = offered.get(str(each.get("id"))) if isinstance(each, dict) else None
        if flavour is None:
            raise bad_request("meta.flavours: a flavour is not part of this offering.")
        if flavour.status != "active":
            raise bad_request(f"meta.flavours: {flavour.name} is {flavour.status}.")
        if flavour.product is not None and flavour.product not in products:
            raise bad_request(f"meta.flavours: the wallet has no budget for {flavour.product}.")
        chosen.append(flavour)
    needed = {"Compute": ["os", "size"], "Storage": ["size"]}.get(kind, [])
    if sorted(flavour.category for flavour in chosen) != needed:
        raise bad_request(f"meta.flavours: exactly one flavour of each of {needed} is required.")
    return chosen


def _parts(world: World, user: User, meta: dict[str, Any], key: str, offering: Offering) -> list[str]:
    kind, ids = PARTS[key], []
    for each in meta.get(key) or []:
        if not isinstance(each, dict) or not {"id", "type"} <= set(each):
            raise bad_request(f"meta.{key}: Invalid data. Expected objects with id, name and type.")
        part = check_part(world, user, each["id"], kind, offering.subscription.group_id)
        if kind != "Network" and part.attached_to:
            raise bad_request(f"meta.{key}: {part.name} is attached to another workspace.")
        ids.append(part.id)
    return ids


def _additional(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    steps: list[tuple[str, dict[str, Any]]] = []
    for each in body.get("additional_actions") or []:
        kind = each.get("action") if isinstance(each, dict) else None
        if kind not in ("pause", "resume", "reboot", "delete"):
            raise bad_request(f"additional_actions: {kind!r} is not a valid action.")
        steps.append((kind, {}))
    return steps
