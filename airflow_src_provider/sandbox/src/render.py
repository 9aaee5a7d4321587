"""The JSON forms in which the service shows its objects.

Field names follow the API pages of the workspace, user, wallet and catalog services of SURF Research Cloud.
"""

from __future__ import annotations

from typing import Any

from ..clock import Clock
from .model import RESOURCE_TYPES, Action, Flavour, Item, Offering, User, Wallet, Workspace
from .store import Store


def moment(seconds: float | None) -> str | None:
    return None if seconds is None else Clock.iso(seconds, micros=True)


def possible_actions(workspace: Workspace, status: str) -> list[str]:
    """Actions that the state allows, whoever asks."""
    if workspace.kind != "Compute":
        return []
    if status == "paused":
        return ["resume", "update_nsgs", "update_storages"]
    if status != "running":
        return []
    running = ["pause", "reboot", "update_nsgs", "update_storages"]
    # Storage cannot be changed on a running Oracle machine.
    return running[:-1] if workspace.offering.subscription.cloud_type == "oracle" else running


def is_deletable(workspace: Workspace, status: str) -> bool:
    return not workspace.attached_to and status in (
        "running", "paused", "available", "failed", "full", "unhealthy", "unknown"
    )  # fmt: skip


def workspace_json(store: Store, workspace: Workspace, user: User) -> dict[str, Any]:
    switches = store.switches
    status = store.shown_status(workspace)
    may = store.may_manage(user, workspace)
    possible = possible_actions(workspace, status)
    shown = {
        "id": workspace.id,
        "name": workspace.name,
        "description": workspace.description,
        "status": status,
        "active": status == "running" if workspace.kind == "Compute" else status in ("available", "in-use"),
        "actions": possible,
        "allowed_actions": possible if may else [],
        "deletable": may and is_deletable(workspace, status),
        "editable": may and status not in ("deleting", "deleted"),
        "co_id": workspace.co_id,
        "owner_id": workspace.owner_id,
        "wallet_id": workspace.wallet_id,
        "time_created": moment(workspace.created),
        "time_deleted": moment(workspace.deleted_at),
        "end_time": None if switches.null_end_time else moment(workspace.end_time),
        "network_security_group_rules": list(workspace.rules),
        "workspace_actions": {} if switches.history_as_object else history_json(store, workspace),
        "resource_meta": {} if switches.empty_resource_meta else resource_meta(store, workspace),
        "meta": {} if switches.empty_meta else meta(store, workspace),
    }
    return shown | workspace.overrides


def history_json(store: Store, workspace: Workspace) -> list[dict[str, Any]]:
    horizon = store.now()
    if store.switches.stale_history and horizon < workspace.stale_until:
        horizon = workspace.stale_until - store.switches.stale_seconds - 1e-6
    visible = [action for action in reversed(workspace.history) if action.created <= horizon]
    return [action_json(store, workspace, action) for action in visible]


def action_json(store: Store, workspace: Workspace, action: Action) -> dict[str, Any]:
    return {
        "id": action.id,
        "type": action.type,
        "status": action.status,
        "reason": action.reason,
        "time_created": moment(action.created),
        "time_updated": moment(action.updated),
        "issuer_display_name": None if store.switches.null_issuer else action.issuer,
        "workspace": workspace.id,
        "next_action": action.next_action,
        "action_parameters": action.parameters,
        "result": action.result,
    }


def fqdn(store: Store, workspace: Workspace) -> str:
    host = workspace.host_name.replace("_", "-")
    return f"{host}.{store.cos[workspace.co_id].short_name[:15]}.src.surf-hosted.nl"


def resource_meta(store: Store, workspace: Workspace) -> dict[str, Any]:
    subscription, number = workspace.offering.subscription, workspace.number
    if workspace.status == "creating" and not _address_known(store, workspace):
        return {}
    shown: dict[str, Any] = {
        "cloud_type": subscription.cloud_type,
        "subscription": subscription.tag,
        "subscription_group": subscription.group_id,
        "workspace_id": workspace.id,
        "resource_type": RESOURCE_TYPES[workspace.kind],
        "workspace_fqdn": fqdn(store, workspace),
        "application_type": workspace.kind,
    }
    if workspace.kind == "Storage":
        return shown | {"volume_id": f"volume-{number}", "service_url": ""}
    if workspace.kind == "IP":
        about = {"address": workspace.address, "description": workspace.description}
        return shown | {"ip_id": f"ip-{number}"} | about
    if workspace.kind == "Network":
        return shown | {
            "vpc_id": f"vpc-{number}",
            "router_id": f"router-{number}",
            "subnet_id": f"subnet-{number}",
            "network_id": f"network-{number}",
            "network_name": workspace.name,
            "subnet_cidr": "10.10.10.0/24",
            "description": workspace.description,
        }
    shown |= {
        "id": workspace.id,
        "vm_id": str(40000 + number),
        "image_id": "1887",
        "public_key": "ssh-rsa AAAA",
        "flavor_name": workspace.size.cloud_name if workspace.size else "",
        "secgroup_id": "211",
        "network_secgroup_id": "212",
        "service_url": f"https://{fqdn(store, workspace)}",
        "instance_user": "ubuntu",
        "boot_volume_size": 50,
        "boot_volume_type": "nvme",
        "min_os_disk_size": 20,
        "terraform_script_version": 2.0,
    }
    if _address_known(store, workspace) and not store.switches.hide_ip:
        shown["ip"] = workspace.address
    return shown


def _address_known(store: Store, workspace: Workspace) -> bool:
    return workspace.address_at is not None and store.now() >= workspace.address_at


def meta(store: Store, workspace: Workspace) -> dict[str, Any]:
    offering, co, wallet = workspace.offering, store.cos[workspace.co_id], store.wallets[workspace.wallet_id]
    owner = store.users[workspace.owner_id]
    subscription = offering.subscription
    storages = [
        reference(store, each) | {"index": index, "volume_id": f"volume-{store.workspaces[each].number}"}
        for index, each in enumerate(workspace.storages)
    ]
    return {
        "application_name": offering.application_name,
        "application_type": workspace.kind,
        "application_icon": store.items[offering.item_id].icon,
        "application_offering_id": offering.id,
        "subscription_name": subscription.name,
        "subscription_tag": subscription.tag,
        "subscription_group_id": subscription.group_id,
        "subscription_resource_type": RESOURCE_TYPES[workspace.kind],
        "co_id": co.id,
        "co_name": co.name,
        "co_scz_id": f"scz-{co.short_name}",
        "owner_id": owner.id,
        "owner_scz_id": f"scz-{owner.username}",
        "wallet_id": wallet.id,
        "wallet_name": wallet.name,
        "workspace_id": workspace.id,
        "workspace_name": workspace.name,
        "workspace_fqdn": fqdn(store, workspace),
        "host_name": workspace.host_name,
        "flavours": [_brief_flavour(flavour) for flavour in workspace.flavours],
        "storages": storages,
        "ips": [reference(store, each) for each in workspace.ips],
        "networks": [reference(store, each) for each in workspace.networks],
        "dataset_ids": workspace.dataset_ids,
        "dataset_names": workspace.dataset_names,
        "parameters": [],
        "interactive_parameters": workspace.parameters,
        "additional_user_actions": [],
    } | (
        {}
        if workspace.kind == "Compute"
        else {"attached_to": [{"id": each, "type": "Workspace"} for each in workspace.attached_to]}
    )


def reference(store: Store, workspace_id: str) -> dict[str, Any]:
    return {"id": workspace_id, "type": "Workspace", "name": store.workspaces[workspace_id].name}


def _brief_flavour(flavour: Flavour) -> dict[str, Any]:
    return {
        "id": flavour.id,
        "name": flavour.name,
        "category": flavour.category,
        "status": flavour.status,
        "tags": flavour.tags,
    }


def flavour_json(flavour: Flavour) -> dict[str, Any]:
    return _brief_flavour(flavour) | {
        "available": None if flavour.category == "os" else flavour.free is None or flavour.free > 0,
        "description": flavour.name,
        "subtitle": "",
        "support_url": "",
        "created_at": "2023-02-01T09:00:00.000000Z",
        "modified_at": "2026-06-01T09:00:00.000000Z",
        "accounting_products": [],
    }


def offering_json(offering: Offering, flavours: list[Flavour], as_object: bool) -> dict[str, Any]:
    subscription = offering.subscription
    shown = {
        "id": offering.id,
        "application": {"name": offering.application_name},
        "subscription": {
            "name": subscription.name,
            "tag": subscription.tag,
            "cloud_status": subscription.cloud_status,
            "subscription_group": {"id": subscription.group_id},
        },
        "flavours": [flavour_json(flavour) for flavour in flavours],
    }
    if as_object:
        return shown | {"optional_parameters": {key: {} for key in offering.parameters}}
    return shown | {"overridable_parameters": [{"key": key} for key in offering.parameters]}


def item_json(item: Item) -> dict[str, Any]:
    return {"id": item.id, "name": item.name, "icon": item.icon}


def user_json(store: Store, user: User) -> dict[str, Any]:
    def co_json(co_id: str, roles: set[str]) -> dict[str, Any]:
        sram = f"sram-{store.cos[co_id].short_name}" if store.switches.co_id_differs else co_id
        return {"id": co_id, "co_id": sram, "co_name": store.cos[co_id].name, "roles": sorted(roles)}

    return {
        "id": user.id,
        "username": user.username,
        "display_name": user.display_name,
        "COs": [co_json(co_id, roles) for co_id, roles in user.roles.items()],
    }


def wallet_json(wallet: Wallet) -> dict[str, Any]:
    return {"id": wallet.id, "name": wallet.name, "budgets": wallet.budgets}
