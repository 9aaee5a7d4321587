"""Another tool uses the same token: few of our requests are refused, and most of what it leaves is used."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from tests.unit.client.shared_token import Server, World

LIMIT, WINDOWS = 500, 14
SEED = 1
SERVERS = [("fixed", False), ("rolling", False), ("rolling", True), ("strict", False), ("strict", True)]


@pytest.fixture(autouse=True)
def quiet_and_the_same_each_time() -> Iterator[None]:
    random.seed(SEED)
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("burst", [False, True], ids=["evenly", "burst"])
@pytest.mark.parametrize(("kind", "retry_after"), SERVERS)
def test_half_of_the_allowance_is_used_elsewhere(kind: str, retry_after: bool, burst: bool) -> None:
    world = World(Server(kind, LIMIT, 60.0, retry_after=retry_after))
    start = world.clock.now
    world.other_tool(LIMIT // 2, burst=burst, windows=WINDOWS)
    world.run(WINDOWS)
    refused = world.refused(WINDOWS, start)
    assert sum(refused) / WINDOWS <= 3
    assert world.used(start + 120, start + WINDOWS * 60) >= 0.9
    # Once there is something to go by, most windows have no refusal at all.
    assert sum(count > 0 for count in refused[3:]) <= (WINDOWS - 3) // 2 or kind == "fixed"


def test_when_the_other_tool_ends_all_of_the_allowance_is_used_again() -> None:
    world = World(Server("rolling", LIMIT, 60.0))
    start = world.clock.now
    world.other_tool(LIMIT // 2, burst=False, windows=5)
    world.run(30)
    assert world.used(start + 25 * 60, start + 30 * 60) >= 0.95
    assert sum(world.refused(30, start)[20:]) == 0


@pytest.mark.parametrize("kind", ["fixed", "rolling", "strict"])
def test_alone_nothing_is_refused_and_nearly_all_is_used(kind: str) -> None:
    world = World(Server(kind, LIMIT, 60.0))
    start = world.clock.now
    world.run(8)
    assert sum(world.refused(8, start)) == 0
    assert world.used(start + 60, start + 8 * 60) >= 0.95
