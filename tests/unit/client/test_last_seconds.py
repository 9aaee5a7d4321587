"""What a process that is being ended can still do in the few seconds it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.waiting import for_each
from tests.unit.client.server import Answer, ScriptedServer
from tests.unit.client.sessions import new_session

IDS = [str(n) for n in range(8)]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def test_no_call_may_take_longer_because_it_usually_does(server: ScriptedServer) -> None:
    server.script(Answer(200, delay=3.0))
    begun = time.monotonic()
    with pytest.raises(exc.ConnectionLostError):
        new_session(server.url).urgent(within=0.2).request("POST", "bulk/tasks/get", json={}, safe=True, timeout=60.0)
    assert time.monotonic() - begun < 2.0


def test_many_ends_are_sent_side_by_side() -> None:
    together = threading.Barrier(len(IDS))

    def end(id_: str) -> str:
        together.wait(5.0)
        return f"ended {id_}"

    assert for_each(SimpleNamespace(ending=True), end, IDS) == [f"ended {id_}" for id_ in IDS]


def test_with_time_enough_they_are_sent_one_by_one() -> None:
    threads: set[str] = set()
    for_each(SimpleNamespace(ending=False), lambda _: threads.add(threading.current_thread().name), IDS)
    assert threads == {threading.current_thread().name}


def test_sending_side_by_side_is_not_kept_back_by_the_budget(server: ScriptedServer) -> None:
    server.script(*[Answer(200, {}) for _ in IDS])
    session = new_session(server.url).urgent()
    answers = for_each(session, lambda id_: session.request("POST", f"tasks/{id_}/abort", safe=True).status, IDS)
    assert answers == [200] * len(IDS)
