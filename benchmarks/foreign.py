"""Another tool uses half of the allowance with the same token: how many requests are refused, how much is used."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from benchmarks.processes import server
from benchmarks.rows import Row
from benchmarks.sharing import START_UP, Load, start_client

LIMIT, WINDOW, WINDOWS = 600, 20.0, 10
#: Windows after which the use of the allowance is measured.
KNOWN_AFTER = 1
MOST_REFUSED, AT_LEAST = 3.0, 0.90
AT_ONCE = 2


@dataclass(frozen=True)
class Company:
    """One run.

    :param kind: how the server counts.
    :param burst: whether the other tool sends its half at the start of each window, not evenly.
    :param retry_after: whether the server says for how long it refuses.
    """

    kind: str
    burst: bool
    retry_after: bool = False

    @property
    def name(self) -> str:
        says = {"fixed": "rate headers", "rolling": "429 only", "strict": "429 only, refused count"}[self.kind]
        tool = "a burst each window" if self.burst else "evenly"
        return f"half used elsewhere, {tool}; {says}" + ", Retry-After" * self.retry_after


RUNS = [
    Company(kind, burst, retry_after)
    for kind, retry_after in (
        ("fixed", False),
        ("rolling", False),
        ("rolling", True),
        ("strict", False),
        ("strict", True),
    )
    for burst in (False, True)
]


def rows(windows: int = WINDOWS) -> Iterator[Row]:
    """Yield a row for each kind of server and tool.

    :param windows: length of each run.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda company: run(company, windows), RUNS)


def run(company: Company, windows: int) -> Row:
    """Let the other tool and eight processes send, and count at the server."""
    load = Load(company.kind, LIMIT, WINDOW, windows * WINDOW)
    with (
        server(load.kind, LIMIT, WINDOW, retry_after=company.retry_after) as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        start = time.monotonic() + START_UP
        ours = [start_client(load, url, folder, start) for _ in range(load.processes)]
        shape = "burst" if company.burst else "evenly"
        command = [sys.executable, "-m", "benchmarks.foreign", url, shape, str(start), str(start + load.seconds)]
        other = subprocess.Popen(command)
        failed = sum(client.wait() != 0 for client in [*ours, other])
        counts = requests.get(f"{url}_stats", timeout=30).json()
    refused = [0] * (windows + 1)
    for moment in counts["refused"]:
        refused[int((moment - start) / WINDOW)] += 1
    begin, end = start + KNOWN_AFTER * WINDOW, start + load.seconds
    # A refused request of the other tool takes room too, where refused requests count.
    foreign = counts["foreign_accepted"] + (counts["foreign_refused"] if company.kind == "strict" else [])
    taken, got = (sum(begin <= moment < end for moment in moments) for moments in (foreign, counts["accepted"]))
    used = got / max(1, LIMIT * (windows - KNOWN_AFTER) - taken)
    mean = sum(refused) / windows
    return Row(
        company.name,
        f"{mean:.1f} refused per window (most {max(refused)}), {used:.0%} of the rest used"
        + f", {failed} FAILED" * bool(failed),
        f"<= {MOST_REFUSED:g} refused, >= {AT_LEAST:.0%}",
        not failed and mean <= MOST_REFUSED and used >= AT_LEAST,
    )


def other_tool() -> None:
    """Send half of the allowance in each window, knowing nothing of the others, whatever the answers are."""
    parser = argparse.ArgumentParser()
    for name, kind in (("url", str), ("shape", str), ("start", float), ("end", float)):
        parser.add_argument(name, type=kind)
    options = parser.parse_args()
    half = LIMIT // 2
    session = requests.Session()

    for window in range(round((options.end - options.start) / WINDOW)):
        begin = options.start + window * WINDOW
        for i in range(half):
            moment = begin if options.shape == "burst" else begin + i * WINDOW / half
            time.sleep(max(0.0, moment - time.monotonic()))
            session.get(f"{options.url}foreign", timeout=30)


if __name__ == "__main__":
    other_tool()
