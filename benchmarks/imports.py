"""What the operators add to the time in which a DAG file is parsed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.rows import Row

RUNS = 9
MODULES = ["airflow_src_provider.operators.src", "airflow_src_provider.operators.seven_bridges"]
CODE = """
import time
import airflow.sdk
start = time.process_time(), time.perf_counter()
{imports}
print(time.process_time() - start[0], time.perf_counter() - start[1])
"""


def added() -> Row:
    """Median time of importing the operators where ``airflow.sdk`` is imported already; compiled, as installed.

    Processor time decides: whatever else runs on the machine is not ours to answer for.
    """
    name, target = "import of the operators on top of airflow.sdk", "<= 60 ms"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "AIRFLOW_HOME": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", CODE.format(imports="\n".join(f"import {module}" for module in MODULES))]
        # The first run compiles.
        runs = [
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()[-2:]
            for _ in range(RUNS + 1)
        ][1:]
    cpu, wall = (statistics.median(float(value) * 1000 for value in column) for column in zip(*runs, strict=True))
    return Row(name, f"{cpu:.1f} ms (median of {RUNS}; {wall:.1f} ms by the clock)", target, cpu <= 60)
