"""Whoever ends pytest in the middle of system tests leaves no process, no file and no database behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from scripts.local_airflow import ROOT
from tests.system.waiting import wait_until

#: A component of Airflow has children, and gives each running task a process group of its own.
PARENT = "import subprocess as s; s.run(['sleep', '600'], preexec_fn=__import__('os').setpgrp)"
INNER = f"""
import json, os, signal, sys, time
from pathlib import Path
import psutil
from tests.system.harness import Component, ended
from tests.system.waiting import wait_until

def children(part):
    return [child.pid for child in psutil.Process(part.pid).children()]

def test_that_never_ends(folder, database):
    parts = [Component(name, [sys.executable, "-c", {PARENT!r}], os.environ, folder) for name in ("one", "two")]
    with ended(*parts):
        for part in parts:
            part.start()
        wait_until("all are there", lambda: all(children(part) for part in parts), 60)
        pids = [pid for part in parts for pid in (part.pid, *children(part))]
        parts[1].signal(signal.SIGSTOP)
        report = Path(os.environ["REPORT"])
        report.with_suffix(".new").write_text(json.dumps([pids, str(folder), database]))
        report.with_suffix(".new").rename(report)
        time.sleep(600)
"""


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def exists(database: str) -> bool:
    server, _, name = database.rpartition("/")
    with create_engine(f"{server}/postgres").connect() as connection:
        return (
            connection.execute(text("select 1 from pg_database where datname = :name"), {"name": name}).first()
            is not None
        )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 2)])
def test_pytest_takes_everything_along(tmp_path: Path, number: int, status: int) -> None:
    inner, report = tmp_path / "test_inner.py", tmp_path / "report.json"
    inner.write_text(INNER)
    options = ["-p", "tests.system.conftest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    with (tmp_path / "inner.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, "--rootdir", str(ROOT), str(inner)],
            cwd=ROOT,
            env=os.environ | {"REPORT": str(report)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until("it is in the middle of it", lambda: report.exists() or process.poll() is not None, 120, every=0.1)
        assert process.poll() is None, (tmp_path / "inner.log").read_text()
        pids, folder, database = json.loads(report.read_text())
        assert len(pids) == 4
        assert all(map(runs, pids))
        process.send_signal(number)
        assert process.wait(60) == status, (tmp_path / "inner.log").read_text()
    finally:
        process.kill()
    assert not [pid for pid in pids if runs(pid)]
    assert not Path(folder).exists()
    assert not (database and exists(database))
