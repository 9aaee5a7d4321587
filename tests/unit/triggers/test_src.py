"""The triggers for SURF Research Cloud: what they are made of, and what a kill does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from airflow_src_provider.operators.src import SrcResumeWorkspaceOperator
from airflow_src_provider.triggers.src import SrcWorkspaceTrigger
from tests.unit.fakes import make_context
from tests.unit.src_world import SrcWorld, src, src_sandbox

__all__ = ["src", "src_sandbox"]


def deferred_resume(src: SrcWorld, **options: Any) -> SrcWorkspaceTrigger:
    task = SrcResumeWorkspaceOperator(task_id="resume", workspace="gpu-box", deferrable=True, **options)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(make_context())
    assert isinstance(deferred.value.trigger, SrcWorkspaceTrigger)
    return deferred.value.trigger


def test_it_travels_through_the_database(src: SrcWorld) -> None:
    path, arguments = deferred_resume(src).serialize()
    assert path == "airflow_src_provider.triggers.src.SrcWorkspaceTrigger"
    again = SrcWorkspaceTrigger(**deserialize(serialize(arguments)))
    assert again.serialize() == (path, arguments)


@pytest.mark.parametrize(("state", "pauses"), [("deferred", 0), ("failed", 1)])
def test_a_kill_pauses_the_machine_but_a_moved_trigger_does_not(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, state: str, pauses: int
) -> None:
    trigger = deferred_resume(src)
    src.sandbox.advance(100)
    monkeypatch.setattr(trigger, "_task_state", lambda: state)
    asyncio.run(trigger.on_kill())
    assert src.effects("gpu-box").get("pause", 0) == pauses


def test_a_kill_leaves_the_machine_if_asked_to(src: SrcWorld) -> None:
    trigger = deferred_resume(src, cancel_on_kill=False)
    src.sandbox.advance(100)
    asyncio.run(trigger.on_kill())
    assert "pause" not in src.effects("gpu-box")
