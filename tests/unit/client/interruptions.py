"""What a signal's handler raises, at each moment at which it may."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any


class TimeIsOver(BaseException):
    """What a signal's handler raises, such as at the end of a task's time."""


class Interruption:
    """Raises at the n-th moment at which Python may run a signal's handler.

    Those are the beginning of a function and the return from one that is not written in Python; jumps backwards are
    left out.
    """

    def __init__(self, moment: int) -> None:
        self._left = moment

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        if event not in ("call", "c_return") or "/tests/" in frame.f_code.co_filename:
            return
        self._left -= 1
        if self._left < 0:
            sys.setprofile(None)
            raise TimeIsOver


def interrupt(do: Callable[[], object], moment: int) -> bool:
    """Return whether ``do`` was interrupted, and not over before that."""
    # What is called when garbage is collected would be interrupted instead.
    gc.disable()
    sys.setprofile(Interruption(moment))
    try:
        do()
    except TimeIsOver:
        return True
    finally:
        sys.setprofile(None)
        gc.enable()
    return False
