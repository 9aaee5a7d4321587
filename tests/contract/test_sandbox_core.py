"""The core of the sandbox: clock, journal, faults, control requests, command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.agenda import Agenda
from airflow_src_provider.sandbox.clock import Clock
from airflow_src_provider.sandbox.half import HalfSwitches
from airflow_src_provider.sandbox.limits import RateLimiter
from airflow_src_provider.sandbox.server import bind


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(stepped=True) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Sandbox:
    served.reset({})
    served.configure(limits=True, limit=1000)
    return served


def user(sandbox: Sandbox, **more: Any) -> requests.Response:
    headers = {"X-SBG-Auth-Token": sandbox.tokens["labuser"]}
    return requests.get(f"{sandbox.sb_url}/user", headers=headers, timeout=5, **more)


def control(sandbox: Sandbox, method: str, place: str, body: Any = None) -> requests.Response:
    return requests.request(method, f"{sandbox.url}/_sandbox/{place}", json=body, timeout=5)


# Clock and agenda


def test_a_stepped_clock_moves_only_when_told() -> None:
    clock = Clock(stepped=True)
    before = clock.now()
    assert clock.now() == before
    clock.advance(90)
    assert clock.now() == before + 90
    with pytest.raises(ValueError, match="advance"):
        clock.advance(-1)


def test_a_fast_clock_does_not_jump_when_its_speed_changes() -> None:
    clock = Clock(speed=1000)
    before = clock.now()
    time.sleep(0.01)
    between = clock.now()
    assert between - before >= 10
    clock.set_speed(1)
    assert clock.now() - between < 5
    with pytest.raises(ValueError, match="speed"):
        clock.set_speed(0)


def test_times_are_utc_with_z() -> None:
    assert Clock.iso(1772619072.9) == "2026-03-04T10:11:12Z"
    assert Clock.iso(1772619072.25, micros=True) == "2026-03-04T10:11:12.250000Z"


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(0, 100))
def test_the_agenda_runs_what_is_due_in_order_and_with_its_own_time(moments: list[float], now: float) -> None:
    agenda = Agenda()
    seen: list[float] = []
    for moment in moments:
        agenda.at(moment, seen.append)
    agenda.settle(now)
    assert seen == sorted(moment for moment in moments if moment <= now)
    agenda.settle(100)
    assert seen == sorted(moments)


def test_an_event_may_plan_another_that_is_already_due() -> None:
    agenda = Agenda()
    seen: list[float] = []
    agenda.at(1, lambda moment: agenda.at(moment + 1, seen.append))
    agenda.settle(5)
    assert seen == [2]
    assert agenda.next_due() is None


# Budget


def limiter(**switches: Any) -> tuple[RateLimiter, Clock]:
    clock = Clock(stepped=True)
    return RateLimiter(clock, HalfSwitches(limit_clock="virtual", **switches)), clock


def test_a_fixed_window_begins_with_its_first_request_and_ends_all_at_once() -> None:
    budget, clock = limiter(limit=3, window=60.0)
    clock.advance(1000)
    assert [budget.take("a").remaining for _ in range(3)] == [2, 1, 0]
    clock.advance(59)
    refused = budget.take("a")
    assert (refused.allowed, refused.wait) == (False, 1.0)
    assert budget.take("b").allowed
    clock.advance(1)
    assert budget.take("a").remaining == 2


def test_a_sliding_window_frees_one_request_at_a_time() -> None:
    budget, clock = limiter(limit=2, window=60.0, limit_mode="sliding")
    assert budget.take("a").allowed
    clock.advance(30)
    assert budget.take("a").allowed
    clock.advance(29)
    assert not budget.take("a").allowed
    clock.advance(1)
    assert budget.take("a").allowed
    assert not budget.take("a").allowed


def test_refused_requests_can_keep_a_sliding_window_shut() -> None:
    budget, clock = limiter(limit=1, window=60.0, limit_mode="sliding", count_refused=True)
    assert budget.take("a").allowed
    for _ in range(5):
        clock.advance(50)
        assert not budget.take("a").allowed


def test_grid_windows_lie_on_the_clock() -> None:
    budget, clock = limiter(limit=1, window=60.0, limit_mode="grid")
    clock.advance(60 - clock.now() % 60 + 50)
    assert budget.take("a").wait == pytest.approx(10)
    clock.advance(10)
    assert budget.take("a").allowed


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.sampled_from(["fixed", "sliding", "grid"]))
def test_no_window_lets_more_than_the_limit_through(pauses: list[float], mode: Any) -> None:
    budget, clock = limiter(limit=5, window=60.0, limit_mode=mode)
    passed: list[float] = []
    for pause in pauses:
        clock.advance(pause)
        if budget.take("a").allowed:
            passed.append(clock.now())
    if mode == "sliding":
        assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(passed, passed[5:], strict=False))
    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= (5 if mode == "sliding" else 10)


def test_switches_change_all_or_none(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="limit"):
        sandbox.configure(sb={"window": 5.0, "limit": "many"})
    assert sandbox.state.sb.switches.window == 300.0
    with pytest.raises(ValueError, match="no_such_switch"):
        sandbox.configure(no_such_switch=1)
    with pytest.raises(ValueError, match="limit"):
        sandbox.configure(limit=0)
    sandbox.configure(limit=7)
    assert (sandbox.state.sb.switches.limit, sandbox.state.src.switches.limit) == (7, 7)


# Journal and counters


def test_the_journal_names_the_user_and_never_the_token(sandbox: Sandbox) -> None:
    user(sandbox, params={"fields": "username"})
    requests.get(f"{sandbox.sb_url}/user", headers={"X-SBG-Auth-Token": "not-a-token"}, timeout=5)
    first, second = sandbox.journal()
    assert (first["n"], first["user"], first["route"], first["status"]) == (1, "labuser", "/v2/user", 200)
    assert (first["method"], first["path"], first["query"]) == ("GET", "/v2/user", "fields=username")
    assert (second["user"], second["status"]) == ("anonymous", 401)
    assert "token" not in json.dumps(sandbox.journal())
    assert "sandbox-sb" not in json.dumps(sandbox.journal())
    assert sandbox.journal(since=1) == [second]


def test_counters_by_service_route_and_effect(sandbox: Sandbox) -> None:
    headers = {"X-SBG-Auth-Token": sandbox.tokens["labuser"]}
    body = {"name": "made", "type": "folder", "project": "labuser/rnaseq-cohort"}
    assert requests.post(f"{sandbox.sb_url}/files", json=body, headers=headers, timeout=5).status_code == 200
    user(sandbox)
    counters = sandbox.counters()
    assert counters["requests"] == {"sb": 2}
    assert counters["routes"] == {"POST /v2/files": 1, "GET /v2/user": 1}
    assert counters["effects"] == {"sb": {"folders_created": 1}}
    assert counters["refusals"] == {}
    sandbox.configure(limit=2)
    assert user(sandbox).status_code == 429
    assert sandbox.counters()["refusals"] == {"sb": 1}


# Faults


def make_folder(sandbox: Sandbox, name: str) -> requests.Response:
    headers = {"X-SBG-Auth-Token": sandbox.tokens["labuser"]}
    body = {"name": name, "type": "folder", "project": "labuser/rnaseq-cohort"}
    return requests.post(f"{sandbox.sb_url}/files", json=body, headers=headers, timeout=5)


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_dropped_connection_before_and_after_the_effect(sandbox: Sandbox, when: str, made: int) -> None:
    rule = sandbox.fault(service="sb", method="POST", path="/files$", action="close", when=when)
    with pytest.raises(requests.ConnectionError):
        make_folder(sandbox, "first")
    assert sandbox.counters()["effects"].get("sb", {}).get("folders_created", 0) == made
    entry = sandbox.journal()[-1]
    assert (entry["status"], entry["fault"]) == (None, rule)
    assert make_folder(sandbox, "second").status_code == 200


def test_a_truncated_answer_cannot_be_read_to_its_end(sandbox: Sandbox) -> None:
    sandbox.fault(service="sb", action="truncate")
    with pytest.raises(requests.RequestException):
        user(sandbox)
    assert user(sandbox).status_code == 200


@pytest.mark.parametrize(
    ("rule", "status", "kind", "text"),
    [
        ({"action": "html"}, 502, "text/html", "<h1>502"),
        ({"action": "html", "status": 504, "html": "<b>late</b>"}, 504, "text/html", "<b>late</b>"),
        ({"action": "empty"}, 200, None, ""),
        ({"action": "status", "status": 503, "text": "later"}, 503, "text/plain", "later"),
        ({"action": "status", "json": {"error": "no"}}, 500, "application/json", '{"error":"no"}'),
        ({"action": "status", "status": 503, "html": "<p>"}, 503, "text/html", "<p>"),
    ],
)
def test_answers_by_rule(sandbox: Sandbox, rule: dict[str, Any], status: int, kind: str | None, text: str) -> None:
    sandbox.fault(service="sb", headers={"Retry-After": "7"}, **rule)
    answer = user(sandbox)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert (answer.headers.get("Content-Type") or "").split(";")[0] == (kind or "")
    assert text in answer.text
    assert user(sandbox).status_code == 200


def test_slow_answers_arrive_whole(sandbox: Sandbox) -> None:
    sandbox.fault(service="sb", action="slow_drip", seconds=0.2)
    sandbox.fault(service="sb", action="delay", seconds=0.2)
    started = time.monotonic()
    assert user(sandbox).json()["username"] == "labuser"
    assert time.monotonic() - started > 0.35


def test_rules_count_skip_and_fit_only_what_they_say(sandbox: Sandbox) -> None:
    sandbox.fault(
        service="sb", method="GET", path="/user", token="labuser", action="empty", status=500, skip=1, times=2
    )
    sandbox.fault(service="src", action="empty", status=500, times=None)
    sandbox.fault(method="DELETE", action="empty", status=500, times=None)
    assert [user(sandbox).status_code for _ in range(4)] == [200, 500, 500, 200]
    rules = control(sandbox, "GET", "faults").json()["faults"]
    assert [rule["used"] for rule in rules] == [2, 0, 0]


def test_chance_can_be_repeated(sandbox: Sandbox) -> None:
    def run() -> list[int]:
        sandbox.clear_faults()
        sandbox.fault(service="sb", action="empty", status=500, times=None, probability=0.5, seed=3)
        return [user(sandbox).status_code for _ in range(12)]

    first = run()
    assert set(first) == {200, 500}
    assert run() == first


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "explode"},
        {"action": "close", "when": "later"},
        {"action": "close", "service": "aws"},
        {"action": "close", "times": 0},
        {"action": "close", "path": "("},
        {"action": "close", "probability": 2},
        {"action": "delay", "seconds": -1},
        {"action": "close", "colour": "red"},
        {"path": "/user"},
    ],
)
def test_rules_without_sense_are_refused(sandbox: Sandbox, rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        sandbox.fault(**rule)
    assert control(sandbox, "POST", "faults", rule).status_code == 400


# Control requests


def test_control_over_http_does_what_the_methods_do(sandbox: Sandbox) -> None:
    fault = control(sandbox, "POST", "faults", {"service": "sb", "action": "empty", "times": None}).json()["id"]
    assert user(sandbox).text == ""
    assert control(sandbox, "DELETE", f"faults/{fault}").status_code == 200
    assert control(sandbox, "DELETE", f"faults/{fault}").status_code == 404
    assert user(sandbox).json()["username"] == "labuser"
    before = control(sandbox, "GET", "").json()["clock"]["now"]
    assert control(sandbox, "POST", "clock", {"advance": 60}).json()["now"] == before + 60
    assert control(sandbox, "POST", "clock", {"leap": 60}).status_code == 400
    assert control(sandbox, "POST", "config", {"sb": {"limit": 5}}).json()["sb"]["limit"] == 5
    assert control(sandbox, "POST", "config", {"sb": {"limit": -5}}).status_code == 400
    assert control(sandbox, "GET", "journal?since=1").json()["entries"][0]["n"] == 2
    assert control(sandbox, "GET", "counters").json()["requests"] == {"sb": 2}
    assert control(sandbox, "GET", "state").json()["sb"]["files_by_project"]["labuser/fastq-archive"] == 1000
    assert control(sandbox, "GET", "nothing").status_code == 404


def test_control_requests_are_not_in_the_journal(sandbox: Sandbox) -> None:
    control(sandbox, "GET", "state")
    assert sandbox.journal() == []


def test_direct_edits(sandbox: Sandbox) -> None:
    place = "sb/object/labuser/cohort_bucket/run2/new.fastq.gz"
    assert control(sandbox, "PATCH", place, {"size": 12}).status_code == 200
    assert sandbox.state.sb.store.volumes["labuser/cohort_bucket"].objects["run2/new.fastq.gz"] == 12
    assert control(sandbox, "PATCH", place, {"deleted": True}).status_code == 200
    assert control(sandbox, "PATCH", place, {"deleted": True}).status_code == 404
    assert control(sandbox, "PATCH", "sb/volume/labuser/cohort_bucket", {"active": False}).status_code == 200
    assert control(sandbox, "PATCH", "sb/volume/labuser/cohort_bucket", {"colour": 1}).status_code == 400
    assert control(sandbox, "PATCH", "sb/nothing/x", {"a": 1}).status_code == 404


def test_reset_takes_a_seed_and_keeps_it(sandbox: Sandbox) -> None:
    seed = {"sb": {"projects": [{"id": "labuser/only", "name": "Only"}]}}
    assert control(sandbox, "POST", "reset", seed).status_code == 200
    assert list(sandbox.state.sb.store.projects) == ["labuser/only"]
    sandbox.reset()
    assert list(sandbox.state.sb.store.projects) == ["labuser/only"]
    sandbox.reset({})
    assert len(sandbox.state.sb.store.projects) == 4
    assert control(sandbox, "POST", "reset", {"aws": {}}).status_code == 400
    assert control(sandbox, "POST", "reset", {"sb": {"projects": [{"name": "no id"}]}}).status_code == 400
    assert len(sandbox.state.sb.store.projects) == 4


def test_paths_of_no_service(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.url}/v3/user", timeout=5).status_code == 404


# Serving


def test_two_sandboxes_do_not_share_anything() -> None:
    with Sandbox() as one, Sandbox() as other:
        assert one.url != other.url
        user(one)
        assert (len(one.journal()), len(other.journal())) == (1, 0)


def test_it_stops_quickly_and_frees_its_port() -> None:
    sandbox = Sandbox().start()
    session = requests.Session()
    session.get(f"{sandbox.sb_url}/", timeout=5)
    started = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - started < 2
    with pytest.raises(requests.ConnectionError):
        session.get(f"{sandbox.sb_url}/", timeout=5)


def test_only_loopback_unless_told_otherwise() -> None:
    with pytest.raises(ValueError, match="loopback"):
        bind("0.0.0.0", 0)
    bind("localhost", 0).close()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, stop: signal.Signals) -> None:
    seed = tmp_path / "seed.yaml"
    seed.write_text("sb:\n  projects:\n    - {id: labuser/only, name: Only}\n")
    command = [sys.executable, "-m", "airflow_src_provider.sandbox", "--port", "0", "--stepped", "--no-limits"]
    command += ["--seed", str(seed), "--switch", "sb.max_bulk=7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("ready ").strip()
        overview = requests.get(f"{url}/_sandbox", timeout=5).json()
        state = requests.get(f"{url}/_sandbox/state", timeout=5).json()
        process.send_signal(stop)
        assert process.wait(5) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert (overview["switches"]["sb"]["max_bulk"], overview["switches"]["sb"]["limits"]) == (7, False)
    assert overview["clock"]["stepped"] is True
    assert list(state["sb"]["files_by_project"]) == ["labuser/only"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "0.0.0.0"],
        ["--speed", "0"],
        ["--seed", "/no/such/file.yaml"],
        ["--switch", "sb.nothing=1"],
        ["--switch", "limit"],
    ],
)
def test_the_command_refuses_wrong_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from airflow_src_provider.sandbox.__main__ import main

    assert main([*arguments, "--port", "0"]) == 2
    assert capsys.readouterr().err.startswith("sandbox: ")
