"""The store of the budget is lost in the middle of load: how many requests are refused, and how long one takes."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import requests

from benchmarks.processes import server
from benchmarks.rows import Row
from benchmarks.sharing import START_UP, Load, start_client

LIMIT, WINDOW, WINDOWS = 1000, 20.0, 7
#: Seconds for which a server or the holder of a lock is away.
AWAY = 4.0
MOST_REFUSED, LONGEST = 8, 10.0
HOLDER = """
import sys, time
from pathlib import Path
from airflow_src_provider.client.locks import ProcessLock
with ProcessLock(Path(sys.argv[1]), timeout=60):
    print("holding", flush=True)
    time.sleep(600)
"""


class Redis:
    """A server of one's own, which keeps nothing."""

    def __init__(self, folder: str) -> None:
        self._program = shutil.which("redis-server") or shutil.which("valkey-server")
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._port = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}/0"

    @property
    def exists(self) -> bool:
        return self._program is not None

    def start(self) -> None:
        where = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", self._folder]
        command = [str(self._program), *where, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
                return
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        time.sleep(AWAY)
        self.start()


def rows(windows: int = WINDOWS) -> Iterator[Row]:
    """Yield a row for each way to lose a store.

    :param windows: length of each run.
    """
    with tempfile.TemporaryDirectory() as folder:
        redis, name = Redis(folder), "store lost under load: Redis killed, back empty"
        if redis.exists:
            redis.start()
            try:
                # A server that is younger than the window would not be trusted with all of the allowance.
                time.sleep(WINDOW + 1)
                yield run(name, redis.restart, windows, folder, redis.url)
            finally:
                redis.kill()
        else:
            yield Row(name, "no program redis-server", _target(), None)
    for name, trouble in (("its files deleted", _delete), ("holder of its lock stopped, then killed", _hold)):
        with tempfile.TemporaryDirectory() as folder:
            yield run(f"store lost under load: {name}", partial(trouble, Path(folder)), windows, folder)


def _delete(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink(missing_ok=True)


def _hold(folder: Path) -> None:
    (lock,) = folder.glob("*.lock")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.send_signal(signal.SIGSTOP)
    time.sleep(2 * AWAY)
    holder.kill()
    holder.communicate()


def run(name: str, trouble: Callable[[], None], windows: int, folder: str, redis: str = "") -> Row:
    """Make trouble in the second window, while eight processes send as fast as they may; count at the server."""
    load = Load("rolling", LIMIT, WINDOW, windows * WINDOW, redis=redis)
    with server(load.kind, LIMIT, WINDOW) as url:
        start = time.monotonic() + START_UP
        clients = [start_client(load, url, folder, start, patience=LONGEST / 2) for _ in range(load.processes)]
        time.sleep(START_UP + 1.1 * WINDOW)
        trouble()
        told = [client.communicate()[0] for client in clients]
        failed = sum(client.returncode != 0 for client in clients)
        counts = requests.get(f"{url}_stats", timeout=30).json()
    longest = max(float(words.split()[-1]) for words in told if words.strip())
    refused, late = len(counts["refused"]), start + (windows - 2) * WINDOW
    last = sum(moment >= late for moment in counts["accepted"]) / (2 * LIMIT)
    return Row(
        name,
        f"{refused} refused, longest request {longest:.1f} s, {last:.0%} used in the end"
        + f", {failed} FAILED" * bool(failed),
        _target(),
        not failed and refused <= MOST_REFUSED and longest <= LONGEST and last >= 0.9,
    )


def _target() -> str:
    return f"<= {MOST_REFUSED}, <= {LONGEST:g} s, >= 90%"
