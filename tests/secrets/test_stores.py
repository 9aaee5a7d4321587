"""Where requests are counted, by one host or by several, the token is known by a hash only."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.stores import StoreDownError
from tests.needs import redis_url
from tests.secrets.search import Search
from tests.secrets.world import SB_TOKEN, SRC_TOKEN


def use(settings: BudgetSettings, token: str) -> Budget:
    budget = Budget(settings, token)
    budget.acquire(5)
    budget.observe(429, {"Retry-After": "1"})
    return budget


@pytest.mark.parametrize("token", [SB_TOKEN, SRC_TOKEN], ids=["odd", "plain"])
def test_redis_keys_and_values_hold_no_token(token: str) -> None:
    client = redis.Redis.from_url(redis_url())
    settings = BudgetSettings("http://secrets.example/", 10, 60.0, store="redis://127.0.0.1:6379/0")
    pattern = f"*{settings.name(token)}*"
    try:
        use(settings, token)
        search = Search([token])
        assert search.in_redis(client, pattern) == []
        # The log and the gate.
        assert search.looked_at["keys"] >= 2
    finally:
        client.delete(*client.keys(pattern))


@pytest.mark.parametrize("token", [SB_TOKEN, SRC_TOKEN], ids=["odd", "plain"])
def test_files_hold_no_token(tmp_path: Path, token: str) -> None:
    use(BudgetSettings("http://secrets.example/", 10, 60.0, directory=tmp_path), token)
    search = Search([token])
    assert search.in_files(tmp_path) == []
    assert search.looked_at["files"] >= 3


def test_a_store_that_is_down_is_told_without_its_password() -> None:
    url = "redis://user:planted-st0re@127.0.0.1:1/0"
    store = BudgetSettings("http://secrets.example/", 10, 60.0, store=url).open_store(SRC_TOKEN)
    with pytest.raises(StoreDownError) as caught:
        store.try_acquire()
    search = Search(["planted-st0re", SRC_TOKEN])
    assert search.inside(f"{caught.value!r} {caught.value.__cause__!r} {store!r}", "the error") == []
