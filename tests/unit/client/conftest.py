"""A server that says what it is told, and a clock that moves when it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.client.server import ScriptedServer, SteppedClock


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.script()
    return running


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()
