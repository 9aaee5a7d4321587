"""Receives what Airflow sends to a StatsD server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

STAND_INS = Path(__file__).parent / "stand_ins"
MARK, END = b"mark", b"end"


@dataclass(frozen=True)
class Line:
    """One measurement.

    :param kind: ``c`` (counter), ``ms`` (timer) or ``g`` (gauge).
    :param process: what kind of process sent it.
    """

    name: str
    value: float
    kind: str
    process: str
    tags: Mapping[str, str] = field(default_factory=dict)


class StatsdServer:
    """A UDP socket on loopback for the metrics of this package; those of Airflow itself are not sent."""

    def __enter__(self) -> Self:
        self._lines: list[Line] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        # Read at once: what does not fit into the socket's buffer is lost without a word.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._say(END)
        self._thread.join()
        self._socket.close()

    def settings(self, tags: bool) -> dict[str, str]:
        """Return Airflow's settings for sending here, without the prefix of the environment variables."""
        return {
            "METRICS__STATSD_ON": "True",
            "METRICS__STATSD_HOST": "127.0.0.1",
            "METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
            "METRICS__STATSD_INFLUXDB_ENABLED": str(tags),
            "METRICS__METRICS_ALLOW_LIST": "airflow_src_provider",
        }

    def lines(self) -> list[Line]:
        """Return everything that was sent before this call."""
        self._arrived = threading.Event()
        self._say(MARK)
        assert self._arrived.wait(30)
        return list(self._lines)

    def _say(self, word: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(word, self._socket.getsockname())

    def _read(self) -> None:
        while (text := self._socket.recv(65536)) != END:
            if text == MARK:
                self._arrived.set()
            else:
                self._lines.append(parsed(text.decode()))


def parsed(text: str) -> Line:
    """Read one measurement."""
    stat, _, rest = text.rpartition(":")
    value, kind, process = rest.split("|")
    name, *tags = stat.split(",")
    return Line(name, float(value), kind, process, dict(tag.split("=") for tag in tags))
