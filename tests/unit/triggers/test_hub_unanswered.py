"""An error that comes again and again because of some ids keeps no answer from the others; an outage stays cheap."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, SupportsIndex

import pytest

from airflow_src_provider.client.waiting import MAX_SILENCE
from airflow_src_provider.exceptions import (
    BadAnswerError,
    ConnectionLostError,
    ForbiddenError,
    MaintenanceError,
    RateLimitError,
    ServerError,
)
from airflow_src_provider.triggers.hub import MOST_APART
from airflow_src_provider.triggers.rounds import MOST_ALONE
from tests.unit.triggers.test_hub import FOREVER, JobWait, Service, hub, virtual_time
from tests.unit.triggers.virtual_loop import run

__all__ = ["virtual_time"]

#: Looks at single waits that tell an outage from what concerns some of them.
PROBES = 2

Ends = list[tuple[dict[str, Any], float]]


class Poisoned(Service):
    """A service that fails at each look in which one of the poisoned ids is, and at all during an outage."""

    def __init__(self, healthy: int, poisoned: int = 0, error: type[Exception] = ServerError) -> None:
        self.healthy = [f"j{n}" for n in range(healthy)]
        self.poisoned = {f"p{n}" for n in range(poisoned)}
        super().__init__(dict.fromkeys(self.healthy, 600.0) | dict.fromkeys(self.poisoned, 600.0))
        self.error = error
        self.outage: tuple[float, float] = (FOREVER, FOREVER)
        self.heals_at = float("inf")

    def look(self, ids: Sequence[str]) -> dict[str, str]:
        at = asyncio.get_running_loop().time()
        found = super().look(ids)
        if self.outage[0] <= at < self.outage[1]:
            raise ServerError("away")
        if at < self.heals_at and self.poisoned & set(ids):
            raise self.error("its children cannot be listed")
        return found

    def moments(self, since: float = 0.0, until: float = FOREVER) -> list[float]:
        return [at for at, _ in self.looks if since <= at < until]


def ends(service: Poisoned, interval: float = 30, deadline: float = FOREVER) -> Ends:
    """Wait for each id by itself; return events and when they came: first of the healthy, then of the poisoned."""

    async def one(id_: str) -> tuple[dict[str, Any], float]:
        event = await hub(service).wait(JobWait([id_]), interval=interval, deadline=deadline)
        return event, asyncio.get_running_loop().time()

    async def main() -> Ends:
        return await asyncio.gather(*(one(id_) for id_ in [*service.healthy, *sorted(service.poisoned)]))

    return run(main())


@pytest.mark.parametrize("error", [ServerError, BadAnswerError, ConnectionLostError, KeyError])
def test_one_of_a_thousand_gets_no_answer(error: type[Exception]) -> None:
    service = Poisoned(999, 1, error)
    *healthy, (event, ended) = ends(service)
    assert {event["status"] for event, _ in healthy} == {"success"}
    assert max(at for _, at in healthy) <= 600 + 60
    assert event["status"] == "error"
    assert "its children cannot be listed" in event["message"]
    assert MAX_SILENCE <= ended <= MAX_SILENCE + 2 * 8 * 30 * 2
    # Ten halvings of two looks each find it, once.
    assert len(service.moments(0, 605)) <= 3 + PROBES + 2 * 10 + 600 / 30 + 5
    assert len(service.moments(700)) <= MAX_SILENCE / 240 + 2


def test_one_that_is_answered_again_goes_on_with_the_others() -> None:
    service = Poisoned(3, 1)
    service.finish_at = dict.fromkeys(service.finish_at, 9000.0)
    service.heals_at = 2000.0
    found = ends(service)
    assert {event["status"] for event, _ in found} == {"success"}
    assert all(len(ids) == 4 for at, ids in service.looks if at > 3000)


@pytest.mark.parametrize("number", [30, 300, 900])
def test_many_that_get_no_answer_cost_a_bounded_number_of_looks(number: int) -> None:
    service = Poisoned(1000 - number, number)
    service.finish_at = dict.fromkeys(service.finish_at, 3000.0)
    found = ends(service)
    assert {event["status"] for event, _ in found[: 1000 - number]} == {"success"}
    assert {event["status"] for event, _ in found[1000 - number :]} == {"error"}
    for moment in set(service.moments()):
        assert service.moments().count(moment) <= 1 + PROBES + MOST_APART + MOST_ALONE + 2
    # A quarter of the budget is for looks, those in vain included: 225 calls in 300 seconds, and a round more at most.
    assert max(len(service.moments(since, since + 300)) for since in range(0, 8000, 60)) <= 225 + 2 * MOST_APART
    if number == 30:
        # As soon as it is clear whose they are, there are one look together and a few single ones in an interval.
        assert len(service.moments(1800, 2700)) <= 900 / 30 * 2 * (1 + MOST_ALONE)


@pytest.mark.parametrize("waits", [1, 1000])
def test_an_outage_costs_no_more_for_a_thousand_than_for_a_few(waits: int) -> None:
    service = Poisoned(waits)
    service.outage = (0.0, FOREVER)
    found = ends(service)
    assert {event["status"] for event, _ in found} == {"error"}
    assert all(MAX_SILENCE <= at <= MAX_SILENCE + 8 * 60 for _, at in found)
    # 60, 120, then 240 seconds apart; the first failures are not worth a second look.
    rounds = MAX_SILENCE / 240 + 4
    assert len(service.looks) <= rounds * (1 + PROBES)
    assert service.session.calls <= rounds * (10 + PROBES)


def test_an_outage_that_passes_ends_nobody_and_all_are_answered_together_afterwards() -> None:
    service = Poisoned(1000)
    service.outage = (10.0, 3000.0)
    found = ends(service)
    assert {event["status"] for event, _ in found} == {"success"}
    assert len(service.moments(10, 3000)) <= (3000 / 240 + 4) * (1 + PROBES)
    assert len(service.moments(3000)) == 1


@pytest.mark.parametrize("begins", [150.0, 210.0, 210.5, 700.0])
def test_an_outage_in_spite_of_some_that_get_no_answer_stays_cheap(begins: float) -> None:
    service = Poisoned(980, 20)
    service.finish_at = dict.fromkeys(service.finish_at, 5000.0)
    service.outage = (begins, 3000.0)
    found = ends(service)
    assert {event["status"] for event, _ in found[:980]} == {"success"}
    since = begins + MOST_APART
    assert len(service.moments(since, 3000)) <= (3000 - since) / 30 * MOST_ALONE + 50


def test_an_outage_that_begins_while_looking_apart_is_left_behind() -> None:
    class Falls(Poisoned):
        def look(self, ids: Sequence[str]) -> dict[str, str]:
            if len(self.looks) > 8:
                self.outage = (0.0, 1500.0)
            return super().look(ids)

    service = Falls(100, 1)
    service.finish_at = dict.fromkeys(service.finish_at, 5000.0)
    found = ends(service)
    assert {event["status"] for event, _ in found[:100]} == {"success"}
    moments = service.moments()
    assert max(moments.count(at) for at in moments) <= MOST_APART + PROBES + 2


def test_what_is_refused_and_what_gets_no_answer_may_come_together() -> None:
    class Both(Poisoned):
        def look(self, ids: Sequence[str]) -> dict[str, str]:
            if "j0" in ids:
                self.looks.append((asyncio.get_running_loop().time(), list(ids)))
                raise ForbiddenError("not for you")
            return super().look(ids)

    found = ends(Both(20, 1))
    assert [event["status"] for event, _ in found] == ["error"] + ["success"] * 19 + ["error"]
    assert "not for you" in found[0][0]["message"]
    assert found[0][1] < MAX_SILENCE
    assert found[-1][1] > MAX_SILENCE


def test_who_gets_no_answer_alone_is_a_timeout_at_its_deadline() -> None:
    *_, (event, at) = ends(Poisoned(5, 1), deadline=1500.0)
    assert event["status"] == "timeout"
    assert 1500 <= at <= 1520


def test_a_surprise_that_does_not_come_again_ends_nothing() -> None:
    service = Poisoned(2)
    service.errors = [KeyError("surprise")]
    assert {event["status"] for event, _ in ends(service)} == {"success"}


@pytest.mark.parametrize("error", [MaintenanceError, RateLimitError])
def test_hours_of_not_now_that_end_with_a_failure_end_no_wait(error: type[Exception]) -> None:
    service = Poisoned(2)

    class Errors(list[BaseException]):
        def pop(self, _: SupportsIndex = 0) -> BaseException:
            now = asyncio.get_running_loop().time()
            if now > 3 * MAX_SILENCE:
                self.clear()
                return ServerError("starting")
            return error("not now") if now > 60 or not service.looks[1:] else ServerError("stopping")

    service.errors = Errors([ServerError("")])
    assert {event["status"] for event, _ in ends(service)} == {"success"}


def test_who_joins_late_in_an_outage_has_an_hour_of_its_own() -> None:
    service = Poisoned(2)
    service.outage = (0.0, 2 * MAX_SILENCE)

    async def main() -> tuple[float, float]:
        async def one(after: float) -> float:
            await asyncio.sleep(after)
            await hub(service).wait(JobWait(["j0"]), interval=30, deadline=FOREVER)
            return asyncio.get_running_loop().time()

        return await asyncio.gather(one(0), one(3000))

    first, second = run(main())
    assert MAX_SILENCE <= first <= MAX_SILENCE + 300
    assert second >= 3000 + MAX_SILENCE
