"""Is there room for a machine of some size? The catalog tells it for each size of an offering.

Nobody documents it: the portal's dialog for a new workspace reads the same field. That a resume needs the same room is
an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.src.base import Json, mapping
from airflow_src_provider.client.src.catalog import Flavour, flavours_of
from airflow_src_provider.client.src.resolve import Place
from airflow_src_provider.client.src.wallets import products_of
from airflow_src_provider.client.waiting import Seen, Wait
from airflow_src_provider.exceptions import InvalidInputError

if TYPE_CHECKING:
    from airflow_src_provider.client.src import SrcClient


def key_of(place: Place, size: Flavour) -> str:
    """Return what :class:`CapacityWait` knows a size by: all that is needed to ask for it."""
    parts = (place.co["id"], place.item["id"], place.offering["id"], size.id, ",".join(place.products))
    return "/".join(parts)


def place_of(client: SrcClient, workspace: Mapping[str, Any]) -> tuple[Place, Flavour]:
    """Find where an existing workspace was launched, and its size.

    A workspace names its offering but not its catalog item, so items are gone through, those of a similar name first.

    :raises InvalidInputError: its offering is not in the catalog any more, or it has no size.
    """
    meta = mapping(workspace.get("meta"))
    shown = workspace.get("name") or workspace.get("id")
    sizes = flavours_of(meta, "size")
    wallet = next((one for one in client.wallets.list() if one.get("id") == workspace.get("wallet_id")), None)
    if not sizes or wallet is None:
        raise InvalidInputError("workspace", shown, "a machine with a size, whose wallet you may use")
    co, products = str(workspace.get("co_id")), products_of(wallet)
    title = str(meta.get("application_name") or "").lower()
    items = client.catalog.items(co, products, application_type=str(meta.get("application_type") or "Compute"))
    for item in sorted(items, key=lambda one: not title.startswith(str(one.get("name")).lower())):
        for offering in client.catalog.offerings(item["id"], co, products):
            if isinstance(offering.get("id"), str) and offering["id"] == meta.get("application_offering_id"):
                return Place({"id": co}, wallet, products, item, offering), sizes[0]
    raise InvalidInputError("workspace", shown, "a machine whose offering is still in the catalog")


class CapacityWait(Wait):
    """Sizes for which there is no room yet.

    :param ids: see :func:`key_of`.
    """

    kind: ClassVar[str] = "capacity"
    names_itself: ClassVar[bool] = True

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        """Read the offerings; one call for each catalog item."""
        found: dict[str, Json] = {}
        offerings: dict[tuple[str, str, str], list[Json]] = {}
        for key in ids:
            co, item, offering_id, size, products = key.split("/", 4)
            asked = (co, item, products)
            if asked not in offerings:
                offerings[asked] = client.catalog.offerings(item, co, products.split(","))
            for offering in offerings[asked]:
                for flavour in flavours_of(offering, "size"):
                    if (offering.get("id"), flavour.id) == (offering_id, size):
                        found[key] = flavour.raw
        return found

    def judge(self, id_: str, found: Any) -> Seen:
        """Say whether there is room."""
        if found is None:
            return Seen("failed", "this size is not offered any more")
        flavour = Flavour.of(found)
        if not flavour.active:
            return Seen("failed", f"the size {flavour.name!r} is disabled")
        if flavour.available is False:
            return Seen("waiting", f"no room for the size {flavour.name!r}")
        told = "there is room" if flavour.available else "nothing is said about room"
        return Seen(
            "done", f"{told} for the size {flavour.name!r}", {"size": flavour.name, "available": flavour.available}
        )
