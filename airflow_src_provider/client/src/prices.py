"""What machines cost while they run. The only source is a tag of their size.

A workspace may show its size without tags; then the catalog tells them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_src_provider.client.src.base import mapping
from airflow_src_provider.client.src.catalog import flavours_of
from airflow_src_provider.client.src.states import KINDS, kind_of
from airflow_src_provider.client.src.wallets import products_of
from airflow_src_provider.exceptions import BadRequestError, ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from airflow_src_provider.client.src import SrcClient


def credits_per_day(client: SrcClient, workspaces: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the price of 24 hours of running, in credits, by workspace id; unknown ones are missing.

    No call when the workspaces say it themselves; else one for the wallets, and for each wallet and collaboration one
    for the catalog items and one per item until all sizes are found.

    Wiki pages: "SRC API", "Wallets".
    """
    workspaces = list(workspaces)
    sizes = {str(one["id"]): flavours_of(mapping(one.get("meta")), "size")[:1] for one in workspaces}
    known = {
        size.id: size.credits_per_day for found in sizes.values() for size in found if size.credits_per_day is not None
    }
    missing: dict[tuple[str, str, str], set[str]] = {}
    for one in workspaces:
        for size in sizes[str(one["id"])]:
            if size.id not in known:
                place = (str(one.get("co_id")), str(one.get("wallet_id")), kind_of(one) or KINDS[0])
                missing.setdefault(place, set()).add(size.id)
    if missing:
        products = {str(wallet.get("id")): products_of(wallet) for wallet in client.wallets.list()}
        for (co, wallet, kind), wanted in missing.items():
            if products.get(wallet) and wanted - set(known):
                with contextlib.suppress(BadRequestError, ForbiddenError, NotFoundError):
                    known |= _from_catalog(client, co, products[wallet], kind, wanted - set(known))
    return {id_: known[size.id] for id_, found in sizes.items() for size in found if size.id in known}


def _from_catalog(client: SrcClient, co: str, products: Any, kind: str, wanted: set[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    left = set(wanted)
    for item in client.catalog.items(co, products, application_type=kind):
        for offering in client.catalog.offerings(item["id"], co, products):
            for size in flavours_of(offering, "size"):
                left.discard(size.id)
                if size.credits_per_day is not None:
                    found[size.id] = size.credits_per_day
        if not left:
            break
    return found
