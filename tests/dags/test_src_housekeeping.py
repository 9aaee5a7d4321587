"""The housekeeping DAGs for SURF Research Cloud, run by Airflow against the sandbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.dags.runs import Run

DAY = 86400.0


def machines(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.advance(0)
    with sandbox.app.lock:
        return {one.name: one for one in sandbox.state.src.world.workspaces.values()}


def effects(sandbox: Sandbox) -> dict[str, int]:
    return dict(sandbox.counters()["effects"].get("src", {}))


def test_everything_of_mine_is_paused_but_what_is_on_the_list(sandbox: Sandbox) -> None:
    before = {name: one.status for name, one in machines(sandbox).items()}
    run = Run("src_pause_at_night", keep=["login-box", "second-*"])
    assert run.state == "success"
    after = {name: one.status for name, one in machines(sandbox).items()}
    assert after == before | {
        "Training box 1": "paused",
        "login-box": "running",
        "second-box": "running",
        "Training box 3": "running",
        "broken-box": "unhealthy",
    }
    assert effects(sandbox) == {"pause_accepted": 1}
    assert run.result("pause")["count"] == 1
    assert Run("src_pause_at_night", keep=["login-box", "second-*"]).result("pause")["api_calls"] == 1
    assert effects(sandbox) == {"pause_accepted": 1}


def test_what_ends_soon_is_extended_once(sandbox: Sandbox) -> None:
    before = {name: one.end_time for name, one in machines(sandbox).items()}
    for _ in range(2):
        run = Run("src_extend_expiring", days_left=3, days_more=30)
        assert run.state == "success"
        after = {name: one.end_time for name, one in machines(sandbox).items()}
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"ends-soon"}
        assert after["ends-soon"] == pytest.approx(before["ends-soon"] + 30 * DAY, abs=1)
    assert effects(sandbox) == {"patch_accepted": 1}
    assert Run("src_extend_expiring", days_left=3, let_go=["ends-*"]).result("extend")["count"] == 0


def test_the_report_tells_prices_and_what_runs_without_need(sandbox: Sandbox) -> None:
    before = len(sandbox.journal())
    run = Run("src_cost_report")
    assert run.state == "success"
    text = run.result("report")
    assert "Example Project spends 96 credits a day." in text
    assert "Running without need: Training box 1, Training box 3." in text
    assert "| gpu-box | paused |" in text
    assert "| A10 - 1 GPU | 504.0 |" in text
    assert "second-box" not in text
    assert len(sandbox.journal()) - before == 2
    assert effects(sandbox) == {}


def test_a_class_gets_its_machines_once(sandbox: Sandbox) -> None:
    sandbox.configure(src={"create_seconds": 60.0, "ip_seconds": 30.0})
    first = Run("src_create_for_class", students=["anna", "bram"])
    assert (first.state, first.tasks) == (
        "success", {"machines": "success", "create[0]": "success", "create[1]": "success"},
    )  # fmt: skip
    again = Run("src_create_for_class", students=["anna", "bram", "chris"])
    assert again.state == "success"
    assert [again.result(f"create[{n}]")["created"] for n in range(3)] == [False, False, True]
    made = {name: one for name, one in machines(sandbox).items() if name.startswith("course-")}
    made.pop("course-data")
    assert {name: one.status for name, one in made.items()} == {
        "course-anna": "running", "course-bram": "running", "course-chris": "running",
    }  # fmt: skip
    assert made["course-bram"].parameters == [{"key": "username", "value": "bram"}]
    assert made["course-bram"].size.name == machines(sandbox)["Training box 1"].size.name


SSH = '#!/bin/sh\necho "$@" >> "{log}"\nexit {status}\n'


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(("machine", "afterwards"), [("gpu-box", "paused"), ("login-box", "running")])
def test_the_machine_is_paused_when_its_job_ends(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, machine: str, afterwards: str
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.format(log=tmp_path / "log", status=status))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    run = Run("src_pause_after_job", machine=machine, command="python train.py --epochs 3")
    box = machines(sandbox)[machine]
    assert (tmp_path / "log").read_text().endswith(f"ubuntu@{box.address} python train.py --epochs 3\n")
    assert run.tasks["workspace.train"] == ("failed" if status else "success")
    assert run.tasks["workspace.pause"] == ("success" if machine == "gpu-box" else "skipped")
    assert run.state == ("failed" if status else "success")
    assert box.status == afterwards


def test_no_job_is_started_without_a_gpu(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.configure(src={"no_capacity_seconds": 60.0})
    run = Run("src_pause_after_job", machine="big-gpu-box")
    assert (run.state, run.tasks["workspace.resume"], run.tasks["workspace.train"]) == (
        "failed", "failed", "upstream_failed",
    )  # fmt: skip
    assert machines(sandbox)["big-gpu-box"].status == "paused"
