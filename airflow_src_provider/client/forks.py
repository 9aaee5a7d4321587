"""Locks, sockets and database connections do not survive a fork; their owners make new ones in the child.

A lock that another thread held at the moment of the fork would stay locked in the child for ever, and a socket or a
database connection used by both processes mixes up their bytes. Airflow forks for every task.

SQLite wants more: no thread may be inside of it and no connection be open at the moment of the fork. It keeps locks of
its own in the process, which a child inherits in whatever state they are, and believes that the process has locked
the file, which is true of the parent only.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol, TypeVar


class _Renewable(Protocol):
    def renew_after_fork(self) -> None: ...


class _Pausable(Protocol):
    def before_fork(self) -> None: ...

    def after_fork(self) -> None: ...


T = TypeVar("T")

_renewables: weakref.WeakSet[_Renewable] = weakref.WeakSet()
_pausables: weakref.WeakSet[_Pausable] = weakref.WeakSet()


def renew_after_fork(owner: _Renewable) -> None:
    """Have ``owner.renew_after_fork()`` called in every child process, before anything else runs there."""
    _renewables.add(owner)


def pause_for_fork(owner: _Pausable) -> None:
    """Have ``owner.before_fork()`` called before every fork, and ``owner.after_fork()`` in the parent after it."""
    _pausables.add(owner)


def _all(owners: weakref.WeakSet[T]) -> list[T]:
    while True:
        try:
            return list(owners)
        except RuntimeError:
            # Another thread has added one meanwhile.
            continue


def _pause_all() -> None:
    for owner in _all(_pausables):
        owner.before_fork()


def _resume_all() -> None:
    for owner in _all(_pausables):
        owner.after_fork()


def _renew_all() -> None:
    for owner in _all(_renewables):
        owner.renew_after_fork()


os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_renew_all)
