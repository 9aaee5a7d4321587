"""One Airflow and one sandbox for all system tests: starting them takes longer than most tests."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.sandbox.seven_bridges.seed import DEFAULT_SEED as SB_SEED
from airflow_src_provider.sandbox.src.seed import DEFAULT_SEED as SRC_SEED
from tests.system.harness import POSTGRES, SOAK, Airflow, Sandbox, postgres_database

HERE = Path(__file__).parent
GROUP, WAITS = (40, 500) if SOAK else (4, 16)
POINTS = ("before", "after", "stored")
ROTATED_TOKEN = "sandbox-sb-rotated"
EMPTY_PROJECTS = ["waits", "lost-copy", "lost-import", *(f"{kind}-{p}" for kind in ("copy", "import") for p in POINTS)]

#: Life cycles of seconds instead of minutes, and a limit that is out of reach: these tests are about other things.
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


def seed() -> dict[str, Any]:
    """Return what the sandbox starts from: the built-in seed and more of the same."""
    sb, src = copy.deepcopy(SB_SEED), copy.deepcopy(SRC_SEED)
    # A second token that sees the same, to rotate to.
    sb["users"]["labuser2"] = {"token": ROTATED_TOKEN, "first_name": "Lab", "last_name": "User"}
    rights = {"labuser2": ["read", "copy", "write", "execute", "admin"]}
    sb["projects"] += [{"id": f"labuser/{name}", "name": name} for name in EMPTY_PROJECTS]
    sb["projects"].append(
        {"id": "labuser/small", "name": "small", "fastq": {"samples": 5, "metadata": True}, "members": rights}
    )
    src["workspaces"] += [
        {"name": f"box-{point}", "status": "paused", "size": "2 Core- 16 GB RAM"} for point in (*POINTS, "lost")
    ]
    return {"sb": sb, "src": src}


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    # Not pytest's own folder: another run of pytest on the same machine would remove it under a long one.
    with tempfile.TemporaryDirectory(prefix="airflow-src-provider-system-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def sandbox(folder: Path) -> Iterator[Sandbox]:
    (folder / "seed.json").write_text(json.dumps(seed()))
    switches = [f"{name}={value}" for name, value in SWITCHES.items()]
    arguments = ["--seed", str(folder / "seed.json"), *(part for s in switches for part in ("--switch", s))]
    with Sandbox.run(speed=1.0, log=folder / "sandbox.log", arguments=tuple(arguments)) as running:
        yield running


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
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
            pytest.fail(f"CI needs PostgreSQL at {POSTGRES}, user postgres without a password: {error}")
        yield url


@pytest.fixture(scope="session")
def airflow(folder: Path, sandbox: Sandbox, database: str) -> Iterator[Airflow]:
    env = {"SYSTEM_GROUP": str(GROUP), "SYSTEM_WAITS": str(WAITS)}
    running = Airflow(folder, HERE / "dags", env, database=database, triggerers=2)
    try:
        running.start()
        for conn_id, variable in (
            ("src_default", "AIRFLOW_CONN_SRC_DEFAULT"),
            ("seven_bridges_default", "AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT"),
        ):
            connection = json.loads(sandbox.connections()[variable])
            running.connection(conn_id, **connection, extra=json.dumps({"rate_limit": RATE_LIMIT}))
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves faults to the next one."""
    yield
    if "sandbox" in request.fixturenames:
        request.getfixturevalue("sandbox").drop_faults()
