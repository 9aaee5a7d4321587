"""A service that is slower than a request waits: what comes late is waited for, not done a second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_src_provider.client.seven_bridges.files import Files
from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.exceptions import OutcomeUnknownError
from airflow_src_provider.operators.seven_bridges import SevenBridgesCopyFilesOperator, SevenBridgesSubmitTaskOperator
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, RESULTS, SbWorld


def answer_too_late(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *, after: float, status: int | None = None
) -> Callable[[], None]:
    """Let the first call of a method lose its answer, and have its effect only when some time has passed.

    :return: lets the effect come, should it not have come yet.
    """
    original, late = getattr(owner, name), []
    real_sleep = sb.sleep

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if late:
            return original(self, *args, **kwargs)
        late.append((sb.now() + after, lambda: original(self, *args, **kwargs)))
        raise OutcomeUnknownError("no answer", status=status)

    def come() -> None:
        if late[0]:
            (_, effect), late[0] = late[0], ()
            effect()

    def sleep(seconds: float) -> None:
        real_sleep(seconds)
        if late and late[0] and sb.now() >= late[0][0]:
            come()

    monkeypatch.setattr(owner, name, method)
    monkeypatch.setattr("airflow_src_provider.operators.durable.time.sleep", sleep)
    return come


def submit(sb: SbWorld) -> SevenBridgesSubmitTaskOperator:
    reads = {"reads": archive_ids(sb, 2)}
    return SevenBridgesSubmitTaskOperator(
        task_id="run", name="run", project=ARCHIVE, app=APP, inputs=reads, wait_for_completion=False
    )


@pytest.mark.parametrize("status", [None, 504])
def test_a_task_that_is_made_late_is_not_made_twice(
    sb: SbWorld, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    come = answer_too_late(sb, monkeypatch, Tasks, "create", after=25.0, status=status)
    assert sb.run(submit(sb))["task_id"]
    come()
    assert sb.effects()["tasks_created"] == 1


def test_copies_that_come_late_are_not_made_twice(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    come = answer_too_late(sb, monkeypatch, Files, "copy_chunk", after=25.0)
    result = sb.run(SevenBridgesCopyFilesOperator(task_id="copy", files=archive_ids(sb, 30), project=RESULTS))
    come()
    assert (result["copied"], result["renamed"]) == (30, 0)
    assert not [name for name in sb.names(RESULTS) if name.startswith("1_")]


def test_what_did_not_come_in_a_minute_is_sent_again(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_too_late(sb, monkeypatch, Tasks, "create", after=float("inf"))
    begun = sb.now()
    sb.run(submit(sb))
    assert sb.effects()["tasks_created"] == 1
    assert 60.0 <= sb.now() - begun <= 75.0


def test_a_service_that_has_answered_is_not_waited_for(sb: SbWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_too_late(sb, monkeypatch, Tasks, "create", after=float("inf"), status=500)
    begun = sb.now()
    sb.run(submit(sb))
    assert (sb.effects()["tasks_created"], sb.now() - begun < 1.0) == (1, True)
