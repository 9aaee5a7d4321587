"""Many processes, one token: how many requests are refused, and how much of the allowance is used."""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import requests

from airflow_src_provider.client.budget import BudgetSettings
from airflow_src_provider.exceptions import BudgetWaitError, RateLimitError
from benchmarks.processes import new_session, server
from benchmarks.rows import Row

AT_LEAST = 0.95
START_UP = 4.0


@dataclass(frozen=True)
class Load:
    """One run.

    :param kind: how the server counts.
    :param limit: requests per window.
    :param window: seconds.
    :param seconds: length of the run.
    :param processes: how many clients send as fast as they may.
    :param hosts: on how many hosts they pretend to be; more than one needs Redis.
    :param redis: URL of the server for several hosts.
    """

    kind: str
    limit: int
    window: float
    seconds: float
    processes: int = 8
    hosts: int = 1
    redis: str = ""

    @property
    def name(self) -> str:
        hosts = (
            f"{self.hosts} x {self.processes // self.hosts} processes, Redis"
            if self.redis
            else f"{self.processes} processes, one host"
        )
        return f"{hosts}, {self.limit}/{self.window:g} s, {self.kind} server, {self.seconds:g} s"


def run(load: Load) -> Row:
    """Let all clients send as fast as they may, and count at the server."""
    with server(load.kind, load.limit, load.window) as url, tempfile.TemporaryDirectory() as folder:
        start = time.monotonic() + START_UP
        # Hosts share no files.
        clients = [start_client(load, url, f"{folder}/{i % load.hosts}", start) for i in range(load.processes)]
        failed = sum(client.wait() != 0 for client in clients)
        counts = requests.get(f"{url}_stats", timeout=30).json()
    accepted, refused = counts["accepted"], len(counts["refused"])
    used = utilisation(accepted, load.limit, load.window)
    return Row(
        load.name,
        f"{refused} refused of {len(accepted) + refused}, {used:.1%} of the allowance"
        + f", {failed} FAILED" * bool(failed),
        f"0 refused, >= {AT_LEAST:.0%}",
        not refused and not failed and used >= AT_LEAST,
    )


def start_client(
    load: Load, url: str, folder: str, start: float, patience: float | None = None
) -> subprocess.Popen[str]:
    """Start one process that sends as fast as it may, and tells in the end how many seconds its longest request took.

    :param folder: where its host keeps the budget's files.
    :param start: moment of the monotonic clock at which to begin.
    :param patience: seconds that a request may spend waiting; default: until the end.
    """
    command = [sys.executable, "-m", "benchmarks.sharing", url, str(load.limit), str(load.window)]
    times = [str(moment) for moment in (start, start + load.seconds, patience or load.seconds)]
    return subprocess.Popen([*command, load.redis, folder, *times], stdout=subprocess.PIPE, text=True)


def utilisation(accepted: list[float], limit: int, window: float) -> float:
    """Return the steady share of the allowance: the window, over the mean time in which ``limit`` requests went."""
    spans = [later - earlier for earlier, later in zip(accepted, accepted[limit:], strict=False)]
    return window * len(spans) / sum(spans) if spans else 0.0


def client() -> None:
    """Send as fast as the budget allows, from the start to the end."""
    parser = argparse.ArgumentParser()
    for name, kind in (
        ("url", str),
        ("limit", int),
        ("window", float),
        ("redis", str),
        ("folder", str),
        ("start", float),
        ("end", float),
        ("patience", float),
    ):
        parser.add_argument(name, type=kind)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    session = new_session(
        BudgetSettings(options.url, options.limit, options.window, store=options.redis, directory=options.folder)
    )
    longest = 0.0
    time.sleep(max(0.0, options.start - time.monotonic()))
    while (left := options.end - (began := time.monotonic())) > 0:
        pause = 0.0
        try:
            json.loads(session.request("GET", "files", max_wait=min(left, options.patience)).body)
        except (BudgetWaitError, RateLimitError) as error:
            pause = error.retry_after or 1.0
        now = time.monotonic()
        longest = max(longest, now - began)
        time.sleep(min(pause, max(0.0, options.end - now)))
    print(longest)


if __name__ == "__main__":
    client()
