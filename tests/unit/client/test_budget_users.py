"""Tasks that run as different users of one host share one budget, through a directory of their common group."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrate_limiter  # noqa: F401  # Later, other users could not read it.
import pytest

from airflow_src_provider.client.filestore import FileStore

GROUP, FIRST, SECOND = 61_500, 61_501, 61_502

# Where all tests must run it fails without root.
pytestmark = pytest.mark.skipif(
    os.getuid() != 0 and not os.environ.get("CI"), reason="only root can take the place of two users"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own, which other users cannot enter.
    path = Path(tempfile.mkdtemp(prefix="airflow-src-provider-users-"))
    os.chown(path, 0, GROUP)
    path.chmod(0o2770)
    yield path
    shutil.rmtree(path)


def as_user(user: int, do: Callable[[], bool]) -> bool:
    """Return what ``do`` returns in a process of another user."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            os.setgroups([GROUP])
            os.setgid(GROUP)
            os.setuid(user)
            code = 0 if do() else 1
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1), "see the traceback above"
    return code == 0


def store(folder: Path) -> FileStore:
    return FileStore(folder, "token", 3, 60.0)


def test_they_count_together(folder: Path) -> None:
    for user in (FIRST, SECOND, FIRST):
        assert as_user(user, lambda: store(folder).try_acquire() == 0.0)
    assert as_user(SECOND, lambda: store(folder).try_acquire() > 0.0)


def test_each_of_them_can_ask_all_for_silence(folder: Path) -> None:
    def ask(seconds: float) -> bool:
        store(folder).close_gate(seconds)
        return True

    assert as_user(FIRST, lambda: ask(20.0))
    assert as_user(SECOND, lambda: ask(40.0))
    assert as_user(FIRST, lambda: 20.0 < store(folder).gate() <= 40.0)


def test_each_of_them_can_learn(folder: Path) -> None:
    def learn(number: int) -> bool:
        store(folder).learn(number, 40.0)
        return True

    assert as_user(FIRST, lambda: learn(2))
    assert as_user(SECOND, lambda: learn(1))
    assert as_user(FIRST, lambda: (store(folder).learned() or (0,))[0] == 1)
