"""A fast rate-limited HTTP server in a process of its own, which keeps the arrival of every request.

``rolling`` counts in a sliding log, refused requests included, and says nothing about its limit. ``fixed`` counts in
windows that begin with the first request, and reports limit, rest and reset. ``none`` refuses nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import email.utils
import json
import math
import time
from collections import deque

BODY = json.dumps({"items": [{"id": "5f0c", "name": "a"}] * 3}).encode()


class Limit:
    """Decides about each request, and remembers what it decided."""

    def __init__(self, kind: str, limit: int, window: float) -> None:
        self.kind, self.limit, self.window = kind, limit, window
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self._log: deque[float] = deque()
        self._start = -math.inf
        self._count = 0

    def admit(self) -> tuple[bool, str]:
        """Return whether the request that arrives now is accepted, and the headers to tell."""
        now = time.monotonic()
        ok, headers = getattr(self, f"_{self.kind}")(now)
        (self.accepted if ok else self.refused).append(now)
        return ok, headers

    def _none(self, now: float) -> tuple[bool, str]:
        return True, ""

    def _rolling(self, now: float) -> tuple[bool, str]:
        while self._log and self._log[0] <= now - self.window:
            self._log.popleft()
        ok = len(self._log) < self.limit
        self._log.append(now)
        return ok, "X-RateLimit-Limit: -1\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 0\r\n"

    def _fixed(self, now: float) -> tuple[bool, str]:
        if now - self._start >= self.window:
            self._start, self._count = now, 0
        self._count += 1
        reset = int(time.time() + self._start + self.window - now)
        rest = max(0, self.limit - self._count)
        return self._count <= self.limit, (
            f"X-RateLimit-Limit: {self.limit}\r\nX-RateLimit-Remaining: {rest}\r\nX-RateLimit-Reset: {reset}\r\n"
        )


class Connection(asyncio.Protocol):
    """Answers GET requests of one keep-alive connection."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /_stats"):
                counts = {"accepted": self._limit.accepted, "refused": self._limit.refused}
                self._answer("200 OK", "", json.dumps(counts).encode())
            else:
                ok, headers = self._limit.admit()
                self._answer("200 OK" if ok else "429 Too Many Requests", headers, BODY if ok else b"{}")

    def _answer(self, status: str, headers: str, body: bytes) -> None:
        date = email.utils.formatdate(usegmt=True)
        head = f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: application/json\r\n{headers}"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["none", "rolling", "fixed"], default="none")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--window", type=float, default=60.0)
    options = parser.parse_args()
    limit = Limit(options.kind, options.limit, options.window)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(limit), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
