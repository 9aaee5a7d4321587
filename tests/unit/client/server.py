"""A loopback HTTP server whose answers are scripted, byte by byte if need be."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Answer:
    """One scripted answer.

    :param body: bytes as they are; anything else is sent as JSON.
    :param lose: read the request, then close without a word.
    :param cut: send only so many bytes of the body, then close.
    :param drip: seconds between two bytes of the body, or of the raw answer.
    :param delay: seconds before the answer begins.
    :param raw: the whole answer, instead of everything else.
    :param close: close the connection afterwards.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    lose: bool = False
    cut: int | None = None
    drip: float = 0.0
    delay: float = 0.0
    raw: bytes | None = None
    close: bool = False

    def bytes(self) -> tuple[bytes, bytes]:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{k}: {v}" for k, v in headers.items() if v != "")]
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), body


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class ScriptedServer:
    """Gives the scripted answers in order, then a plain 200 for ever; keeps every request."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._answers: deque[Answer] = deque(answers)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"

    def script(self, *answers: Answer) -> None:
        """Forget what was, and give these answers from now on."""
        self._answers = deque(answers)
        self.requests = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                stack.callback(connection.close)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
            stack.callback(self._open.discard, connection)
            stream = stack.enter_context(connection.makefile("rb"))
            while request := self._read(stream, number):
                answer = self._answers.popleft() if self._answers else Answer()
                self.requests.append(request)
                if answer.delay:
                    time.sleep(answer.delay)
                if answer.lose or not self._send(connection, answer):
                    return

    @staticmethod
    def _read(stream: Any, number: int) -> Request | None:
        first = stream.readline().decode("latin-1").split()
        if len(first) != 3:
            return None
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Request(first[0], first[1], headers, body, number)

    @staticmethod
    def _send(connection: socket.socket, answer: Answer) -> bool:
        head, body = answer.bytes() if answer.raw is None else (b"", answer.raw)
        if answer.drip:
            connection.sendall(head)
            for byte in body:
                connection.sendall(bytes([byte]))
                time.sleep(answer.drip)
        else:
            connection.sendall(head + (body if answer.cut is None else body[: answer.cut]))
        return answer.cut is None and answer.raw is None and not answer.close


class SteppedClock:
    """A monotonic clock that moves only when somebody sleeps, and remembers each sleep."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.sleeps.append(seconds)
        self.now += seconds
