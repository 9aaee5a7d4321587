"""From names to the body that creates a workspace.

Names are not unique anywhere in these services, so a name that fits nothing or more than one thing is refused with
the choices, and never guessed. What is given as an id is not looked up.

Calls: at most one each for collaboration, wallet, catalog item, offering, storages, networks, IPs; two (wallet and
offering) when everything is given as an id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.base import Json, JsonList, mapping
from airflow_src_provider.client.src.bodies import create_body, interactive_parameters
from airflow_src_provider.client.src.catalog import Flavour, flavours_of, parameters_of
from airflow_src_provider.client.src.states import KINDS, raw_status
from airflow_src_provider.client.src.wallets import products_of
from airflow_src_provider.exceptions import InvalidInputError

if TYPE_CHECKING:
    from airflow_src_provider.client.src import SrcClient

DEFAULT_CLOUD = "SURF HPC Cloud"

_SHOWN_CHOICES = 40


@dataclass(frozen=True)
class Resolution:
    """What a workspace will be made of.

    :param body: for ``workspaces.create``.
    :param place: where it will be launched.
    :param size: the chosen size, ``None`` for kinds without one.
    :param available: whether there is room for that size right now; ``None`` when that is not checked.
    :param chosen: the arguments again with ids in the place of names, to be logged and pasted back.
    :param warnings: what is odd, but no reason to refuse.
    """

    body: Json
    place: Place
    size: Flavour | None
    available: bool | None
    chosen: Json
    warnings: tuple[str, ...]


def pick(
    candidates: Iterable[Mapping[str, Any]],
    wanted: str,
    parameter: str,
    *,
    name_of: Callable[[Mapping[str, Any]], object],
) -> Mapping[str, Any]:
    """Return the one candidate with this id or exactly this name.

    :param wanted: id or name.
    :param parameter: what the user calls it, for the message.
    :param name_of: reads the name of a candidate.
    :raises InvalidInputError: when none or several fit, listing the choices.
    """
    choices = [candidate for candidate in candidates if isinstance(candidate.get("id"), str)]
    by_id = [candidate for candidate in choices if candidate["id"].lower() == wanted.lower()]
    fitting = by_id or [candidate for candidate in choices if name_of(candidate) == wanted]
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(f"{name_of(one)!r} ({one['id']})" for one in (fitting or choices)[:_SHOWN_CHOICES])
    hidden = max(len(fitting or choices) - _SHOWN_CHOICES, 0)
    shown += f" and {hidden} more" if hidden else ""
    if fitting:
        raise InvalidInputError(parameter, wanted, f"{len(fitting)} have this name; give an id: {shown}")
    raise InvalidInputError(parameter, wanted, f"the name or id of one of: {shown or '(there is none)'}")


def _name(candidate: Mapping[str, Any]) -> object:
    return candidate.get("name")


@dataclass(frozen=True)
class Place:
    """Where something can be launched.

    :param co: the collaboration; just its ``id`` when it was given as one, likewise ``item``.
    :param wallet: the wallet.
    :param products: what the wallet can pay for.
    :param item: the catalog item.
    :param offering: the item on one cloud.
    """

    co: Mapping[str, Any]
    wallet: Mapping[str, Any]
    products: Sequence[str]
    item: Mapping[str, Any]
    offering: Mapping[str, Any]


def locate(
    client: SrcClient,
    *,
    collaboration: str,
    wallet: str,
    catalog_item: str,
    cloud: str = DEFAULT_CLOUD,
    application_type: str = "Compute",
) -> Place:
    """Find an offering; two calls when all are ids, one more for each name.

    :raises InvalidInputError: what is none or several, with the choices.
    """
    if validate.is_uuid(collaboration):
        co: Mapping[str, Any] = {"id": collaboration.lower()}
    else:
        cos = client.users.collaborations()
        co = pick(cos, collaboration, "collaboration", name_of=lambda one: one.get("co_name"))
    payer = pick(client.wallets.list(), wallet, "wallet", name_of=_name)
    products = products_of(payer)
    if validate.is_uuid(catalog_item):
        item: Mapping[str, Any] = {"id": catalog_item.lower()}
    else:
        items = client.catalog.items(co["id"], products, application_type=application_type)
        item = pick(items, catalog_item, "catalog_item", name_of=_name)
    offerings = client.catalog.offerings(item["id"], co["id"], products)
    return Place(co, payer, products, item, _pick_offering(offerings, cloud, application_type))


def pick_flavour(offering: Mapping[str, Any], category: str, wanted: str | None, parameter: str) -> Flavour:
    """Return the active flavour with this id or name; without one, the only one there is.

    :raises InvalidInputError: none or several fit, with the choices.
    """
    active = [flavour for flavour in flavours_of(offering, category) if flavour.active]
    if wanted is None and len(active) == 1:
        return active[0]
    chosen = pick([flavour.raw for flavour in active], wanted or "", parameter, name_of=_name)
    return Flavour.of(dict(chosen))


def _attachments(client: SrcClient, co_id: str, kind: str, wanted: Sequence[str], parameter: str) -> JsonList:
    """Return the workspaces to attach; one call, none when all are ids."""
    if all(validate.is_uuid(one) for one in wanted):
        return [{"id": one.lower()} for one in wanted]
    there = client.workspaces.list(co_id=co_id, application_type=kind)
    found = [dict(pick(there, one, parameter, name_of=_name)) for one in wanted]
    for one in found:
        if raw_status(one) != "available":
            allowed = f"one that is available; the status of this one is {raw_status(one)!r}"
            raise InvalidInputError(parameter, one.get("name"), allowed)
    return found


def resolve_create(
    client: SrcClient,
    *,
    collaboration: str,
    wallet: str,
    catalog_item: str,
    name: str,
    size: str | None = None,
    os_flavour: str | None = None,
    cloud: str = DEFAULT_CLOUD,
    application_type: str = "Compute",
    end_time: datetime | str | None = None,
    host_name: str | None = None,
    description: str = "",
    storages: Iterable[str] = (),
    networks: Iterable[str] = (),
    ips: Iterable[str] = (),
    parameters: Mapping[str, str] | None = None,
    resource_type: str | None = None,
) -> Resolution:
    """Look up everything that a new workspace needs and build the body that creates it.

    Every reference is a name or an id. Nothing is created here.

    :param collaboration: the collaboration (CO).
    :param wallet: the wallet that pays.
    :param catalog_item: what to launch.
    :param name: name of the new workspace.
    :param size: size flavour; default the only one there is. Networks and IPs may have none.
    :param os_flavour: operating system flavour, for Compute; default the only one there is.
    :param cloud: name of the cloud, or id of the offering; default ``"SURF HPC Cloud"``. For a network, the cloud's
        network subscription is taken.
    :param application_type: kind, default ``Compute``.
    :param end_time: when it expires; needed for Compute, not allowed for the others.
    :param host_name: default made from ``name``.
    :param storages: Storage workspaces to attach; they must be available. Likewise ``networks`` and ``ips``.
    :param parameters: parameters of the catalog item by key.
    :param resource_type: for kinds whose resource type is not known, see ``bodies.RESOURCE_TYPES``.
    :raises InvalidInputError: what is none or several, is disabled, or cannot be, with the choices.
    """
    if application_type not in KINDS:
        raise InvalidInputError("application_type", application_type, f"one of {', '.join(KINDS)}")
    texts = {"collaboration": collaboration, "wallet": wallet, "catalog_item": catalog_item, "name": name}
    for parameter, value in texts.items():
        validate.text(value, parameter)
    wanted = {
        "storages": validate.texts(storages, "storages"),
        "networks": validate.texts(networks, "networks"),
        "ips": validate.texts(ips, "ips"),
    }
    _check_early(application_type, name, host_name, end_time, parameters)

    place = locate(
        client,
        collaboration=collaboration,
        wallet=wallet,
        catalog_item=catalog_item,
        cloud=cloud,
        application_type=application_type,
    )
    co, payer, item, offering = place.co, place.wallet, place.item, place.offering

    warnings: list[str] = []
    known = parameters_of(offering)
    unknown = [key for key in parameters or {} if key not in known]
    if unknown and known:
        warnings.append(f"parameters that the offering does not name: {', '.join(unknown)}")
    system = pick_flavour(offering, "os", os_flavour, "os_flavour") if application_type == "Compute" else None
    has_size = size is not None or application_type in ("Compute", "Storage")
    chosen_size = pick_flavour(offering, "size", size, "size") if has_size else None
    if chosen_size is not None and chosen_size.available is False:
        warnings.append(f"there is no room for the size {chosen_size.name!r} right now")
    found = {
        parameter: _attachments(client, co["id"], kind, wanted[parameter], parameter)
        for parameter, kind in (("storages", "Storage"), ("networks", "Network"), ("ips", "IP"))
    }

    flavours = [flavour for flavour in (system, chosen_size) if flavour is not None]
    body = create_body(
        co=co,
        wallet=payer,
        offering=offering,
        name=name,
        application_type=application_type,
        application_icon=str(item.get("icon") or ""),
        description=description,
        end_time=end_time,
        host_name=host_name,
        flavours=[flavour.raw for flavour in flavours],
        parameters=parameters,
        resource_type=resource_type,
        **found,
    )
    chosen = {
        "collaboration": co["id"],
        "wallet": payer["id"],
        "catalog_item": item["id"],
        "cloud": offering["id"],
        "os_flavour": system.id if system else None,
        "size": chosen_size.id if chosen_size else None,
        "name": name,
        "host_name": body["meta"]["host_name"],
        "end_time": body.get("end_time"),
        **{parameter: [one["id"] for one in there] for parameter, there in found.items()},
    }
    return Resolution(
        body=body,
        place=place,
        size=chosen_size,
        available=chosen_size.available if chosen_size else None,
        chosen={key: value for key, value in chosen.items() if value not in (None, [])},
        warnings=tuple(warnings),
    )


def _check_early(
    kind: str,
    name: str,
    host_name: str | None,
    end_time: datetime | str | None,
    parameters: Mapping[str, str] | None,
) -> None:
    """Refuse before the first call what the body would refuse after the last."""
    if (end_time is not None) != (kind == "Compute"):
        raise InvalidInputError("end_time", end_time, "needed for Compute, not allowed for the other kinds")
    if end_time is not None:
        validate.moment(end_time, "end_time")
    if host_name is None:
        validate.host_name_from(name)
    else:
        validate.host_name(host_name)
    interactive_parameters(parameters)


def _pick_offering(offerings: JsonList, cloud: str, kind: str) -> Mapping[str, Any]:
    def cloud_of(offering: Mapping[str, Any]) -> object:
        return mapping(offering.get("subscription")).get("name")

    is_private_network = kind == "Network" and not validate.is_uuid(cloud) and not cloud.endswith(" Network")
    return pick(offerings, f"{cloud} Network" if is_private_network else cloud, "cloud", name_of=cloud_of)
