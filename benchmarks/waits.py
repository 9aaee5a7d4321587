"""Deferred waits in a triggerer: one poller for all of them, against one poller each.

Both kinds are triggers in one event loop of a process of their own, wait for import jobs of a sandbox, and use the same
client; only who asks differs. The interval is short, so that many rounds fit into a benchmark, and processor time is
given for the usual interval.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.rows import Row
from scripts.local_airflow import SandboxProcess

COUNTS = (10, 100, 1000)
INTERVAL = 5.0
ROUNDS = 4
USUAL_INTERVAL = 30.0
MOST_CPU, MOST_KB, MOST_LATE = 0.02, 20.0, INTERVAL + 5.0
FOREVER = 1e6
LIMIT = 1_000_000
TARGET = f"<= ceil(n/100) calls, {MOST_CPU:.0%}, {MOST_KB:g} kB"


def rows() -> Iterator[Row]:
    """Measure both kinds for each number of waits, side by side."""
    for count in COUNTS:
        shared, each = (measure(kind, count) for kind in ("shared", "each"))
        calls = -(-count // 100)
        yield Row(
            f"{count} deferred waits, per round of {USUAL_INTERVAL:g} s",
            f"{_words(shared)}; one by one {_words(each)}",
            TARGET,
            shared["calls"] <= calls
            and shared["cpu"] <= MOST_CPU
            # The few pages that any process takes weigh too much on few waits.
            and (shared["kb"] <= MOST_KB or count < max(COUNTS))
            and shared["late"] <= MOST_LATE,
        )


def _words(found: dict[str, float]) -> str:
    return f"{found['calls']:g} calls, {found['cpu']:.2%} of a core, {found['kb']:.1f} kB/wait"


def measure(kind: str, count: int) -> dict[str, float]:
    """Run waits of one kind in a process of their own."""
    switches = (f"sb.import_running_seconds={FOREVER}", f"sb.limit={LIMIT}")
    arguments = tuple(part for switch in switches for part in ("--switch", switch))
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxProcess.run(speed=1.0, log=Path(folder) / "sandbox.log", arguments=arguments) as sandbox,
    ):
        environment = os.environ | sandbox.connections() | {"AIRFLOW_HOME": folder, "no_proxy": "127.0.0.1"}
        connection = json.loads(environment["AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT"])
        connection["extra"] = {"rate_limit": LIMIT}
        environment["AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT"] = json.dumps(connection)
        command = [sys.executable, "-m", "benchmarks.waits", kind, str(count), sandbox.url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def start_imports(client: Any, count: int) -> list[str]:
    """Start imports that run until the sandbox's clock is moved."""
    from airflow_src_provider.client.seven_bridges.imports import import_item

    volume, project = "labuser/cohort_bucket", "labuser/rnaseq-cohort"
    locations = [f"run1/S{n // 2 + 1:04d}_R{n % 2 + 1}.fastq.gz" for n in range(count)]
    items = [import_item(volume, location, project=project) for location in locations]
    answers = [one for at in range(0, count, 100) for one in client.imports.create_chunk(items[at : at + 100])]
    return [answer.resource["id"] for answer in answers]


def triggers(kind: str, ids: list[str], shared_client: Any) -> list[Any]:
    """Return one trigger for each id."""
    from airflow.triggers.base import TriggerEvent

    from airflow_src_provider.client.waiting import Progress
    from airflow_src_provider.triggers.seven_bridges import SevenBridgesImportTrigger

    class Alone(SevenBridgesImportTrigger):
        async def run(self) -> AsyncIterator[TriggerEvent]:
            progress = Progress(self.wait_class(**self.wait))
            while progress.pending:
                progress.update(await asyncio.to_thread(self.wait_class.look, shared_client, progress.pending))
                await asyncio.sleep(self.poll_interval if progress.pending else 0.0)
            yield TriggerEvent(progress.event())

    made = SevenBridgesImportTrigger if kind == "shared" else Alone
    deadline = time.time() + FOREVER
    return [
        made(conn_id="seven_bridges_default", wait={"ids": [id_]}, deadline=deadline, poll_interval=INTERVAL)
        for id_ in ids
    ]


async def until_event(trigger: Any) -> float:
    """Run a trigger and return when it sent its event."""
    async for event in trigger.run():
        assert event.payload["status"] == "success", event.payload
        return time.monotonic()
    raise AssertionError("no event")


async def run(kind: str, count: int, url: str) -> dict[str, float]:
    """Let the waits wait for some rounds, then let all jobs end."""
    from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook

    client = SevenBridgesHook("seven_bridges_default").client
    ids = start_imports(client, count)
    # One wait goes ahead, so that everything that is there once for all is there before the counting.
    waits = [asyncio.create_task(until_event(trigger)) for trigger in triggers(kind, ids[:1], client)]
    await asyncio.sleep(2.0)
    process = psutil.Process()
    gc.collect()
    memory, looks = process.memory_info().rss, polls(url)
    waits += [asyncio.create_task(until_event(trigger)) for trigger in triggers(kind, ids[1:], client)]
    await asyncio.sleep(INTERVAL)
    looks, cpu = polls(url), time.process_time()
    await asyncio.sleep(INTERVAL * ROUNDS)
    looks, cpu = polls(url) - looks, time.process_time() - cpu
    memory = process.memory_info().rss - memory
    calls = count if kind == "each" else round(looks / ROUNDS)
    rounds = looks / calls
    requests.post(f"{url}/_sandbox/clock", json={"advance": 2 * FOREVER}, timeout=60)
    ended = time.monotonic()
    events = await asyncio.gather(*waits)
    return {
        "calls": calls,
        "cpu": cpu / rounds / USUAL_INTERVAL,
        "kb": memory / (count - 1) / 1024,
        "late": max(events) - ended,
    }


def polls(url: str) -> int:
    """Ask the sandbox how often it was asked."""
    routes = requests.get(f"{url}/_sandbox/counters", timeout=60).json()["routes"]
    return int(sum(number for route, number in routes.items() if route.endswith("/storage/imports/get")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["shared", "each"])
    parser.add_argument("count", type=int)
    parser.add_argument("url")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(run(options.kind, options.count, options.url))))
