"""Wallets: who pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_src_provider.client.src.base import JsonList, Resource, objects


def products_of(wallet: Mapping[str, Any]) -> Sequence[str]:
    """Return what a wallet can pay for: the products of all its budgets, in order, each once.

    A grant has separate budgets for CPU, GPU and storage, so looking at the first budget alone would miss the GPUs.
    """
    products: dict[str, None] = {}
    for budget in objects(wallet.get("budgets")):
        names = budget.get("products")
        products.update((name, None) for name in (names if isinstance(names, list) else ()) if isinstance(name, str))
    return list(products)


class Wallets(Resource):
    """The wallet service. Wiki page: "Wallets". Other keys than id, name and budgets differ by contract."""

    _service = "wallet"

    def list(self) -> JsonList:
        """Return the wallets that the token's owner may use."""
        return self._pages("wallets/")
