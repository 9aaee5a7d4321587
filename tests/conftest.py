"""Airflow's environment for every test, set before anything imports Airflow."""

import atexit
import gc
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-src-provider-tests-")
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": AIRFLOW_HOME,
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{AIRFLOW_HOME}/airflow.db",
}

# A first call that imports something is slow, which is no defect; in CI a red run must be repeatable.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")


#: Folders with tests of half a minute.
LONG = ("secrets", "dags")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Begun last, a long test would leave the other processes with nothing to do.
    items.sort(key=lambda item: not set(LONG) & set(item.path.parts))


def pytest_collection_finish() -> None:
    # Airflow stays for good; to go through all of it again and again takes the collector longer than most tests take.
    gc.collect()
    gc.freeze()
