"""A service that refuses to speak about some ids ends the waits for those, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_src_provider.exceptions import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ServerError,
    TokenRejectedError,
)
from airflow_src_provider.triggers.hub import MOST_APART
from tests.unit.triggers.test_hub import FOREVER, JobWait, Service, hub, virtual_time
from tests.unit.triggers.virtual_loop import run

__all__ = ["virtual_time"]


class Choosy(Service):
    """A service that answers no look in which one of these ids is."""

    def __init__(self, ids: Sequence[str], refused: Sequence[str], error: type[Exception] = ForbiddenError) -> None:
        super().__init__(dict.fromkeys(ids, 0.0))
        self.refused = set(refused)
        self.error = error

    def look(self, ids: Sequence[str]) -> dict[str, str]:
        found = super().look(ids)
        if self.refused & set(ids):
            raise self.error("not for you")
        return found


def ends(service: Service, waits: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        return await asyncio.gather(*(one.wait(JobWait(ids), interval=30, deadline=FOREVER) for ids in waits))

    return run(main())


@pytest.mark.parametrize("error", [BadRequestError, ConflictError, ForbiddenError, NotFoundError])
def test_one_of_a_thousand_is_refused(error: type[Exception]) -> None:
    ids = [f"j{n}" for n in range(1000)]
    service = Choosy(ids, ["j77"], error)
    events = ends(service, [[id_] for id_ in ids])
    assert [n for n, event in enumerate(events) if event["status"] != "success"] == [77]
    assert (events[77]["status"], events[77]["message"]) == ("error", "not for you")
    # Once all together, then two halves at each of ten levels, all in one round.
    assert len(service.looks) <= 21
    assert service.session.calls <= 50
    assert len({at for at, _ in service.looks}) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    waits=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=3, unique=True), min_size=2, max_size=60),
    refused=st.sets(st.integers(0, 60)),
)
def test_whoever_waits_for_nothing_refused_goes_on(waits: list[list[int]], refused: set[int]) -> None:
    service = Choosy([str(n) for n in range(61)], [str(n) for n in refused])
    events = ends(service, [[str(n) for n in ids] for ids in waits])
    for ids, event in zip(waits, events, strict=True):
        assert event["status"] == ("error" if refused & set(ids) else "success")
    per_round = [sum(at == moment for at, _ in service.looks) for moment in {at for at, _ in service.looks}]
    assert max(per_round) <= MOST_APART + 2


def test_whoever_was_not_asked_about_goes_on() -> None:
    service = Choosy(["often", "seldom"], [])
    service.finish_at = {"often": FOREVER, "seldom": 500.0}

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        often = one.wait(JobWait(["often"]), interval=10, deadline=FOREVER)
        seldom = one.wait(JobWait(["seldom"]), interval=1000, deadline=FOREVER)
        asyncio.get_running_loop().call_later(5, service.refused.add, "often")
        return await asyncio.gather(often, seldom)

    assert [event["status"] for event in run(main())] == ["error", "success"]


def test_a_refusal_that_does_not_come_again_ends_nothing() -> None:
    service = Service({"a": 40, "b": 40})
    service.errors = [ForbiddenError("for once")]
    assert [event["status"] for event in ends(service, [["a"], ["b"]])] == ["success", "success"]


def test_what_concerns_all_ends_all_also_while_looking_apart() -> None:
    service = Service({"a": FOREVER, "b": FOREVER})
    service.errors = [ForbiddenError("one of them"), TokenRejectedError("make a new token")]
    assert ["make a new token" in event["message"] for event in ends(service, [["a"], ["b"]])] == [True, True]


def test_what_may_pass_stays_here_also_while_looking_apart() -> None:
    service = Service({"a": 0, "b": 0})
    service.errors = [ForbiddenError("one of them"), ServerError("busy")]
    assert [event["status"] for event in ends(service, [["a"], ["b"]])] == ["success", "success"]
