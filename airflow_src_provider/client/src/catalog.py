"""The catalog: what can be launched, on which cloud, in which size, at what price."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_src_provider.client.src import validate
from airflow_src_provider.client.src.base import Json, JsonList, Resource, objects
from airflow_src_provider.client.src.states import KINDS
from airflow_src_provider.exceptions import InvalidInputError

_PRICE_TAGS = ("cost rccs (credits/day)", "credits/day")
_NUMBER = re.compile(r"\s*(\d+(?:[.,]\d+)?)")


@dataclass(frozen=True)
class Flavour:
    """One choice of an offering: an operating system, or a size. Numbers come from its tags, ``None`` if not told.

    :param category: ``os`` or ``size``.
    :param active: whether it may be chosen.
    :param available: whether there is room right now; ``None`` when that is not checked.
    :param cpus: number of cores.
    :param gpus: number of GPUs.
    :param ram_gb: memory in GB.
    :param storage_gb: boot disk in GB.
    :param credits_per_day: price in credits for 24 hours of running.
    :param raw: the flavour as the service sent it.
    """

    id: str
    name: str
    category: str
    active: bool
    available: bool | None
    cpus: float | None
    gpus: float | None
    ram_gb: float | None
    storage_gb: float | None
    credits_per_day: float | None
    raw: Json

    @classmethod
    def of(cls, raw: Json) -> Flavour:
        """Read a flavour, whatever is missing in it."""
        tags = _tags(raw)
        available = raw.get("available")
        prices = (_number(tags.get(key)) for key in _PRICE_TAGS)
        return cls(
            id=str(raw.get("id") or ""),
            name=str(raw.get("name") or ""),
            category=str(raw.get("category") or "").lower(),
            active=str(raw.get("status") or "active").lower() == "active",
            available=available if isinstance(available, bool) else None,
            cpus=_number(tags.get("cpu")),
            gpus=_number(tags.get("gpu")),
            ram_gb=_number(tags.get("ram [gb]")),
            storage_gb=_number(tags.get("storage [gb]")),
            credits_per_day=next((price for price in prices if price is not None), None),
            raw=raw,
        )


def _tags(flavour: Mapping[str, Any]) -> dict[str, Any]:
    return {str(tag.get("key")).strip().lower(): tag.get("value") for tag in objects(flavour.get("tags"))}


def _number(value: object) -> float | None:
    found = _NUMBER.match(str(value)) if isinstance(value, str | int | float) else None
    return float(found[1].replace(",", ".")) if found else None


def flavours_of(offering_or_meta: Mapping[str, Any], category: str | None = None) -> Sequence[Flavour]:
    """Return the flavours of an offering, or of a workspace's ``meta``.

    :param category: only ``os`` or only ``size``; default both.
    """
    found = [Flavour.of(raw) for raw in objects(offering_or_meta.get("flavours"))]
    return [flavour for flavour in found if category in (None, flavour.category)]


def parameters_of(offering: Mapping[str, Any]) -> Sequence[str]:
    """Return the keys of the parameters that an offering takes; there are two forms of it."""
    keys = [entry.get("key") for entry in objects(offering.get("overridable_parameters"))]
    optional = offering.get("optional_parameters")
    keys += list(optional) if isinstance(optional, dict) else []
    return [key for key in dict.fromkeys(keys) if isinstance(key, str)]


class Catalog(Resource):
    """The catalog service."""

    _service = "catalog"

    def items(self, co_id: str, products: Sequence[str], *, application_type: str = "Compute") -> JsonList:
        """Return the catalog items that a collaboration can launch with these products; 100 per call.

        What has no id cannot be launched, and is left out.

        :param co_id: id of the collaboration.
        :param products: see ``wallets.products_of``.
        :param application_type: kind, default ``Compute``.
        """
        if application_type not in KINDS:
            raise InvalidInputError("application_type", application_type, f"one of {', '.join(KINDS)}")
        params = {
            "co": validate.uuid(co_id, "co_id"),
            "product": validate.texts(products, "products"),
            "type": application_type,
        }
        return [item for item in self._pages("catalog_items/offerings/", params) if validate.is_uuid(item.get("id"))]

    def offerings(self, item_id: str, co_id: str, products: Sequence[str]) -> JsonList:
        """Return the offerings of one catalog item, one per cloud subscription; 100 per call.

        :param item_id: id of the catalog item.
        :param co_id: id of the collaboration.
        :param products: see ``wallets.products_of``.
        """
        params = {"co": validate.uuid(co_id, "co_id"), "product": validate.texts(products, "products")}
        item = quote(validate.uuid(item_id, "catalog_item"), safe="")
        return self._pages(f"catalog_items/{item}/offerings/", params)
