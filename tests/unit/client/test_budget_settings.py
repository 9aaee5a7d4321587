"""What a budget may be, and which connections share one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.budget import Budget, BudgetSettings, open_budget
from airflow_src_provider.client.stores import MemoryStore, RedisStore
from airflow_src_provider.exceptions import BudgetWaitError, InvalidInputError
from tests.unit.client.server import SteppedClock
from tests.unit.client.sessions import TOKEN

URL = "https://api.example/v2/"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("limit", value) for value in (0, -1, 1.5, True, "10", None)],
        *[("window", value) for value in (0, -1, True, "60", None, 86401, float("nan"), float("inf"))],
        *[("share", value) for value in (0, -0.1, 1.01, True, "1", None, float("nan"))],
        *[
            ("store", value)
            for value in ("memcached://x", "localhost:6379", "http://x", "redis://", "redis://h:port", "redis://[::1")
        ],
    ],
)
def test_settings_without_sense_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^(rate_|budget_)" + field):
        BudgetSettings(**{"origin": URL, "limit": 10, "window": 60.0, field: value})


@given(st.integers(1, 10**6), st.floats(0.01, 86400), st.floats(0.0001, 1))
def test_settings_give_a_budget_that_can_be_used(limit: int, window: float, share: float) -> None:
    settings = BudgetSettings(URL, limit, window, share)
    assert 1 <= settings.allowed <= limit
    assert 0 < settings.margin <= 1
    clock = SteppedClock()
    budget = Budget(settings, TOKEN, store=MemoryStore(settings.allowed, window + settings.margin, clock), clock=clock)
    assert budget.acquire(timeout=0) == 0


@pytest.mark.parametrize(("window", "margin"), [(60.0, 0.5), (300.0, 1.0), (2.0, 0.05), (20.0, 20 / 120)])
def test_the_margin_grows_with_the_window(window: float, margin: float) -> None:
    assert BudgetSettings(URL, 1000, window).margin == pytest.approx(margin)


def test_a_token_has_one_name_wherever_it_is_configured() -> None:
    settings = BudgetSettings("https://api.example/v1/workspace/", 1000, 60.0)
    same = BudgetSettings("https://api.example/v1/wallet/", 500, 60.0, 0.5)
    other = BudgetSettings("https://other.example/v1/workspace/", 1000, 60.0)
    assert settings.name(TOKEN) == same.name(TOKEN)
    assert settings.name(TOKEN) != other.name(TOKEN)
    assert settings.name(TOKEN) != settings.name("another")
    name = BudgetSettings("http://[::1]:8080/", 1, 1.0).name(TOKEN)
    assert TOKEN not in name
    assert "/" not in name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


@pytest.mark.parametrize(
    ("origin", "spelt"),
    [
        ("https://api.example/v2/", "https://API.Example/v2/"),
        ("https://api.example/v2/", "HTTPS://api.example:443/v2/"),
        ("https://api.example/v2/", "https://api.example./v2/"),
        ("http://127.0.0.1/", "http://127.0.0.1:80/"),
        ("https://[::1]/", "https://[::1]:443/"),
    ],
)
def test_a_host_has_one_name_however_it_is_spelt(origin: str, spelt: str) -> None:
    assert BudgetSettings(origin, 1, 1.0).name(TOKEN) == BudgetSettings(spelt, 1, 1.0).name(TOKEN)


@pytest.mark.parametrize("other", ["https://api.example:8443/v2/", "http://api.example/v2/", "http://api.example:443/"])
def test_another_port_or_scheme_is_another_service(other: str) -> None:
    assert BudgetSettings(URL, 1, 1.0).name(TOKEN) != BudgetSettings(other, 1, 1.0).name(TOKEN)


def test_two_connections_with_one_token_share_a_budget(tmp_path: Path) -> None:
    settings = BudgetSettings(URL, 3, 60.0, directory=tmp_path)
    same = BudgetSettings(URL, 3, 60.0, directory=str(tmp_path))
    first, second, other = open_budget(settings, TOKEN), open_budget(same, TOKEN), open_budget(settings, "another")
    assert open_budget(settings, TOKEN) is first
    for budget in (first, second, first):
        budget.acquire(timeout=0)
    with pytest.raises(BudgetWaitError):
        second.acquire(timeout=0)
    other.acquire(timeout=0)
    assert (first.used(), second.used(), other.used()) == (3, 3, 1)
    assert not [path for path in tmp_path.iterdir() if TOKEN in path.name or TOKEN.encode() in path.read_bytes()]


def test_one_token_with_two_allowances_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = "planted-two-rates"
    settings = BudgetSettings(URL, 1000, 60.0, directory=tmp_path)
    open_budget(settings, token)
    # A share is not another allowance.
    open_budget(BudgetSettings(URL, 1000, 60.0, 0.5, directory=tmp_path), token)
    assert caplog.messages == []
    for _ in range(3):
        open_budget(settings, token)
        open_budget(BudgetSettings(URL, 500, 300.0, directory=tmp_path), token)
    (line,) = caplog.messages
    assert "1000 requests per 60 s and 500 per 300 s" in line
    assert token not in line


def test_threads_of_a_process_get_one_budget(tmp_path: Path) -> None:
    settings = BudgetSettings(URL, 3, 60.0, directory=tmp_path)
    found: list[Budget] = []
    threads = [threading.Thread(target=lambda: found.append(open_budget(settings, "planted-t"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(budget) for budget in found}) == 1


def test_the_stores_a_budget_can_have(tmp_path: Path) -> None:
    assert isinstance(BudgetSettings(URL, 1, 1.0, store="redis://127.0.0.1:1").open_store(TOKEN), RedisStore)
    assert list(tmp_path.iterdir()) == []
    Budget(BudgetSettings(URL, 1, 1.0, directory=tmp_path / "a" / "b"), TOKEN).acquire()
    assert (tmp_path / "a" / "b").is_dir()
