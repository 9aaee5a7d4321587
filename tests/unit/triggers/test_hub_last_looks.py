"""A wait whose time is over is looked at once more, together with its neighbours; only then it is a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from airflow_src_provider.exceptions import ServerError
from airflow_src_provider.triggers import hub as hub_module
from airflow_src_provider.triggers.rounds import LAST_EVERY, LAST_LOOK
from tests.unit.triggers.test_hub import FOREVER, JobWait, OtherWait, Service, hub, virtual_time
from tests.unit.triggers.virtual_loop import run

__all__ = ["virtual_time"]

Ends = list[tuple[dict[str, Any], float]]


class SlowExecutor(Executor):
    """Looks at once, and brings the answer so many seconds later."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        later = asyncio.get_running_loop().call_later
        try:
            later(self.seconds, future.set_result, fn(*args, **kwargs))
        except Exception as error:
            later(self.seconds, future.set_exception, error)
        return future


def ends(service: Service, deadlines: Sequence[float], *, interval: float, joins_at: Sequence[float] = ()) -> Ends:
    """Wait for j0, j1, ... each with its deadline; return events and when they came."""

    async def one(n: int) -> tuple[dict[str, Any], float]:
        await asyncio.sleep(joins_at[n] if joins_at else 0)
        event = await hub(service).wait(JobWait([f"j{n}"]), interval=interval, deadline=deadlines[n])
        return event, asyncio.get_running_loop().time()

    async def main() -> Ends:
        return await asyncio.gather(*(one(n) for n in range(len(deadlines))))

    return run(main())


@pytest.mark.parametrize("finished", [101.0, 118.9])
def test_what_ends_shortly_before_the_deadline_is_no_timeout(finished: float) -> None:
    [(event, at)] = ends(Service({"j0": finished}), [119.0], interval=60)
    assert event["status"] == "success"
    assert at <= 119 + LAST_EVERY


def test_a_timeout_comes_with_the_last_look_and_never_before_the_deadline() -> None:
    service = Service({"j0": FOREVER, "j1": FOREVER})
    (early, at), (late, later) = ends(service, [97.0, 4000.0], interval=30)
    assert (early["status"], late["status"]) == ("timeout", "timeout")
    assert 97 <= at <= 97 + LAST_EVERY
    assert 4000 <= later <= 4000 + LAST_EVERY
    assert service.looks[-1][0] == later


def test_after_a_triggerers_absence_all_are_looked_at_however_late_they_join() -> None:
    service = Service({f"j{n}": 0.0 for n in range(1000)} | {"j1000": FOREVER})
    # Fifty a second, as Airflow starts them; somebody whose time is not over keeps the round busy.
    joins_at = [1000.0 + n // 50 for n in range(1000)] + [900.0]
    found = ends(service, [500.0] * 1000 + [1050.0], interval=30, joins_at=joins_at)
    assert [event["status"] for event, _ in found] == ["success"] * 1000 + ["timeout"]
    looks = [at for at, ids in service.looks if 1000 <= at <= 1000 + 20 + LAST_EVERY]
    assert len(looks) <= 25 / LAST_EVERY + 2
    assert service.session.calls <= 30


def test_a_thousand_nearly_equal_deadlines_share_their_last_looks() -> None:
    service = Service({f"j{n}": FOREVER for n in range(1000)})
    found = ends(service, [300 + n / 50 for n in range(1000)], interval=60)
    assert all(event["status"] == "timeout" for event, _ in found)
    last = [(at, ids) for at, ids in service.looks if at >= 300]
    assert len(last) <= 20 / LAST_EVERY + 2
    # Each is asked for once or twice more, in calls for a hundred.
    assert sum(-(-len(ids) // 100) for _, ids in last) <= 30
    assert all(0 <= at - (300 + n / 50) <= LAST_EVERY for n, (_, at) in enumerate(found))


def test_a_thousand_deadlines_all_over_an_hour_cost_a_look_every_few_seconds_at_most() -> None:
    service = Service({f"j{n}": FOREVER for n in range(1000)})
    found = ends(service, [3600 + 3.6 * n for n in range(1000)], interval=120)
    assert all(event["status"] == "timeout" for event, _ in found)
    moments = [at for at, _ in service.looks if at >= 3600]
    assert len(moments) <= 3600 / LAST_EVERY + 3600 / 120
    assert service.session.calls <= 3600 / 60 * 10 + 3600 / LAST_EVERY + 3600 / 60 * 10


def test_a_last_look_does_not_wait_for_the_budget_to_recover() -> None:
    service = Service({f"j{n}": 95.0 for n in range(1000)})
    service.used = 800
    found = ends(service, [100.0] * 1000, interval=10)
    # The next look in turn would be at 120 seconds.
    assert all(event["status"] == "success" for event, _ in found)
    assert [round(at) for at, _ in service.looks] == [0, 100]


def test_a_failure_shortly_before_the_deadline_does_not_keep_the_last_look_away() -> None:
    service = Service({"j0": 50.0})
    service.errors = [ServerError("busy")]
    [(event, _)] = ends(service, [55.0], interval=30)
    assert event["status"] == "success"


def test_a_failure_of_the_last_look_itself_leaves_time_for_another() -> None:
    service = Service({"j0": 50.0})

    async def main() -> dict[str, Any]:
        asyncio.get_running_loop().call_later(40, service.errors.append, ServerError("busy"))
        return await hub(service).wait(JobWait(["j0"]), interval=300, deadline=58)

    assert run(main())["status"] == "success"
    assert [round(at) for at, _ in service.looks] == [0, 60, 65]


def test_last_looks_in_an_outage_are_few_and_never_the_cause_of_more() -> None:
    class Away(Service):
        def look(self, ids: Sequence[str]) -> dict[str, str]:
            self.looks.append((asyncio.get_running_loop().time(), list(ids)))
            raise ServerError("away")

    service = Away()
    found = ends(service, [600 + 2.4 * n for n in range(1000)], interval=30)
    assert all(event["status"] == "timeout" for event, _ in found)
    for n, (_, at) in enumerate(found):
        assert 0 <= at - (600 + 2.4 * n) <= LAST_EVERY + LAST_LOOK
    moments = sorted({at for at, _ in service.looks if at >= 600})
    assert len(moments) <= 2400 / 40 + 2


def test_an_answer_that_is_on_its_way_at_the_deadline_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_threads", SlowExecutor(8))
    [(event, at)] = ends(Service({"j0": 55.0}), [60.0], interval=48.75)
    assert event["status"] == "success"
    assert at == pytest.approx(65, abs=1)


def test_a_kind_that_hangs_keeps_no_other_from_its_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(SlowExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.seconds = 90 if OtherWait in args else 0
            return super().submit(fn, *args, **kwargs)

    monkeypatch.setattr(hub_module, "_threads", Hanging(0))
    service = Service({"a": 20.0, "b": FOREVER})

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        return await asyncio.gather(
            one.wait(OtherWait(["b"]), interval=30, deadline=200), one.wait(JobWait(["a"]), interval=60, deadline=30)
        )

    assert [event["status"] for event in run(main())] == ["timeout", "success"]


def test_who_left_during_a_look_hears_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_threads", SlowExecutor(8))
    service = Service({"a": 0.0, "b": 0.0})
    lines: list[str] = []

    async def main() -> dict[str, Any]:
        one = hub(service)
        left = asyncio.create_task(
            one.wait(JobWait(["a"]), interval=10, deadline=FOREVER, tell=lambda line: lines.append(line))
        )
        stays = asyncio.create_task(one.wait(JobWait(["b"]), interval=10, deadline=FOREVER))
        await asyncio.sleep(4)
        left.cancel()
        return await stays

    assert run(main())["status"] == "success"
    assert lines == []


def test_a_line_that_cannot_be_written_ends_no_wait() -> None:
    def tell(line: str) -> None:
        raise ValueError("the log is closed")

    async def main() -> dict[str, Any]:
        return await hub(Service({"a": 15})).wait(JobWait(["a"]), interval=10, deadline=FOREVER, tell=tell)

    assert run(main())["status"] == "success"
