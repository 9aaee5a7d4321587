"""How ``make soak`` sums up: nothing that failed, was not run or broke off may look as if it had held."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.soak import Line, Part, complaints, parts, rows, table, tally

PART = Part(
    ("tests/faults",),
    {"FAULTS": "all", "FAULTS_SEED": "7"},
    (Line("cells", "cells", "test_cell", 2), Line("the rest", "checks")),
)
CASE = '<testcase classname="tests.faults.test_matrix" name="{}" time="0.1">{}</testcase>'
PASSED = CASE.format("{}", "")
FAILED = CASE.format("test_cell[copy-slow]", '<failure message="AssertionError: twice&#10;more">trace</failure>')
ERROR = CASE.format("test_cell[b]", '<error message="failed on setup" />')
SKIPPED = CASE.format("test_cell[c]", '<skipped message="no server" />')
REST = PASSED.format("test_nothing_is_left_out")
CELLS = PASSED.format("test_cell[a]") + PASSED.format("test_cell[b]")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.xml"


def verdicts(report: Path, cases: str | None, status: int) -> tuple[list[bool | None], str]:
    if cases is not None:
        report.write_text(f'<testsuites><testsuite name="pytest">{cases}</testsuite></testsuites>')
    made = rows(PART, tally(report), status, 12.3)
    return [row.ok for row in made], table(made)


def test_what_held_is_counted_by_line(report: Path) -> None:
    ok, shown = verdicts(report, CELLS + REST, 0)
    assert ok == [True, True]
    assert "2 of 2 cells held (12 s)" in shown
    assert "1 of 1 checks held" in shown


@pytest.mark.parametrize(
    ("cases", "status", "ok"),
    [
        (CELLS + FAILED + REST, 1, [False, True]),
        (CELLS + ERROR + REST, 1, [False, True]),
        (PASSED.format("test_cell[a]") + SKIPPED + REST, 0, [False, True]),
        (CELLS, 0, [True, False]),
        (CELLS + REST, 2, [False, False]),
        (CELLS + REST, 1, [True, False]),
        ("", 5, [False, False]),
        (None, 3, [False, False]),
    ],
    ids=[
        "failure",
        "error",
        "too few",
        "none of a line",
        "broken off",
        "failed without a word",
        "nothing",
        "no report",
    ],
)
def test_whatever_did_not_hold_is_seen(report: Path, cases: str | None, status: int, ok: list[bool]) -> None:
    assert verdicts(report, cases, status)[0] == ok


def test_a_violation_comes_with_the_command_that_repeats_it(report: Path) -> None:
    verdicts(report, CELLS + FAILED, 1)
    (told,) = complaints(PART, tally(report))
    assert "AssertionError: twice" in told
    assert "more" not in told
    assert "FAULTS=all FAULTS_SEED=7" in told
    assert "-m pytest 'tests/faults/test_matrix.py::test_cell[copy-slow]'" in told


def test_many_violations_are_cut_but_counted(report: Path) -> None:
    verdicts(report, "".join(FAILED.replace("copy-slow", str(number)) for number in range(50)), 1)
    told = complaints(PART, tally(report))
    assert len(told) == 21
    assert told[-1].startswith("and 30 more")


def test_every_part_is_repeatable_and_asks_for_all_that_it_was_told_to_run() -> None:
    there = parts(seed=7, schedules=600, examples=9)
    for part in there.values():
        assert all((Path(__file__).parents[2] / path).exists() for path in part.paths)
        assert part.lines[-1].prefix == ""
    assert there["schedules"].env == {"SCHEDULES": "600", "SCHEDULES_SEED": "7"}
    assert there["schedules"].lines[0].least == 600
    assert there["fuzz"].env["FUZZ_SEED"] == "7"
