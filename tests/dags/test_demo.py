"""``make demo`` as a person runs it: it tells the truth, and leaves nothing behind."""

import contextlib
import copy
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.dags.conftest import ROOT

SCRIPTS = ROOT / "scripts"
COMMAND = [sys.executable, str(SCRIPTS / "demo.py"), "--home"]
TRUE = {
    "src": {
        "workspaces": [{"name": "login-box", "true_status": "running"}, {"name": "gpu-box", "true_status": "paused"}]
    },
    "sb": {
        "tasks_by_status": {"COMPLETED": 501},
        "files_by_project": {"labuser/rnaseq-results": 500},
        "objects_by_volume": {"labuser/cohort_bucket": 1500},
    },
}
EFFECTS = {"files_imported": 1000, "children_created": 500, "files_exported": 500}


def test_the_demo_from_beginning_to_end(tmp_path: Path) -> None:
    run = subprocess.run([*COMMAND, str(tmp_path / "home")], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    *_, last = run.stdout.splitlines()
    total = 0
    for service, window, most in (("SURF Research Cloud", 60, 10), ("Seven Bridges", 300, 110)):
        line = re.search(rf"^{service} +(\d+) of 1,000 in {window} s +(\d+) %  0 refused$", run.stdout, re.M)
        assert line, run.stdout
        assert 0 < int(line[1]) <= most
        assert int(line[2]) == round(int(line[1]) / 10)
        total += int(line[1])
    found = re.fullmatch(r"demo finished: 7 steps, (\d+) API calls, 0 rate-limit refusals", last)
    assert found
    assert total <= int(found[1]) <= 120


def with_home(home: Path) -> list[list[str]]:
    """Return the commands of all processes that have this Airflow home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("AIRFLOW_HOME") == str(home):
                found.append(process.cmdline())
    return found


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen([*COMMAND, str(home)], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        found = re.search(r"http://127.0.0.1:(\d+)", demo.stdout.readline())
        assert found
        until = time.monotonic() + 60
        while not with_home(home):
            assert time.monotonic() < until, "Airflow was never started"
            time.sleep(0.1)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 128 + signal.SIGTERM
    assert with_home(home) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(found[1]))) != 0


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import demo  # type: ignore[import-not-found]

    return demo


def problems(demo: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[str]:
    state, effects, labels = copy.deepcopy(TRUE), dict(EFFECTS), demo.the_sheet()
    state["src"]["workspaces"][1]["true_status"] = changes.get("machine", "paused")
    state["sb"] |= changes.get("sb", {})
    effects |= changes.get("effects", {})
    labels |= changes.get("labels", {})
    monkeypatch.setattr(demo, "labels_of", lambda _: labels)
    answers = {"/state": state, "/counters": {"effects": {"sb": effects}}}
    sandbox = SimpleNamespace(get=answers.__getitem__)
    return list(demo.checks(changes.get("calls", 100), changes.get("strays", []), changes.get("refusals", 0), sandbox))


def test_the_allowance_is_that_of_the_service_and_the_use_that_of_the_fullest_window(demo: Any) -> None:
    journal = [{"service": "sb", "time": t, "status": 200} for t in (0, 200, 310, 311, 312)]
    journal += [{"service": "src", "time": t, "status": 429 if t > 8 else 200} for t in range(10)]
    switches = {"sb": {"limit": 50, "window": 300.0}, "src": {"limit": 9, "window": 60.0}}
    src, sb = demo.allowances(journal, switches)
    assert (src.limit, src.window, src.used, src.refused) == (9, 60.0, 10, 1)
    assert (sb.limit, sb.window, sb.used, sb.refused) == (50, 300.0, 4, 0)


def test_it_is_content_when_everything_is_true(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(demo, monkeypatch) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": "running"}, "status of gpu-box: running, not paused"),
        ({"effects": {"files_imported": 1001}}, "files imported: 1001, not 1000"),
        ({"effects": {"children_created": 1000}}, "children made: 1000, not 500"),
        (
            {"labels": {"S0007_R1.fastq.gz": {"sample_id": "S0008"}}},
            "files with the labels of the sheet: 999, not 1000",
        ),
        ({"sb": {"tasks_by_status": {"COMPLETED": 499, "FAILED": 2}}}, "batch itself included: 499, not 501"),
        ({"sb": {"files_by_project": {"labuser/rnaseq-results": 501}}}, "files in the shared project: 501, not 500"),
        ({"sb": {"objects_by_volume": {"labuser/cohort_bucket": 1499}}}, "objects in the bucket: 1499, not 1500"),
        ({"refusals": 1}, "rate-limit refusals: 1, not 0"),
        ({"strays": [{}]}, "calls that belong to no step: 1, not 0"),
        ({"calls": 121}, "121 API calls are more than 120"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_what_is_not_true(
    demo: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    (problem,) = problems(demo, monkeypatch, **changes)
    assert said in problem
