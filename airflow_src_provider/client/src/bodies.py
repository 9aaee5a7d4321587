"""What has to be sent to create a workspace.

Only ids decide, but the schema wants the names as well. Wiki page: "SRC API".
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow_src_provider.client.literals import literal
from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.base import Json, JsonList, mapping, objects
from airflow_src_provider.client.src.states import KINDS
from airflow_src_provider.exceptions import InvalidInputError

RESOURCE_TYPES = {"Compute": "VM", "Network": "Private-Network", "Storage": "Storage-Volume", "IP": "IP"}
"""``subscription_resource_type`` by kind; that of IP is not known and can be given."""

_META_OF_TEMPLATE = (
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
    "flavours",
    "ips",
    "networks",
    "dataset_names",
    "dataset_ids",
    "interactive_parameters",
    "wallet_name",
    "wallet_id",
)


#: A mark at the end of a description.
_MARK = re.compile(r"\s*\[airflow ([0-9a-f]{16}-[0-9a-f]{8})\]")


def marked(description: str, mark: str) -> str:
    """Return a description that says, at its end, which request the workspace comes from.

    :param description: what people read; another mark in it, as in that of a copied workspace, is dropped.
    :param mark: 16 and 8 hexadecimal digits, with a hyphen between them.
    """
    return f"{_MARK.sub('', description)} [airflow {mark}]".strip()


def mark_of(workspace: Mapping[str, Any]) -> str | None:
    """Return the mark in the description of a workspace."""
    found = _MARK.findall(str(workspace.get("description")))
    return found[-1] if found else None


def reference(workspace: Mapping[str, Any]) -> Json:
    """Return how another workspace (storage, network, IP) is referred to; its id alone is not enough."""
    return {"id": workspace["id"], "name": workspace.get("name") or workspace["id"], "type": "Workspace"}


def interactive_parameters(parameters: Mapping[str, str] | None) -> JsonList:
    """Return the parameters of a catalog item in the form of the service.

    :param parameters: value by key; values are text of one line.
    :raises InvalidInputError: for any other value.
    """
    parameters = literal(parameters)
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidInputError("parameters", parameters, "a mapping of text to text")
    for key, value in (parameters or {}).items():
        validate.text(key, "parameters")
        if not isinstance(value, str) or "\n" in value or "\r" in value:
            raise InvalidInputError(f"parameters[{key!r}]", value, "text of one line")
    return [{"key": key, "value": value} for key, value in (parameters or {}).items()]


def create_body(
    *,
    co: Mapping[str, Any],
    wallet: Mapping[str, Any],
    offering: Mapping[str, Any],
    name: str,
    application_type: str = "Compute",
    application_icon: str = "",
    description: str = "",
    end_time: datetime | str | None = None,
    host_name: str | None = None,
    flavours: Iterable[Mapping[str, Any]] = (),
    storages: Iterable[Mapping[str, Any]] = (),
    networks: Iterable[Mapping[str, Any]] = (),
    ips: Iterable[Mapping[str, Any]] = (),
    parameters: Mapping[str, str] | None = None,
    resource_type: str | None = None,
) -> Json:
    """Build the body that creates a Compute, Storage, IP or Network workspace.

    :param co: the collaboration, with ``id`` and ``co_name``.
    :param wallet: the wallet, with ``id`` and ``name``.
    :param offering: the offering, as the catalog returned it.
    :param name: name in the portal.
    :param application_type: kind, default ``Compute``.
    :param application_icon: icon of the catalog item; default none.
    :param end_time: when it expires; needed for Compute, not allowed for the others.
    :param host_name: default made from ``name``.
    :param flavours: the chosen flavours, with ``id``, ``name``, ``category``.
    :param storages: workspaces of that kind to attach, with ``id`` and ``name``; likewise networks and ips.
    :param parameters: parameters of the catalog item by key.
    :param resource_type: default by kind, see :data:`RESOURCE_TYPES`.
    :raises InvalidInputError: for a kind that does not exist, or an end time where it does not belong.
    """
    if application_type not in KINDS:
        raise InvalidInputError("application_type", application_type, f"one of {', '.join(KINDS)}")
    if (end_time is not None) != (application_type == "Compute"):
        raise InvalidInputError("end_time", end_time, "needed for Compute, not allowed for the other kinds")
    subscription = mapping(offering.get("subscription"))
    body: Json = {
        "co_id": co["id"],
        "wallet_id": wallet["id"],
        "name": validate.text(name, "name"),
        "description": description,
        "meta": {
            "application_offering_id": offering["id"],
            "application_name": mapping(offering.get("application")).get("name") or "",
            "application_icon": application_icon,
            "application_type": application_type,
            "subscription_tag": subscription.get("tag") or "",
            "subscription_name": subscription.get("name") or "",
            "subscription_group_id": mapping(subscription.get("subscription_group")).get("id") or "",
            "subscription_resource_type": resource_type or RESOURCE_TYPES[application_type],
            "co_name": co.get("co_name") or co["id"],
            "host_name": validate.host_name_from(name) if host_name is None else validate.host_name(host_name),
            "flavours": [{key: one.get(key) for key in ("id", "name", "category")} for one in flavours],
            "storages": [reference(one) for one in storages],
            "ips": [reference(one) for one in ips],
            "networks": [reference(one) for one in networks],
            "dataset_names": [],
            "dataset_ids": [],
            "interactive_parameters": interactive_parameters(parameters),
            "wallet_name": wallet.get("name") or wallet["id"],
            "wallet_id": wallet["id"],
        },
    }
    if end_time is not None:
        body["end_time"] = validate.moment(end_time, "end_time")
    return body


def body_from_workspace(
    workspace: Mapping[str, Any],
    *,
    name: str,
    end_time: datetime | str | None = None,
    host_name: str | None = None,
    description: str | None = None,
    wallet: Mapping[str, Any] | None = None,
) -> Json:
    """Build the body that creates another workspace like an existing one.

    Storages are left out: they are attached to the original.

    :param workspace: the existing one, complete.
    :param name: name of the new one.
    :param end_time: when the new one expires; needed for Compute.
    :param host_name: default made from ``name``.
    :param description: default that of the original.
    :param wallet: another wallet, with ``id`` and ``name``; default that of the original.
    :raises InvalidInputError: when the original lacks what is needed, e.g. because it is still being created.
    """
    meta = mapping(workspace.get("meta"))
    missing = [key for key in ("application_offering_id", "application_type") if not meta.get(key)]
    missing += [key for key in ("co_id", "wallet_id") if not workspace.get(key)]
    if missing:
        raise InvalidInputError("from_workspace", workspace.get("id"), f"a workspace that has {', '.join(missing)}")
    is_compute = meta["application_type"] == "Compute"
    if (end_time is not None) != is_compute:
        raise InvalidInputError("end_time", end_time, "needed for Compute, not allowed for the other kinds")
    paid_by = wallet or {"id": workspace["wallet_id"], "name": meta.get("wallet_name")}
    copied = {key: copy.deepcopy(meta[key]) for key in _META_OF_TEMPLATE if key in meta}
    copied["storages"] = []
    for part in ("ips", "networks"):
        copied[part] = [reference(one) for one in objects(copied.get(part)) if one.get("id")]
    given = copied.get("interactive_parameters")
    copied["interactive_parameters"] = [given] if isinstance(given, dict) and given else objects(given)
    copied["host_name"] = validate.host_name_from(name) if host_name is None else validate.host_name(host_name)
    copied["wallet_id"] = paid_by["id"]
    copied["wallet_name"] = paid_by.get("name") or paid_by["id"]
    body: Json = {
        "co_id": workspace["co_id"],
        "wallet_id": paid_by["id"],
        "name": validate.text(name, "name"),
        "description": (workspace.get("description") or "") if description is None else description,
        "meta": copied,
    }
    if end_time is not None:
        body["end_time"] = validate.moment(end_time, "end_time")
    return body
