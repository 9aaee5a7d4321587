"""One Airflow for all system tests, and a sandbox for each of their stories.

Starting Airflow takes longer than most tests, and most of a test is waiting. So all stories share one Airflow, and what
needs nobody's interference is begun at once, see :mod:`tests.system.stories`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from airflow_src_provider.sandbox.seven_bridges.seed import DEFAULT_SEED as SB_SEED
from airflow_src_provider.sandbox.src.seed import DEFAULT_SEED as SRC_SEED
from scripts.local_airflow import EXAMPLE_DAGS, stopped_by, stops_cleanly
from tests.statsd_server import STAND_INS, StatsdServer
from tests.system.harness import Airflow
from tests.system.services import POSTGRES, REDIS, Sandbox, forget, postgres_database, redis_keys
from tests.system.stories import Stories
from tests.system.waiting import SOAK

HERE = Path(__file__).parent
GROUP, WAITS = (40, 500) if SOAK else (4, 16)
POINTS = ("before", "after", "stored")
ROTATED_TOKEN = "sandbox-sb-rotated"
EXAMPLE = "rnaseq_cohort"
SAMPLES = 18
#: Life cycles that do not end until the clock is moved.
FOREVER = 100_000.0
NUMBERS = range(4)
EMPTY_PROJECTS = [
    *("waits", "lost-copy", "lost-import"),
    *(f"{kind}-{point}" for kind in ("copy", "import") for point in POINTS),
    *(f"shared-{kind}-{number}" for kind in ("copy", "import") for number in NUMBERS),
]

#: Life cycles of seconds instead of minutes, and a limit that is out of reach: most of these tests are about other
#: things.
RATE_LIMIT = 100_000
SWITCHES = {
    "limit": RATE_LIMIT,
    "src.stale_seconds": 1,
    "src.resume_seconds": 5,
    "src.pause_seconds": 5,
    "sb.task_queued_seconds": 1,
    "sb.task_running_seconds": 3,
    "sb.batch_creating_seconds": 2,
}
LONG_TASKS = {"sb.task_running_seconds": FOREVER / 2, "sb.task_jitter": 0}
#: A limit that one run reaches. A window is long enough for any machine to use most of it.
SHARED_LIMIT, SHARED_WINDOW = 100, 10
#: One that even a machine with much else to do goes beyond.
APART_LIMIT = 20
#: Sandboxes by name, each with its switches and with the connections NAME_src and NAME_sb.
PLACES: dict[str, dict[str, float]] = {
    "deaths": SWITCHES,
    "lost": SWITCHES,
    "cleared": SWITCHES,
    "marked": SWITCHES | LONG_TASKS,
    "group": SWITCHES | LONG_TASKS,
    "waits": SWITCHES | LONG_TASKS | {"sb.import_running_seconds": FOREVER / 2},
    # Long enough for a first look that had to wait for the budget.
    "shared": SWITCHES | {"limit": SHARED_LIMIT, "sb.window": SHARED_WINDOW, "sb.import_running_seconds": 20},
    "example": {},
}


def sb_seed() -> dict[str, Any]:
    """Return the built-in seed of Seven Bridges, with a second token to rotate to."""
    sb = copy.deepcopy(SB_SEED)
    sb["users"]["labuser2"] = {"token": ROTATED_TOKEN, "first_name": "Lab", "last_name": "User"}
    return sb


def seed() -> dict[str, Any]:
    """Return what the sandboxes start from: the built-in seed and more of the same."""
    sb, src = sb_seed(), copy.deepcopy(SRC_SEED)
    rights = {"labuser2": ["read", "copy", "write", "execute", "admin"]}
    sb["projects"] += [{"id": f"labuser/{name}", "name": name} for name in EMPTY_PROJECTS]
    sb["projects"].append(
        {"id": "labuser/small", "name": "small", "fastq": {"samples": 5, "metadata": True}, "members": rights}
    )
    src["workspaces"] += [
        {"name": f"box-{point}", "status": "paused", "size": "2 Core- 16 GB RAM"} for point in (*POINTS, "lost")
    ]
    return {"sb": sb, "src": src}


def small_seed() -> dict[str, Any]:
    """Return what the example DAG starts from: fewer samples."""
    sb = sb_seed()
    bucket = next(volume for volume in sb["volumes"] if volume.get("fastq"))
    bucket["fastq"]["samples"] = SAMPLES
    return {"sb": sb}


def stopped(number: int) -> BaseException:
    """Return what ends pytest, fixtures included: it takes SystemExit in a test for a failure of that test."""
    error = stopped_by(number)
    return pytest.exit.Exception(f"signal {number}", 128 + number) if isinstance(error, SystemExit) else error


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    # Not pytest's own folder: another run of pytest on the same machine would remove it under a long one.
    with (
        stops_cleanly(stopped),
        tempfile.TemporaryDirectory(prefix="airflow-src-provider-system-", ignore_cleanup_errors=True) as name,
    ):
        yield Path(name)


@pytest.fixture(scope="session")
def places(folder: Path) -> Iterator[dict[str, Sandbox]]:
    """All sandboxes."""

    def begin(name: str) -> Sandbox:
        place = folder / name
        place.mkdir()
        example = name == "example"
        (place / "seed.json").write_text(json.dumps(small_seed() if example else seed()))
        arguments = ["--seed", str(place / "seed.json")]
        for switch, value in PLACES[name].items():
            arguments += ["--switch", f"{switch}={value}"]
        sandbox: Sandbox = stack.enter_context(
            Sandbox.run(speed=60.0 if example else 1.0, log=place / "sandbox.log", arguments=tuple(arguments))
        )
        return sandbox

    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        yield dict(zip(PLACES, pool.map(begin, PLACES), strict=True))


@pytest.fixture(scope="session")
def database(folder: Path) -> Iterator[str]:
    """SQLite by default; PostgreSQL in CI, or when asked for by SYSTEM_TESTS_DATABASE."""
    wanted = os.environ.get("SYSTEM_TESTS_DATABASE", "postgresql" if os.environ.get("CI") else "sqlite")
    if wanted == "sqlite":
        yield ""
        return
    assert wanted == "postgresql", f"SYSTEM_TESTS_DATABASE={wanted}: sqlite or postgresql"
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_database())
        except Exception as error:
            pytest.fail(f"no PostgreSQL at {POSTGRES} for user postgres without a password: {error}")
        yield url


@pytest.fixture(scope="session")
def keys(database: str) -> Iterator[str]:
    """Beginning of the keys for Celery in Redis; empty without PostgreSQL or Redis."""
    with contextlib.ExitStack() as stack:
        found = ""
        if database:
            try:
                found = stack.enter_context(redis_keys())
            except redis.RedisError as error:
                if os.environ.get("CI"):
                    pytest.fail(f"no Redis at {REDIS}: {error}")
        yield found


@pytest.fixture(scope="session")
def sandbox(places: dict[str, Sandbox]) -> Sandbox:
    """The sandbox behind the default connections."""
    return places["example"]


def connections(places: dict[str, Sandbox]) -> dict[str, str]:
    """Return the connections to all sandboxes as environment variables."""
    limits: dict[str, dict[str, Any]] = {name: {"rate_limit": RATE_LIMIT} for name in PLACES}
    limits["example"] = {}
    limits["apart"] = {"rate_limit": APART_LIMIT, "rate_window": SHARED_WINDOW}
    limits["shared"] = {"rate_limit": SHARED_LIMIT, "rate_window": SHARED_WINDOW, "budget_store": REDIS}
    found = {}
    for name, extra in limits.items():
        sandbox = places["shared" if name == "apart" else name]
        own = sandbox.connections() if name == "example" else sandbox.connections_as(name)
        found |= {key: json.dumps(json.loads(fields) | {"extra": json.dumps(extra)}) for key, fields in own.items()}
    return found


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdServer]:
    """Receives the metrics of all stories."""
    with StatsdServer() as server:
        yield server


@pytest.fixture(scope="session")
def airflow(
    folder: Path, places: dict[str, Sandbox], database: str, keys: str, statsd: StatsdServer
) -> Iterator[Airflow]:
    """The one Airflow."""
    shutil.copytree(HERE / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (f"{EXAMPLE}.py", "cohort.csv"):
        shutil.copy(EXAMPLE_DAGS / name, folder / "dags")
    paths = [str(STAND_INS), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {"SYSTEM_GROUP": str(GROUP), "SYSTEM_WAITS": str(WAITS), "PYTHONPATH": os.pathsep.join(paths)}
    settings = statsd.settings(tags=True) | {"AIRFLOW_SRC_PROVIDER__POLL_INTERVAL": "1"}
    whole = Airflow(folder, folder / "dags", env, database=database, keys=keys, **settings)
    with whole.started(connections(places)):
        yield whole
    if keys:
        forget(f"*{places['shared'].url.rpartition('//')[2].replace(':', '-')}*")


@pytest.fixture(scope="session")
def stories(request: pytest.FixtureRequest, airflow: Airflow, places: dict[str, Sandbox]) -> Stories:
    """All stories of the selected tests."""
    told = Stories(airflow, places)
    if not SOAK:
        for item in request.session.items:
            for mark in item.iter_markers("begins"):
                told.begin(*mark.args)
    return told


Measured = Callable[[str], None]


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Takes figures that are shown after the tests."""
    return lambda figures: record_property("measured", figures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures = [str(text) for report in reports for name, text in report.user_properties if name == "measured"]
    if figures:
        terminalreporter.section("measured")
        for line in figures:
            terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of these tests."""
    config.addinivalue_line("markers", "begins(story): the test is about what this function starts")
