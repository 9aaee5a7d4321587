"""What the operators add to the time in which a DAG file is parsed."""

from __future__ import annotations

import importlib.util
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
start = time.perf_counter()
{imports}
print(time.perf_counter() - start)
"""


def added() -> Row:
    """Median time of importing the operators where ``airflow.sdk`` is imported already; compiled, as installed."""
    name, target = "import of the operators on top of airflow.sdk", "<= 60 ms"
    missing = [module for module in MODULES if not _exists(module)]
    if missing:
        return Row(name, f"no {', '.join(missing)}", target, None)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "AIRFLOW_HOME": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        code = CODE.format(imports="\n".join(f"import {module}" for module in MODULES))
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
                ).stdout.split()[-1]
            )
            for _ in range(RUNS + 1)
        ][1:]
    median = statistics.median(seconds) * 1000
    return Row(name, f"{median:.1f} ms (median of {RUNS})", target, median <= 60)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
