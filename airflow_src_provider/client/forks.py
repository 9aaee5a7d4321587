"""Locks, sockets and database connections do not survive a fork; their owners make new ones in the child.

A lock that another thread held at the moment of the fork would stay locked in the child for ever, and a socket or a
database connection used by both processes mixes up their bytes. Airflow forks for every task.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Renewable(Protocol):
    def renew_after_fork(self) -> None: ...


_renewables: weakref.WeakSet[_Renewable] = weakref.WeakSet()


def renew_after_fork(owner: _Renewable) -> None:
    """Have ``owner.renew_after_fork()`` called in every child process, before anything else runs there."""
    _renewables.add(owner)


def _renew_all() -> None:
    for owner in list(_renewables):
        owner.renew_after_fork()


os.register_at_fork(after_in_child=_renew_all)
