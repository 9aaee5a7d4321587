"""Measure everything that the README claims, and print a table; the exit status is 0 when every claim holds."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks import foreign, imports, latency, recipes, restart, sharing, waits
from benchmarks.rows import Row
from benchmarks.sharing import Load

REDIS_URL = "redis://127.0.0.1:6379/0"


def has_redis() -> bool:
    """Return whether there is a local Redis or Valkey server."""
    try:
        socket.create_connection(("127.0.0.1", 6379), timeout=1).close()
    except OSError:
        return False
    return True


def shared(short: bool, redis: bool) -> Iterator[Row]:
    """Yield the rows about one budget in many processes: at a scaled window, and at the real one."""
    kinds = ("rolling", "fixed")
    for window, seconds in ((30.0, 65.0),) if short else ((30.0, 120.0), (60.0, 125.0)):
        for hosts in (1, 4):
            store = REDIS_URL if hosts > 1 else ""
            loads = [Load(kind, 1000, window, seconds, hosts=hosts, redis=store) for kind in kinds]
            if hosts > 1 and not redis:
                yield from (Row(load.name, "no server on 127.0.0.1:6379", "0 refused", None) for load in loads)
                continue
            # At the real rate there is time enough for both servers at once.
            with ThreadPoolExecutor(2 if window >= 60 else 1) as pool:
                yield from pool.map(sharing.run, loads)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="shorter runs with many processes, for a first look")
    names = ["recipes", "session", "acquire", "sharing", "foreign", "restart", "imports", "waits"]
    parser.add_argument("--only", choices=names, help="one part only")
    options = parser.parse_args()
    redis = has_redis()
    counted: list[recipes.Counted] = []
    parts = {
        "recipes": lambda: recipes.rows(counted),
        "session": lambda: iter([latency.session_overhead()]),
        "acquire": lambda: latency.acquire(REDIS_URL if redis else None),
        "imports": lambda: iter([imports.added()]),
        "waits": waits.rows,
        "sharing": lambda: shared(options.short, redis),
        "foreign": lambda: foreign.rows(*[4] * options.short),
        "restart": lambda: restart.rows(*[5] * options.short),
    }
    rows: list[Row] = []
    for part, measure in parts.items():
        if options.only in (None, part):
            for row in measure():
                rows.append(row)
                print(f"{row.name:<68} {row.figure:<62} {row.target:<22} {_verdict(row)}", flush=True)
    if counted:
        print(f"\n{recipes.table(counted)}\n")
    failed = [row.name for row in rows if row.ok is False]
    print(f"{len(rows)} rows, {len(failed)} missed", flush=True)
    return bool(failed)


def _verdict(row: Row) -> str:
    return {True: "ok", False: "MISSED", None: "not measured"}[row.ok]


if __name__ == "__main__":
    sys.exit(main())
