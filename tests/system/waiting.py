"""Whether these tests run in full, and how they wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

#: The whole of it, as for a release; else a fast cut of the same tests.
SOAK = os.environ.get("SYSTEM_TESTS") == "soak"


def wait_until(what: str, check: Callable[[], Any], seconds: float, every: float = 0.5) -> Any:
    """Return the first true value of ``check``.

    :param what: what is waited for, for the error.
    :param seconds: how long.
    """
    until = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)
