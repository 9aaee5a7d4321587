"""Stands in for the package of this name, which Airflow imports to send metrics: its text format, over UDP.

Each line ends with what kind of process sent it, such as ``scheduler`` (and the tasks that its executor runs) or
``triggerer``.
"""

from __future__ import annotations

import socket
import sys
import time
from datetime import timedelta
from typing import Any


class StatsClient:
    """What Airflow uses of a client."""

    def __init__(self, host: str, port: int, prefix: str, ipv6: bool = False) -> None:
        self._place = (host, port)
        self._prefix = prefix
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _send(self, stat: str, value: Any, kind: str) -> None:
        process = " ".join(sys.argv[1:2])
        self._socket.sendto(f"{self._prefix}.{stat}:{value}|{kind}|{process}".encode(), self._place)

    def incr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        self._send(stat, count, "c")

    def decr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        self._send(stat, -count, "c")

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False) -> None:
        self._send(stat, value, "g")

    def timing(self, stat: str, delta: float | timedelta) -> None:
        self._send(stat, delta.total_seconds() * 1000 if isinstance(delta, timedelta) else delta, "ms")

    def timer(self, stat: str) -> _Timer:
        return _Timer(self, stat)


class _Timer:
    def __init__(self, client: StatsClient, stat: str) -> None:
        self._client = client
        self._stat = stat

    def start(self) -> None:
        self._began = time.perf_counter()

    def stop(self) -> None:
        self._client.timing(self._stat, 1000 * (time.perf_counter() - self._began))
