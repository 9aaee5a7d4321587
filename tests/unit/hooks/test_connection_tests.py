"""``airflow connections test`` for both connection types, as a person runs it, against the sandbox."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from airflow_src_provider.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


#: As a shell would, but once for all: Airflow takes seconds to start.
EACH = """
import sys
from airflow.__main__ import main
for conn_id in sys.argv[1:]:
    sys.argv = ["airflow", "connections", "test", conn_id]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print(f"<end {conn_id} {code}>", flush=True)
"""


def airflow_connections_test(connections: dict[str, dict[str, str]]) -> dict[str, tuple[int, str]]:
    """Return exit status and output for each connection."""
    environment = os.environ | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", "PYTHONUNBUFFERED": "1"}
    environment |= {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in connections.items()}
    command = [sys.executable, "-c", EACH, *connections]
    run = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
    ends = re.findall(r"(.*?)<end (\w+) (\d+)>", run.stdout, re.S)
    assert len(ends) == len(connections), run.stdout
    return {name: (int(code), " ".join(output.split())) for output, name, code in ends}


def test_both_types_can_be_tested_and_say_what_is_wrong(sandbox: Sandbox) -> None:
    src = {"conn_type": "surf_research_cloud", "host": f"{sandbox.url}/v1", "password": "sandbox-src-researcher1"}
    bridges = {"conn_type": "seven_bridges", "host": sandbox.sb_url, "password": "sandbox-sb-labuser"}
    right = {"src": src, "bridges": bridges}
    wrong = {f"wrong_{name}": {**connection, "password": "an-expired-word"} for name, connection in right.items()}
    results = airflow_connections_test({**right, **wrong})
    for name, (code, output) in results.items():
        assert {**right, **wrong}[name]["password"] not in output
        assert (code, "Connection success!" in output) == ((1, False) if name in wrong else (0, True)), output
        assert ("Make a new token" in output) == (name in wrong)
    assert not sandbox.counters()["refusals"]
    assert len(sandbox.journal()) == 4
