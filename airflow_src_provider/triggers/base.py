"""The base of all triggers: deadline, one event, and an end that cancels only what was really killed."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_src_provider.client.waiting import Wait
from airflow_src_provider.triggers.hub import Hub

_background: set[asyncio.Task[None]] = set()
_cancel_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="airflow-src-provider-cancel")


class WaitTrigger(BaseTrigger):
    """Waits in the triggerer until remote work is finished; subclasses name their hook and their kind of wait.

    :param conn_id: the Airflow connection.
    :param wait: arguments of the wait, JSON-able.
    :param deadline: moment (epoch seconds) at which the wait ends with a ``timeout`` event.
    :param poll_interval: seconds between looks.
    :param cancel_on_kill: end the remote work when the deferred task is killed by a user.
    :param carry: what the task wants to find in the event again.
    """

    hook_path: ClassVar[str]
    wait_class: ClassVar[type[Wait]]

    def __init__(
        self,
        *,
        conn_id: str,
        wait: dict[str, Any],
        deadline: float,
        poll_interval: float = 30.0,
        cancel_on_kill: bool = True,
        carry: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.wait = wait
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.cancel_on_kill = cancel_on_kill
        self.carry = carry

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "conn_id": self.conn_id,
            "wait": self.wait,
            "deadline": self.deadline,
            "poll_interval": self.poll_interval,
            "cancel_on_kill": self.cancel_on_kill,
            "carry": self.carry,
        }

    def make_client(self) -> Any:
        """Build the client from the connection. Blocks, so it runs in a thread."""
        module, _, name = self.hook_path.rpartition(".")
        return getattr(importlib.import_module(module), name)(self.conn_id).client

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield exactly one event."""
        event = await Hub.of((self.hook_path, self.conn_id), self.make_client).wait(
            self.wait_class(**self.wait),
            interval=self.poll_interval,
            deadline=self.deadline,
            tell=self.log.info,
        )
        yield TriggerEvent({**event, "carry": self.carry})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Cancel the remote work, if the task was really killed."""
        if not self.cancel_on_kill:
            return
        # A task of its own: the triggerer cancels this coroutine again about a second later.
        task = asyncio.create_task(self._cancel_if_killed())
        _background.add(task)
        task.add_done_callback(_background.discard)
        await asyncio.shield(task)

    async def _cancel_if_killed(self) -> None:
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(_cancel_threads, self._still_deferred):
            self.log.info("The task is still deferred: its trigger has moved, nothing is cancelled.")
            return
        for line in await loop.run_in_executor(_cancel_threads, self._cancel):
            self.log.info(line)

    def _still_deferred(self) -> bool:
        # A triggerer that was stalled hears of "killed" triggers that have only moved to another triggerer.
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ti = self.task_instance
        if ti is None:
            return False
        map_index = -1 if ti.map_index is None else ti.map_index
        states = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
        )
        by_task = states.get(ti.run_id) or {}
        return (by_task.get(ti.task_id) or by_task.get(f"{ti.task_id}_{map_index}")) == "deferred"

    def _cancel(self) -> list[str]:
        return self.wait_class(**self.wait).cancel(self.make_client())
