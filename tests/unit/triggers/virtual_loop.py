"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from concurrent.futures import Executor, Future
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = 0.0
        loop = self

        class JumpSelector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[Any]:
                ready = super().select(0)
                if not ready and timeout:
                    loop.virtual += timeout
                return ready

        super().__init__(JumpSelector())

    def time(self) -> float:
        return self.virtual


class InlineExecutor(Executor):
    """Runs what is submitted at once, in the calling thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
