"""One poller for all waits of a connection."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import json
import logging
import random
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_src_provider.client.waiting import MAX_SILENCE, Seen, Wait
from airflow_src_provider.exceptions import (
    BudgetWaitError,
    InvalidInputError,
    MaintenanceError,
    ServerError,
    TokenRejectedError,
)
from airflow_src_provider.triggers import hub as hub_module
from airflow_src_provider.triggers.hub import Hub
from tests.unit.triggers.virtual_loop import InlineExecutor, run

FOREVER = 10**9


class Service:
    """A service whose jobs finish at set moments of the loop's clock; it counts the looks."""

    def __init__(self, finish_at: Mapping[str, float] | None = None) -> None:
        self.finish_at = dict(finish_at or {})
        self.looks: list[tuple[float, list[str]]] = []
        self.errors: list[BaseException] = []
        self.used = 0
        settings = SimpleNamespace(allowed=1000, window=300.0)
        self.session = SimpleNamespace(calls=0, budget=SimpleNamespace(settings=settings, used=lambda: self.used))

    def look(self, ids: Sequence[str]) -> dict[str, str]:
        now = asyncio.get_running_loop().time()
        self.session.calls += -(-len(ids) // 100)
        self.looks.append((now, list(ids)))
        if self.errors:
            raise self.errors.pop(0)
        return {i: "done" if now >= self.finish_at[i] else "running" for i in ids if i in self.finish_at}


class JobWait(Wait):
    kind = "job"

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        return client.look(ids)

    def judge(self, id_: str, found: Any) -> Seen:
        if found is None:
            return Seen("failed", "no such job")
        return Seen("done", "done", f"result of {id_}") if found == "done" else Seen("waiting", str(found))


class OtherWait(JobWait):
    kind = "other"


@pytest.fixture(autouse=True)
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(hub_module, "_threads", InlineExecutor())
    monkeypatch.setattr(hub_module, "_epoch", lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr("airflow_src_provider.client.waiting.random.uniform", lambda a, b: (a + b) / 2)
    random.seed(0)
    hub_module._hubs.clear()
    yield
    assert not hub_module._hubs, "a hub outlived its last waiter"


def hub(service: Service) -> Hub:
    return Hub.of("connection", lambda: service)


def test_a_thousand_waits_share_each_look() -> None:
    service = Service({f"j{i}": 95.0 for i in range(1000)})

    async def main() -> list[dict[str, Any]]:
        waits = [hub(service).wait(JobWait([f"j{i}"]), interval=30, deadline=FOREVER) for i in range(1000)]
        return await asyncio.gather(*waits)

    events = run(main())
    assert all(e["status"] == "success" for e in events)
    assert events[7]["results"] == {"j7": "result of j7"}
    # One look soon after joining, then one per interval: 0.25, 30, 60, 90, 120 seconds.
    assert [round(at) for at, _ in service.looks] == [0, 30, 60, 90, 120]
    assert all(len(ids) == 1000 for _, ids in service.looks)


def test_only_unfinished_ids_are_asked_for() -> None:
    service = Service({"a": 0, "b": 15, "c": 45})

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a", "b", "c"]), interval=10, deadline=FOREVER)

    event = run(main())
    assert event["status"] == "success"
    assert [ids for _, ids in service.looks][:4] == [["a", "b", "c"], ["b", "c"], ["b", "c"], ["c"]]


def test_kinds_are_looked_at_apart_and_the_smallest_interval_counts() -> None:
    service = Service({"a": 100, "b": 100, "c": 100})

    async def main() -> None:
        one = hub(service)
        await asyncio.gather(
            one.wait(JobWait(["a"]), interval=50, deadline=FOREVER),
            one.wait(JobWait(["b"]), interval=10, deadline=FOREVER),
            one.wait(OtherWait(["c"]), interval=50, deadline=FOREVER),
        )

    run(main())
    jobs = [at for at, ids in service.looks if "a" in ids or "b" in ids]
    others = [at for at, ids in service.looks if ids == ["c"]]
    assert len(jobs) == pytest.approx(11, abs=1)
    assert len(others) == pytest.approx(3, abs=1)


def test_what_may_pass_never_reaches_the_waiter(caplog: pytest.LogCaptureFixture) -> None:
    service = Service({"a": 30})
    service.errors = [ServerError("busy"), ServerError("busy"), ServerError("busy")]

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    with caplog.at_level(logging.INFO):
        assert run(main())["status"] == "success"
    gaps = [b - a for (a, _), (b, _) in zip(service.looks, service.looks[1:], strict=False)]
    assert gaps == sorted(gaps), "each failure makes the next look come later"
    assert [r.levelname for r in caplog.records if "no answer" in r.message] == ["WARNING"]
    assert any("answers again after 3 failures" in r.message for r in caplog.records)


def test_an_hour_of_nothing_but_errors_ends_the_wait_with_an_event() -> None:
    service = Service({"a": FOREVER})

    class Broken(list):  # type: ignore[type-arg]
        def pop(self, _: int = 0) -> BaseException:
            return ServerError("still broken")

        def __bool__(self) -> bool:
            return True

    service.errors = Broken()

    async def main() -> tuple[dict[str, Any], float]:
        event = await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)
        return event, asyncio.get_running_loop().time()

    event, ended = run(main())
    assert event["status"] == "error"
    assert "still broken" in event["message"]
    assert MAX_SILENCE <= ended < MAX_SILENCE + 200


def test_what_will_not_pass_ends_all_waits_of_the_kind() -> None:
    service = Service({"a": FOREVER, "b": FOREVER})
    service.errors = [TokenRejectedError("make a new token", status=401)]

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        return await asyncio.gather(*(one.wait(JobWait([i]), interval=10, deadline=FOREVER) for i in "ab"))

    for event in run(main()):
        assert event["status"] == "error"
        assert "make a new token" in event["message"]


def test_a_mistake_of_ours_is_an_event_too() -> None:
    service = Service({"a": 0})
    service.errors = [KeyError("surprise")] * 100

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    event = run(main())
    assert event["status"] == "error"
    assert "KeyError" in event["message"]


def test_a_missing_id_concerns_one_waiter_only() -> None:
    service = Service({"a": 0})

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        return await asyncio.gather(*(one.wait(JobWait([i]), interval=10, deadline=FOREVER) for i in ("a", "gone")))

    there, gone = run(main())
    assert there["status"] == "success"
    assert gone["status"] == "failed"
    assert gone["failed"] == {"gone": "no such job"}


def test_an_answer_that_one_wait_does_not_understand_ends_that_wait_only() -> None:
    class Fussy(JobWait):
        def judge(self, id_: str, found: Any) -> Seen:
            if id_ == "odd":
                raise ValueError("what is this?")
            return super().judge(id_, found)

    service = Service({"a": 25, "odd": 25})

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        return await asyncio.gather(*(one.wait(Fussy([i]), interval=10, deadline=FOREVER) for i in ("a", "odd")))

    fine, odd = run(main())
    assert fine["status"] == "success"
    assert odd["status"] == "error"
    assert "what is this?" in odd["message"]


def test_the_deadline_is_kept_while_the_service_is_slow() -> None:
    service = Service({"a": FOREVER, "b": 40})

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        return await asyncio.gather(
            one.wait(JobWait(["a"]), interval=30, deadline=35), one.wait(JobWait(["b"]), interval=30, deadline=FOREVER)
        )

    late, fine = run(main())
    assert late["status"] == "timeout"
    assert late["pending"] == ["a"]
    assert fine["status"] == "success"


def test_a_cancelled_waiter_leaves_the_others_alone() -> None:
    service = Service({f"j{i}": 50 for i in range(200)})

    async def main() -> list[Any]:
        one = hub(service)
        waits = [asyncio.create_task(one.wait(JobWait([f"j{i}"]), interval=10, deadline=FOREVER)) for i in range(200)]
        await asyncio.sleep(15)
        for task in waits[::2]:
            task.cancel("killed by a user")
        await asyncio.sleep(0.05)
        for task in waits[::2]:
            task.cancel("killed by a user")
        return await asyncio.gather(*waits, return_exceptions=True)

    results = run(main())
    assert all(isinstance(r, asyncio.CancelledError) for r in results[::2])
    assert all(r["status"] == "success" for r in results[1::2])
    assert all(len(ids) == 100 for at, ids in service.looks if at > 15)


def test_the_hub_ends_with_its_last_waiter_and_a_new_loop_gets_a_new_one() -> None:
    service = Service({"a": 5})

    async def main() -> Hub:
        one = hub(service)
        await one.wait(JobWait(["a"]), interval=1, deadline=FOREVER)
        assert one._rounds[JobWait].poller is None
        assert hub(service) is not one
        hub_module._hubs.clear()
        return one

    assert run(main()) is not run(main())


def test_the_client_is_built_once_and_not_before_the_first_look() -> None:
    built = []
    service = Service({"a": 5, "b": 5})

    def make() -> Service:
        built.append(1)
        return service

    async def main() -> None:
        one = Hub.of("connection", make)
        assert not built
        await asyncio.gather(*(one.wait(JobWait([i]), interval=1, deadline=FOREVER) for i in "ab"))

    run(main())
    assert built == [1]


def test_the_poller_does_not_log_into_the_first_waiters_log() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    seen = []

    class Spy(Service):
        def look(self, ids: Sequence[str]) -> dict[str, str]:
            seen.append(name.get())
            return super().look(ids)

    async def main() -> None:
        name.set("first waiter")
        await hub(Spy({"a": 0})).wait(JobWait(["a"]), interval=1, deadline=FOREVER)

    run(main())
    assert seen == ["nobody"]


def test_each_waiter_hears_only_of_changes() -> None:
    service = Service({"a": 45})
    lines: list[str] = []

    async def main() -> None:
        await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER, tell=lines.append)

    run(main())
    assert lines == ["a: running", "a: done"]


def test_old_waits_are_looked_at_less_often() -> None:
    service = Service({"a": 20000})

    async def main() -> None:
        await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    run(main())
    times = [at for at, _ in service.looks]
    early = [b - a for a, b in itertools.pairwise(times) if b < 1800]
    late = [b - a for a, b in itertools.pairwise(times) if a > 8000]
    assert max(early) == pytest.approx(10, abs=0.5)
    assert min(late) == pytest.approx(40, abs=0.5)


def test_an_event_is_small_json() -> None:
    service = Service({f"{i:032x}": 0 for i in range(1000)})

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(list(service.finish_at)), interval=1, deadline=FOREVER)

    assert len(json.dumps(run(main()))) < 100_000


def test_lines_about_a_wait_go_to_the_log_of_its_own_task() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    heard: list[tuple[str, str]] = []

    async def waiter(who: str) -> None:
        name.set(who)
        await hub(service).wait(
            JobWait([who]), interval=1, deadline=FOREVER, tell=lambda line: heard.append((name.get(), line))
        )

    service = Service({"a": 0, "b": 3})

    async def main() -> None:
        await asyncio.gather(*(asyncio.create_task(waiter(who)) for who in "ab"))

    run(main())
    assert heard == [("a", "a: done"), ("b", "b: running"), ("b", "b: done")]


def test_an_old_wait_does_not_make_a_young_one_slow_nor_is_it_asked_as_often() -> None:
    service = Service({"old": 20_000, "young": 20_000})

    async def main() -> None:
        one = hub(service)
        old = asyncio.create_task(one.wait(JobWait(["old"]), interval=10, deadline=FOREVER))
        await asyncio.sleep(15_000)
        service.looks.clear()
        young = asyncio.create_task(one.wait(JobWait(["young"]), interval=10, deadline=15_600))
        await asyncio.sleep(595)
        for task in (old, young):
            task.cancel()

    run(main())
    asked = {id_: sum(id_ in ids for _, ids in service.looks) for id_ in ("old", "young")}
    assert asked["young"] == pytest.approx(59, abs=3)
    # After half of its forty seconds it goes along with the other one.
    assert asked["old"] == pytest.approx(30, abs=3)


def test_looks_leave_most_of_a_short_budget_to_others() -> None:
    service = Service({f"j{i}": FOREVER for i in range(1000)})
    service.used = 800

    async def main() -> list[dict[str, Any]]:
        one = hub(service)
        waits = (one.wait(JobWait([f"j{i}"]), interval=10, deadline=1000) for i in range(1000))
        return await asyncio.gather(*waits)

    run(main())
    gaps = [b - a for (a, _), (b, _) in zip(service.looks, service.looks[1:], strict=False)]
    # Ten calls a look, a quarter of the hundred that are left above the reserve: 25 calls in 300 seconds.
    assert gaps[0] == pytest.approx(120, abs=1)


def test_with_nothing_left_a_look_comes_once_per_window() -> None:
    service = Service({"a": 700})
    service.used = 2000

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    assert run(main())["status"] == "success"
    assert [round(at / 300) for at, _ in service.looks] == [0, 1, 2, 3]


def test_maintenance_is_waited_for_however_long_it_takes() -> None:
    service = Service({"a": 0})
    service.errors = [MaintenanceError("under maintenance", status=503, code=0) for _ in range(300)]

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    assert run(main())["status"] == "success"
    assert service.looks[-1][0] > MAX_SILENCE


def test_a_named_pause_is_kept() -> None:
    service = Service({"a": 0})
    service.errors = [BudgetWaitError("used up", retry_after=200.0)]

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    run(main())
    (first, _), (second, _) = service.looks
    assert second - first == pytest.approx(200, abs=1)


def test_who_has_to_wait_for_the_budget_comes_back_at_the_named_moment_and_not_much_later() -> None:
    service = Service({"a": 0})
    service.errors = [BudgetWaitError("left to others", retry_after=60.0) for _ in range(6)]

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["a"]), interval=30, deadline=FOREVER)

    run(main())
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(service.looks)]
    assert gaps == [pytest.approx(60, abs=1)] * 6


def test_a_connection_that_cannot_be_read_for_a_moment_ends_no_wait() -> None:
    service = Service({"a": 0})
    troubles: list[Exception] = [ConnectionError("the database is away")] * 3

    def make() -> Service:
        if troubles:
            raise troubles.pop()
        return service

    async def main() -> dict[str, Any]:
        return await Hub.of("connection", make).wait(JobWait(["a"]), interval=10, deadline=FOREVER)

    assert run(main())["status"] == "success"


@pytest.mark.parametrize(
    "problem", [InvalidInputError("password", "", "a token"), ConnectionError("the database is away")]
)
def test_a_connection_that_stays_unusable_ends_the_wait(problem: Exception) -> None:
    def make() -> Service:
        raise problem

    async def main() -> tuple[dict[str, Any], float]:
        event = await Hub.of("connection", make).wait(JobWait(["a"]), interval=10, deadline=FOREVER)
        return event, asyncio.get_running_loop().time()

    event, ended = run(main())
    assert event["status"] == "error"
    assert type(problem).__name__ in event["message"]
    assert ended < (1 if isinstance(problem, InvalidInputError) else 600)


def test_work_that_ended_while_no_triggerer_was_there_is_no_timeout() -> None:
    service = Service({"a": 0})

    async def main() -> dict[str, Any]:
        await asyncio.sleep(1000)
        return await hub(service).wait(JobWait(["a"]), interval=30, deadline=500)

    assert run(main())["status"] == "success"


def test_a_loop_that_was_closed_under_its_waiters_leaves_nothing_behind() -> None:
    service = Service({"a": FOREVER, "b": 0})
    tasks = []

    async def begin() -> None:
        tasks.append(asyncio.create_task(hub(service).wait(JobWait(["a"]), interval=10, deadline=time.time() + 100)))
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    assert hub_module._hubs

    async def main() -> dict[str, Any]:
        return await hub(service).wait(JobWait(["b"]), interval=1, deadline=FOREVER)

    assert run(main())["status"] == "success"
    assert not hub_module._hubs
    with warnings.catch_warnings():
        # Python says that the old loop's coroutines never came to their end.
        warnings.simplefilter("ignore")
        tasks.clear()
        gc.collect()
