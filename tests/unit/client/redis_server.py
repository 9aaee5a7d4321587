"""A Redis or Valkey server of a test's own, which it may kill, and a door in front of one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.needs import REDIS, missing


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


class Door:
    """A port in front of the server that can be shut, jammed and opened again."""

    def __init__(self) -> None:
        self.target = REDIS
        self._listener: socket.socket | None = None
        self._pipes: list[socket.socket] = []
        self.jammed = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://{REDIS[0]}:{self.port}/0"

    def open(self) -> None:
        self._listener = socket.create_server((REDIS[0], self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.shutdown(socket.SHUT_RDWR)
        self._pipes.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
                self._pipes += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                if not self.jammed:
                    target.sendall(data)
