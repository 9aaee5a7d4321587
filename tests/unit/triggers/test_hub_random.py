"""Whatever comes together, no wait is lost: each ends in time, and with what is true."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_src_provider.client.waiting import MAX_SILENCE
from airflow_src_provider.exceptions import BudgetWaitError, ConnectFailedError, MaintenanceError, ServerError
from airflow_src_provider.triggers import hub as hub_module
from airflow_src_provider.triggers.rounds import LAST_EVERY, LAST_LOOK
from tests.unit.triggers.test_hub import JobWait, OtherWait, Service, hub, virtual_time
from tests.unit.triggers.test_hub_last_looks import SlowExecutor
from tests.unit.triggers.virtual_loop import run

__all__ = ["virtual_time"]

#: Seconds by which timers of the loop may come early.
RESOLUTION = 0.001

FAILURES = [
    ServerError,
    ConnectFailedError,
    MaintenanceError,
    KeyError,
    lambda text: BudgetWaitError(text, retry_after=70),
]


@dataclass(frozen=True)
class Case:
    joins: float
    finishes: float
    deadline: float
    interval: float
    leaves: float | None
    kind: type[JobWait]
    poisoned: bool


moments = st.floats(0, 6000)
cases = st.builds(
    Case,
    joins=st.floats(0, 3000),
    finishes=moments,
    deadline=moments,
    interval=st.sampled_from([1, 10, 30, 31, 300, 2000]),
    leaves=st.none() | st.floats(0, 2000),
    kind=st.sampled_from([JobWait, JobWait, OtherWait]),
    poisoned=st.sampled_from([False] * 5 + [True]),
)
troubles = st.lists(st.tuples(moments, st.floats(1, 1500), st.sampled_from(FAILURES)), max_size=3)


class Troubled(Service):
    def __init__(self, waits: Sequence[Case], troubles: Sequence[Any]) -> None:
        super().__init__({f"j{n}": wait.finishes for n, wait in enumerate(waits)})
        self.poisoned = {f"j{n}" for n, wait in enumerate(waits) if wait.poisoned}
        self.troubles = troubles

    def look(self, ids: Sequence[str]) -> dict[str, str]:
        found = super().look(ids)
        at = self.looks[-1][0]
        for begins, lasts, error in self.troubles:
            if begins <= at < begins + lasts:
                raise error("away")
        if self.poisoned & set(ids):
            raise ServerError("poisoned")
        return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(waits=st.lists(cases, min_size=1, max_size=25), troubles=troubles, takes=st.sampled_from([0.0, 0.3, 2.0, 4.0]))
def test_each_wait_ends_in_time_and_with_what_is_true(waits: list[Case], troubles: list[Any], takes: float) -> None:
    service = Troubled(waits, troubles)

    async def one(n: int) -> None:
        wait = waits[n]
        await asyncio.sleep(wait.joins)
        task = asyncio.create_task(
            hub(service).wait(wait.kind([f"j{n}"]), interval=wait.interval, deadline=wait.deadline)
        )
        if wait.leaves is not None:
            await asyncio.wait([task], timeout=wait.leaves)
            task.cancel()
        [event] = await asyncio.gather(task, return_exceptions=True)
        now = asyncio.get_running_loop().time()
        over = max(wait.deadline, wait.joins)
        assert now <= over + LAST_EVERY + LAST_LOOK + 0.1
        if isinstance(event, asyncio.CancelledError):
            assert wait.leaves is not None
            return
        assert not isinstance(event, BaseException)
        if event["status"] == "success":
            assert wait.finishes <= now
        elif event["status"] == "timeout":
            assert now >= over - RESOLUTION
            if not troubles and not service.poisoned:
                assert wait.finishes > over - RESOLUTION
        else:
            assert event["status"] == "error"
            assert wait.poisoned or troubles or service.poisoned
            assert now >= wait.joins + MAX_SILENCE

    async def main() -> None:
        await asyncio.gather(*(one(n) for n in range(len(waits))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "_threads", SlowExecutor(takes))
        run(main())
    moments = [at for at, _ in service.looks]
    assert len(moments) <= 20000
