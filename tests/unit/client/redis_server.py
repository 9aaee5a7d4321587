"""A Redis or Valkey server of a test's own, which it may kill."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.needs import missing


def find_server() -> str:
    """Return the server's program; without one, skip, or fail where all tests must run."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if not program:
        missing("the program redis-server or valkey-server")
    return program


class RedisServer:
    """An empty server on a free port, which keeps nothing when it is killed.

    :param folder: its working directory.
    """

    def __init__(self, folder: Path) -> None:
        self._program = find_server()
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port: int = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([self._program, *arguments], stdout=subprocess.DEVNULL)
        for _ in range(600):
            assert self._process.poll() is None, "the server did not start"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
