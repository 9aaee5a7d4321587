"""Measure everything that the README claims, and print a table; the exit status is 0 when every claim holds."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks import imports, latency, sharing
from benchmarks.rows import Row
from benchmarks.sharing import Load

REDIS = ("127.0.0.1", 6379)


def redis_url() -> str | None:
    """Return the URL of the local Redis or Valkey server, if there is one."""
    try:
        socket.create_connection(REDIS, timeout=1).close()
    except OSError:
        return None
    return f"redis://{REDIS[0]}:{REDIS[1]}/0"


def shared(seconds: float, redis: str | None) -> Iterator[Row]:
    """Yield the rows about one budget in many processes."""
    kinds = ("rolling", "fixed")
    for kind in kinds:
        yield sharing.run(Load(kind, 1000, 30.0, seconds))
    for kind in kinds:
        load = Load(kind, 1000, 30.0, seconds, hosts=4, redis=redis or "missing")
        yield sharing.run(load) if redis else Row(load.name, "no server on 127.0.0.1:6379", "0 refused", None)
    # At the real rate there is time enough for both at once; two whole windows must be seen.
    with ThreadPoolExecutor() as pool:
        yield from pool.map(sharing.run, [Load(kind, 1000, 60.0, max(seconds, 125.0)) for kind in kinds])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run with many processes")
    parser.add_argument("--only", choices=["session", "acquire", "sharing", "imports"], help="one part only")
    options = parser.parse_args()
    redis = redis_url()
    parts = {
        "session": lambda: iter([latency.session_overhead()]),
        "acquire": lambda: latency.acquire(redis),
        "imports": lambda: iter([imports.added()]),
        "sharing": lambda: shared(options.seconds, redis),
    }
    rows: list[Row] = []
    for part, measure in parts.items():
        if options.only in (None, part):
            for row in measure():
                rows.append(row)
                print(f"{row.name:<68} {row.figure:<62} {row.target:<22} {_verdict(row)}", flush=True)
    failed = [row.name for row in rows if row.ok is False]
    print(f"{len(rows)} rows, {len(failed)} missed", flush=True)
    return bool(failed)


def _verdict(row: Row) -> str:
    return {True: "ok", False: "MISSED", None: "not measured"}[row.ok]


if __name__ == "__main__":
    sys.exit(main())
