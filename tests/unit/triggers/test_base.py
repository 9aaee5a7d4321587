"""What all triggers share: one event, attributes that travel, and an end that cancels only what was really killed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_src_provider.client.waiting import Seen, Wait
from airflow_src_provider.triggers.base import WaitTrigger


class OneWait(Wait):
    kind = "one"
    cancelled: ClassVar[list[str]] = []
    cancel_takes: ClassVar[float] = 0.0

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        return dict.fromkeys(ids, client)

    def judge(self, id_: str, found: Any) -> Seen:
        return Seen("waiting", "running") if self.options.get("runs") else Seen("done", "done", self.options["answer"])

    def cancel(self, client: Any) -> list[str]:
        time.sleep(self.cancel_takes)
        type(self).cancelled += self.ids
        return [f"cancelled {i}" for i in self.ids]


class Client:
    def __init__(self, session: Any) -> None:
        self.session = session


SESSION = SimpleNamespace(
    calls=0,
    yielding=lambda max_wait: SESSION,
    budget=SimpleNamespace(settings=SimpleNamespace(allowed=1000, window=0.0), used=lambda: 0),
)


class OneTrigger(WaitTrigger):
    hook_path = "builtins.object"
    wait_class = OneWait

    def make_client(self) -> Any:
        return Client(SESSION)


def make(**more: Any) -> OneTrigger:
    arguments: dict[str, Any] = {
        "conn_id": "c",
        "wait": {"ids": ["a", "b"], "answer": 42},
        "deadline": time.time() + 60,
    }
    trigger = OneTrigger(**{**arguments, "poll_interval": 0.01, **more})
    trigger._task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    return trigger


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    OneWait.cancelled = []
    OneWait.cancel_takes = 0.0


def states(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **_: answer))


def running(**more: Any) -> OneTrigger:
    return make(wait={"ids": ["a", "b"], "runs": True}, **more)


async def kill(trigger: OneTrigger, again_after: float | None = None) -> None:
    task = asyncio.create_task(trigger.on_kill())
    if again_after is not None:
        await asyncio.sleep(again_after)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_exactly_one_event() -> None:
    async def collect() -> list[Any]:
        return [event.payload async for event in make(carry={"job": 7}).run()]

    (event,) = asyncio.run(collect())
    assert event.pop("carry") == {"job": 7}
    assert event == {"status": "success", "results": {"a": 42, "b": 42}, "failed": {}, "pending": [], "message": ""}


def test_it_travels_as_attributes() -> None:
    from airflow.sdk.serde import deserialize, serialize

    trigger = make(cancel_on_kill=False)
    path, kwargs = trigger.serialize()
    assert path == f"{__name__}.OneTrigger"
    again = OneTrigger(**deserialize(serialize(kwargs)))
    assert again.serialize() == trigger.serialize()


def test_a_killed_task_cancels_its_remote_work(monkeypatch: pytest.MonkeyPatch) -> None:
    states(monkeypatch, {"r": {"t": "failed"}})
    asyncio.run(kill(running()))
    assert OneWait.cancelled == ["a", "b"]


def test_a_trigger_that_only_moved_cancels_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    states(monkeypatch, {"r": {"t": "deferred"}})
    asyncio.run(kill(running()))
    assert OneWait.cancelled == []


def test_the_guard_understands_mapped_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    states(monkeypatch, {"r": {"t_3": "deferred"}})
    trigger = running()
    trigger._task_instance.map_index = 3  # type: ignore[union-attr]
    asyncio.run(kill(trigger))
    assert OneWait.cancelled == []


def test_the_choice_not_to_cancel_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    states(monkeypatch, {"r": {"t": "failed"}})
    asyncio.run(kill(running(cancel_on_kill=False)))
    assert OneWait.cancelled == []


def test_a_second_cancel_does_not_interrupt_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow up to 3.3.2 cancels the coroutine again about a second after it began."""
    states(monkeypatch, {"r": {"t": "failed"}})
    OneWait.cancel_takes = 0.1

    async def main() -> None:
        await kill(running(), again_after=0.02)
        assert OneWait.cancelled == [], "the kill was interrupted before the remote side had answered"
        await asyncio.sleep(0.2)

    asyncio.run(main())
    assert OneWait.cancelled == ["a", "b"]


def test_the_loop_is_never_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def make_client(self: OneTrigger) -> Client:
        threads.append(threading.current_thread())
        return Client(SESSION)

    monkeypatch.setattr(OneTrigger, "make_client", make_client)
    states(monkeypatch, {"r": {"t": "failed"}})

    async def main() -> None:
        _ = [event async for event in make().run()]
        await kill(running())

    asyncio.run(main())
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_who_slept_through_the_end_of_the_wait_undoes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger had moved, its work was over and its task has gone on, while this triggerer was stalled."""
    states(monkeypatch, {"r": {"t": "success"}})
    asyncio.run(kill(make()))
    assert OneWait.cancelled == []


@pytest.mark.parametrize("state", ["success", None, "scheduled", "queued", "running"])
def test_a_cleared_task_ends_what_still_runs(monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    states(monkeypatch, {"r": {"t": state}})
    asyncio.run(kill(running()))
    assert OneWait.cancelled == ["a", "b"]


def test_what_a_failed_task_has_begun_is_undone_even_if_it_is_finished_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine, say, that has come up since the last look."""
    states(monkeypatch, {"r": {"t": "failed"}})
    asyncio.run(kill(make()))
    assert OneWait.cancelled == ["a", "b"]


def test_a_guard_that_fails_at_first_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_src_provider.triggers.base.time.sleep", lambda _: None)
    answers = iter([RuntimeError("no answer"), RuntimeError("no answer"), {"r": {"t": "failed"}}])

    def ask(**_: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(ask))
    asyncio.run(kill(running()))
    assert OneWait.cancelled == ["a", "b"]


def test_an_end_without_any_step_is_one(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    states(monkeypatch, {"r": {"t": "failed"}})
    monkeypatch.setattr(OneWait, "cancelling", lambda *_: iter(()))

    async def main() -> None:
        await asyncio.wait_for(kill(running()), 5.0)

    asyncio.run(main())
    assert "may go on" not in caplog.text


def test_in_doubt_nothing_is_cancelled_but_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("airflow_src_provider.triggers.base.time.sleep", lambda _: None)

    def ask(**_: Any) -> Any:
        raise RuntimeError("no answer")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(ask))
    asyncio.run(kill(running()))
    assert OneWait.cancelled == []
    assert "may go on" in caplog.text
