"""Entries of the catalog that lack what makes them usable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_src_provider.client.src import SrcClient
from airflow_src_provider.client.src.capacity import place_of
from airflow_src_provider.exceptions import InvalidInputError
from tests.unit.client.fakes import FakeSession

CO = "7f1c2a9e-3b44-4d55-8e10-2a6d1c9b7e01"
ITEM = "e7db270d-1e21-4216-9fbb-a63829d144e4"


@pytest.mark.parametrize("id_", [None, 7, "", "not an id", ["x"]])
def test_an_item_without_an_id_is_left_out(id_: Any) -> None:
    session: Any = FakeSession({"results": [{"id": id_, "name": "odd"}, {"id": ITEM, "name": "right"}], "next": None})
    assert [item["name"] for item in SrcClient(session).catalog.items(CO, ["product"])] == ["right"]


def test_an_offering_without_an_id_is_not_that_of_a_workspace_without_one() -> None:
    catalog = SimpleNamespace(items=lambda *_, **__: [{"id": ITEM}], offerings=lambda *_: [{"name": "no id"}])
    wallets = SimpleNamespace(list=lambda: [{"id": "w", "products": ["product"]}])
    workspace = {"co_id": CO, "wallet_id": "w", "meta": {"flavours": [{"id": "s", "category": "size"}]}}
    client: Any = SimpleNamespace(catalog=catalog, wallets=wallets)
    with pytest.raises(InvalidInputError, match="still in the catalog"):
        place_of(client, workspace)
