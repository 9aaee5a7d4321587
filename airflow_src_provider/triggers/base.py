"""The base of all triggers: deadline, one event, and an end that cancels only what was really killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pkgutil import resolve_name
from typing import Any, ClassVar, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_src_provider.client.waiting import Progress, Wait
from airflow_src_provider.exceptions import ApiError
from airflow_src_provider.triggers.hub import Hub

#: Seconds that a look may wait inside a request; the hub has its own way of coming back later.
POLL_PATIENCE = 5.0
GUARD_TRIES = 3
#: States of a task that nobody goes on with.
KILLED = frozenset({"failed", "skipped", "upstream_failed", "removed"})
#: States of a task that was cleared and of which another try is in charge now.
IN_CHARGE = frozenset({"running", "deferred", "up_for_retry", "up_for_reschedule", "restarting"})

T = TypeVar("T")

log = logging.getLogger(__name__)

_background: set[asyncio.Task[None]] = set()
_cancel_threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="airflow-src-provider-cancel")


class _GoesOnError(Exception):
    """Another try of the task is in charge of what would be ended."""


class Finished(TriggerEvent):
    """The one event of a trigger, shown in a few words: Airflow writes events to the task's log as they are."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.payload[key])} {key}" for key in ("results", "failed", "pending"))
        return f"{self.payload['status']}: {counts}"


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
        return resolve_name(self.hook_path)(self.conn_id).client

    def make_poller(self) -> Any:
        """Build the client that the hub looks with. Blocks, so it runs in a thread."""
        client = self.make_client()
        return type(client)(client.session.yielding(POLL_PATIENCE))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield exactly one event."""
        event = await Hub.of((self.hook_path, self.conn_id), self.make_poller).wait(
            self.wait_class(**self.wait),
            interval=self.poll_interval,
            deadline=self.deadline,
            tell=self.log.info,
        )
        yield Finished(payload={**event, "carry": self.carry})

    async def on_kill(self) -> None:
        """Cancel the remote work, if the task was really killed.

        A triggerer that was stalled hears of "killed" triggers that have only moved to another triggerer.
        """
        if not self.cancel_on_kill:
            return
        # A task of its own: the triggerer cancels this coroutine again about a second later.
        task = asyncio.create_task(self._cancel_if_killed())
        _background.add(task)
        task.add_done_callback(_background.discard)
        await asyncio.shield(task)

    async def _cancel_if_killed(self) -> None:
        try:
            first = await _in_thread(self._ask_state)
            if first == "deferred":
                self.log.info("The task is still deferred: its trigger has moved, nothing is cancelled.")
                return
            steps = await _in_thread(lambda: self._cancel(first))
            # A default: no exception that ends an iteration may leave a thread.
            while (step := await _in_thread(lambda: next(steps, None))) is not None:
                lines, pause = step
                for line in lines:
                    self.log.info(line)
                if not pause:
                    return
                # In no thread: a deletion may take an hour, and a triggerer that ends waits for its threads.
                await asyncio.sleep(pause)
        except _GoesOnError:
            self.log.info("Another try of the task goes on with what is there, so nothing more is cancelled.")
        except asyncio.CancelledError:
            log.warning("This triggerer ends. Look in the portal whether it goes on: %s", self.wait["ids"])
            raise
        except Exception:
            # Nobody waits for this task of the loop, so nobody else would hear of it.
            log.exception("What was waited for may go on, look at it in the portal: %s", self.wait["ids"])

    def _ask_state(self) -> str | None:
        for tries_left in reversed(range(GUARD_TRIES)):
            try:
                return self._task_state()
            except Exception:
                if not tries_left:
                    raise
                time.sleep(1.0)
        raise AssertionError("the last try returns or raises")

    def _task_state(self) -> str | None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ti = self.task_instance
        if ti is None:
            return None
        map_index = -1 if ti.map_index is None else ti.map_index
        states = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
        )
        by_task = states.get(ti.run_id) or {}
        state = by_task.get(ti.task_id) or by_task.get(f"{ti.task_id}_{map_index}")
        return None if state is None else str(state)

    def _cancel(self, state: str | None) -> Iterator[tuple[list[str], float]]:
        wait = self.wait_class(**self.wait)
        client = self.make_client()
        if state not in KILLED:
            # Cleared, or this triggerer was stalled, another one saw the end, and the task has gone on since: what came
            # of the work is not to be undone then.
            progress = Progress(wait)
            with contextlib.suppress(ApiError):
                progress.update(wait.look(client, wait.ids))
            if not progress.pending:
                return iter([(["What was waited for is over, there is nothing to cancel."], 0.0)])
        if wait.passes_on:
            # Asked when it is the request's turn: before that it may wait minutes for the budget.
            client = type(client)(client.session.announcing(lambda: self._stop_if_in_charge(state)))
        return wait.cancelling(client)

    def _stop_if_in_charge(self, first: str | None) -> None:
        state = self._ask_state()
        if state in IN_CHARGE or (state == "success" and first != "success"):
            raise _GoesOnError


async def _in_thread(do: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_cancel_threads, do)
