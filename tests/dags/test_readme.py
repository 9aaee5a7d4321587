"""What the README shows works as it is printed there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.get_provider_info import get_provider_info
from tests.dags.conftest import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.mark.usefixtures("_database")
def test_the_dag_and_its_tests_run(tmp_path: Path) -> None:
    dag, tests = blocks("python")
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "cohort.py").write_text(dag)
    (tmp_path / "test_cohort.py").write_text(tests)
    environment = os.environ | {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cohort.py"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    assert "2 passed" in run.stdout


@pytest.mark.parametrize(("block", "platform"), [(0, "cgc-api.sbgenomics.com"), (1, "cavatica-api.sbgenomics.com")])
def test_each_way_to_write_a_connection(
    block: int, platform: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
    from airflow_src_provider.hooks.src import SrcHook

    lines = re.findall(r"export (\w+)='(.*)'", blocks("bash")[block])
    assert len(lines) == 2
    for name, value in lines:
        monkeypatch.setenv(name, value)
    assert "gw.live.surfresearchcloud.nl" in SrcHook().session.base_url("workspace")
    assert platform in SevenBridgesHook().session.base_url()
    assert not [record for record in caplog.records if "mean nothing" in record.message]


def test_the_table_names_every_field_of_the_forms() -> None:
    types: Any = get_provider_info()["connection-types"]
    fields = {name for kind in types for name in kind["conn-fields"]}
    rows = re.findall(r"^\| (`.*?`) \| (Seven Bridges|SURF Research Cloud|both) \|", README, re.M)
    named = {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
    assert named == fields


def test_the_tables_of_connections_name_the_types() -> None:
    types: Any = get_provider_info()["connection-types"]
    assert {kind["connection-type"] for kind in types} <= set(re.findall(r"`(\w+)`", README))


def test_links_to_files_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
