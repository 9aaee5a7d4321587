"""Starting and stopping the benchmark server and its clients."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from airflow_src_provider.client.budget import BudgetSettings, open_budget
from airflow_src_provider.client.http import ApiSession

TOKEN = "benchmark-token"


@contextlib.contextmanager
def server(kind: str = "none", limit: int = 1000, window: float = 60.0, *, retry_after: bool = False) -> Iterator[str]:
    """Run the server in a process of its own; yield its URL."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.server",
        "--kind",
        kind,
        "--limit",
        str(limit),
        "--window",
        str(window),
        *["--retry-after"] * retry_after,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.kill()
        process.communicate()


def new_session(settings: BudgetSettings) -> ApiSession:
    """Return a session as a hook would make it."""
    return ApiSession(
        {"": settings.origin}, TOKEN, token_header="X-Token", budget=open_budget(settings, TOKEN), service_name="Bench"
    )
