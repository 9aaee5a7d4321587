"""A fast rate-limited HTTP server in a process of its own, which keeps the arrival of every request.

``rolling`` counts in a sliding log and says nothing about its limit; ``strict`` counts what it refuses too.
``fixed`` counts in windows that begin with the first request, and reports limit, rest and reset. ``none`` refuses
nothing. Paths that begin with ``/foreign`` are another tool's, with the same token.
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
    """Decides about each request, and remembers what it decided.

    :param retry_after: say with a refusal after how many seconds there is room again; ``fixed`` says it anyway.
    """

    def __init__(self, kind: str, limit: int, window: float, retry_after: bool = False) -> None:
        self.kind, self.limit, self.window, self.retry_after = kind, limit, window, retry_after
        self.counts: dict[str, list[float]] = {
            f"{whose}{what}": [] for whose in ("", "foreign_") for what in ("accepted", "refused")
        }
        self._log: deque[float] = deque()
        self._start = -math.inf
        self._count = 0

    def admit(self, foreign: bool) -> tuple[bool, str]:
        """Return whether the request that arrives now is accepted, and the headers to tell."""
        now = time.monotonic()
        ok, headers = getattr(self, f"_{self.kind}")(now)
        self.counts[("foreign_" if foreign else "") + ("accepted" if ok else "refused")].append(now)
        return ok, headers

    def _none(self, now: float) -> tuple[bool, str]:
        return True, ""

    def _rolling(self, now: float, strict: bool = False) -> tuple[bool, str]:
        while self._log and self._log[0] <= now - self.window:
            self._log.popleft()
        ok = len(self._log) < self.limit
        headers = "X-RateLimit-Limit: -1\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 0\r\n"
        if not ok and self.retry_after:
            headers += f"Retry-After: {math.ceil(self._log[-self.limit] + self.window - now)}\r\n"
        if ok or strict:
            self._log.append(now)
        return ok, headers

    def _strict(self, now: float) -> tuple[bool, str]:
        return self._rolling(now, strict=True)

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
                self._answer("200 OK", "", json.dumps(self._limit.counts).encode())
            else:
                ok, headers = self._limit.admit(head.startswith(b"GET /foreign"))
                self._answer("200 OK" if ok else "429 Too Many Requests", headers, BODY if ok else b"{}")

    def _answer(self, status: str, headers: str, body: bytes) -> None:
        date = email.utils.formatdate(usegmt=True)
        head = f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: application/json\r\n{headers}"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=["none", "rolling", "strict", "fixed"], default="none")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--window", type=float, default=60.0)
    parser.add_argument("--retry-after", action="store_true")
    options = parser.parse_args()
    limit = Limit(options.kind, options.limit, options.window, options.retry_after)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(limit), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
