"""Requests that have a time in common: how late they are sent, and how long an answer is waited for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client import transport
from tests.unit.client.server import ScriptedServer, SteppedClock
from tests.unit.client.sessions import new_session


def test_after_the_common_time_nothing_is_sent_any_more(server: ScriptedServer) -> None:
    clock = SteppedClock()
    session = new_session(server.url, clock).lasting(100.0)
    clock.now += 101
    session.request("POST", "tasks/1/actions/abort", safe=True)
    clock.now += 5
    with pytest.raises(exc.ApiError, match="nothing was sent") as refusal:
        session.request("POST", "tasks/2/actions/abort", safe=True)
    assert (refusal.value.retryable, refusal.value.outcome_known) == (False, True)
    assert refusal.value.path == "tasks/2/actions/abort"
    session.urgent().request("POST", "tasks/3/actions/abort", safe=True)
    assert [request.target[-15:] for request in server.requests] == ["1/actions/abort", "3/actions/abort"]
    assert clock.sleeps == []


def test_an_answer_is_waited_for_as_long_as_there_is_common_time_left(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, within = SteppedClock(), []
    send = transport.send

    def noted(*arguments: Any, **options: Any) -> Any:
        within.append(options["within"])
        return send(*arguments, **options)

    monkeypatch.setattr(transport, "send", noted)
    session = new_session(server.url, clock)
    session.request("GET", "look")
    lasting = session.lasting(100.0)
    for passed in (0, 40, 59, 3):
        clock.now += passed
        lasting.request("GET", "look")
    assert within == [math.inf, 100.0, 60.0, 5.0, 5.0]
