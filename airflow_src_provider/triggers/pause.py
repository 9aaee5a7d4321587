"""A pause without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class PauseTrigger(BaseTrigger):
    """Waits for a moment, for a task that cannot go on before.

    :param until: the moment, epoch seconds.
    :param carry: what the task wants to find in the event again.
    """

    def __init__(self, *, until: float, carry: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.carry = carry

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{__name__}.{type(self).__qualname__}", {"until": self.until, "carry": self.carry}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield exactly one event."""
        await asyncio.sleep(max(0.0, self.until - time.time()))
        yield TriggerEvent({"status": "success", "carry": self.carry})  # type: ignore[no-untyped-call]
