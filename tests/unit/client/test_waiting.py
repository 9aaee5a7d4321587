"""Waiting in the calling thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from airflow_src_provider.client.waiting import MAX_SILENCE, Seen, Wait, wait_blocking
from airflow_src_provider.exceptions import ApiError, MaintenanceError, ServerError
from tests.unit.client.server import SteppedClock


class Job(Wait):
    """Work whose service answers as the script says, by number of the look."""

    kind: ClassVar[str] = "jobs"
    script: ClassVar[list[ApiError | str]] = []

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        told = cls.script.pop(0)
        if isinstance(told, ApiError):
            raise told
        return dict.fromkeys(ids, told)

    def judge(self, id_: str, found: Any) -> Seen:
        return Seen("done" if found == "done" else "waiting", str(found))


def waited(script: list[ApiError | str], interval: float = 60.0) -> dict[str, Any]:
    Job.script = script
    clock = SteppedClock()
    return wait_blocking(None, Job(["1"]), interval=interval, deadline=clock() + 1e6, sleep=clock.sleep, clock=clock)


def error(kind: type[ApiError]) -> ApiError:
    return kind("no", service="s", method="GET", path="/")


HOURS = int(3 * MAX_SILENCE / 60.0)


def test_hours_of_maintenance_are_no_silence() -> None:
    event = waited(["begun", *[error(MaintenanceError) for _ in range(HOURS)], error(ServerError), "done"])
    assert event["status"] == "success"


def test_an_hour_without_an_answer_is_one() -> None:
    with pytest.raises(ServerError):
        waited(["begun", *[error(ServerError) for _ in range(HOURS)], "done"])
    assert len(Job.script) > HOURS / 2


def test_one_look_that_fails_is_no_silence_however_rare_the_looks_are() -> None:
    event = waited(["begun", error(ServerError), "still on", error(ServerError), "done"], interval=1.5 * MAX_SILENCE)
    assert event["status"] == "success"


def test_two_in_a_row_are_if_an_hour_lies_between_them() -> None:
    with pytest.raises(ServerError):
        waited(["begun", error(ServerError), error(ServerError), "done"], interval=1.5 * MAX_SILENCE)
