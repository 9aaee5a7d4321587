"""A pause without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pkgutil import resolve_name
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_src_provider.triggers.base import KILLED

#: States of a task that does not go on.
ENDED = KILLED | {"success"}


class PauseTrigger(BaseTrigger):
    """Waits for a moment, for a task that cannot go on before.

    :param until: the moment, epoch seconds.
    :param carry: what the task wants to find in the event again.
    :param on_kill_of: class path and arguments of the trigger that ends what the task has started already, should the
        task be killed meanwhile.
    """

    def __init__(
        self, *, until: float, carry: dict[str, Any], on_kill_of: tuple[str, dict[str, Any]] | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.carry = carry
        self.on_kill_of = on_kill_of

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{__name__}.{type(self).__qualname__}", {
            "until": self.until,
            "carry": self.carry,
            "on_kill_of": self.on_kill_of,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield exactly one event."""
        await asyncio.sleep(max(0.0, self.until - time.time()))
        started = {} if self.on_kill_of is None else {"on_kill_of": self.on_kill_of}
        yield TriggerEvent({"status": "success", "carry": {**self.carry, **started}})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """End what the task has started already."""
        if self.on_kill_of is None:
            return
        path, arguments = self.on_kill_of
        trigger = resolve_name(path)(**arguments)
        trigger.task_instance = self.task_instance
        ask_state = trigger._ask_state

        def state() -> str | None:
            # A task that was not killed has gone on from here, or will: it takes care of what it has started.
            found = ask_state()
            return found if found in ENDED else "deferred"

        trigger._ask_state = state
        await trigger.on_kill()
