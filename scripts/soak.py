"""``make soak``: everything that can go wrong, in full, from a seed; a table at the end; exit status 0 when all held.

Four parts: every cell of the fault matrix, random schedules of faults and deaths, fuzz tests in their large form, and
the system tests in their long form. Each is a run of pytest; what is counted is what pytest says it ran.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rows import Row

ROOT = Path(__file__).parents[1]
SHOWN = 20


@dataclass(frozen=True)
class Line:
    """One line of the table: the tests of a part whose names begin so.

    :param prefix: beginning of the names; of several lines the first that fits takes a test.
    :param what: what one of these tests tries, in the plural.
    :param least: fewer than so many have not run: the line is missed.
    """

    name: str
    what: str
    prefix: str = ""
    least: int = 1


@dataclass(frozen=True)
class Part:
    """A run of pytest.

    :param paths: what pytest is given.
    :param env: what makes it the large form, and repeats it.
    :param parallel: whether its tests may be spread over processes.
    """

    paths: tuple[str, ...]
    env: Mapping[str, str]
    lines: tuple[Line, ...]
    parallel: bool = True

    def command(self, test: str | None = None) -> str:
        """Return what to type to run this part, or one test of it, again."""
        said = " ".join(f"{name}={value}" for name, value in self.env.items())
        return f"{said} {sys.executable} -m pytest {shlex.quote(test) if test else ' '.join(self.paths)}"


@dataclass
class Tally:
    """What pytest says it ran.

    :param held: names of the tests that passed.
    :param broken: the first line of what went wrong, by test as pytest takes it.
    :param skipped: reasons by name.
    """

    held: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def parts(seed: int, schedules: int, examples: int) -> dict[str, Part]:
    """Return the parts of the soak.

    :param seed: what all that is random comes from.
    :param schedules: how many random schedules are played.
    :param examples: how many examples each fuzz test tries.
    """
    return {
        "faults": Part(
            ("tests/faults/test_matrix.py",),
            {"FAULTS": "all", "FAULTS_SEED": str(seed)},
            (
                Line("fault matrix: one answer goes wrong", "cells", "test_one_answer_goes_wrong", 5000),
                Line("fault matrix: something stays wrong", "cells", "test_something_is_wrong_for_longer", 1000),
                Line("fault matrix: nothing is left out", "checks"),
            ),
        ),
        "schedules": Part(
            ("tests/faults/test_schedules.py",),
            {"SCHEDULES": str(schedules), "SCHEDULES_SEED": str(seed)},
            (Line("random schedules of faults and deaths", "schedules", least=schedules),),
        ),
        "fuzz": Part(
            ("tests/fuzz",),
            {"FUZZ_EXAMPLES": str(examples), "FUZZ_SEED": str(seed)},
            (Line(f"fuzz tests, {examples} examples each", "tests"),),
            # Half a character in a report cannot travel from one process to another.
            parallel=False,
        ),
        "system": Part(
            ("tests/system",),
            {"SYSTEM_TESTS": "soak"},
            (Line("system tests, long form", "tests"),),
            parallel=False,
        ),
    }


def tally(report: Path) -> Tally:
    """Read pytest's report; an empty one when there is none."""
    found = Tally()
    if not report.exists():
        return found
    for case in ET.parse(report).getroot().iter("testcase"):
        name = case.get("name", "")
        test = f"{case.get('classname', '').replace('.', '/')}.py::{name}"
        wrong = [kind for kind in case if kind.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if wrong:
            found.broken[test] = (wrong[0].get("message") or "no message").splitlines()[0]
        elif skipped is not None:
            found.skipped[name] = skipped.get("message") or ""
        else:
            found.held.append(name)
    return found


def rows(part: Part, found: Tally, status: int, seconds: float) -> list[Row]:
    """Return the lines of the table about one part.

    :param status: exit status of pytest.
    :param seconds: how long it took.
    """

    def line_of(name: str) -> Line:
        return next((line for line in part.lines if name.startswith(line.prefix)), part.lines[-1])

    made = []
    for line in part.lines:
        held = sum(line_of(name) is line for name in found.held)
        broken = sum(line_of(test.partition("::")[2]) is line for test in found.broken)
        skipped = sum(line_of(name) is line for name in found.skipped)
        figure = f"{held} of {held + broken} {line.what} held"
        figure += f", {skipped} skipped" if skipped else ""
        # 0: all passed; 1: some did not, which the report tells. Anything else is no result.
        ok = not broken and held >= line.least and status in (0, 1)
        if status not in (0, 1):
            figure += f"; pytest ended with {status}"
        made.append(Row(line.name, f"{figure} ({seconds:.0f} s)", f"all, at least {line.least}", ok))
    if status == 1 and not found.broken:
        made[-1] = Row(made[-1].name, f"{made[-1].figure}; pytest failed without saying what", made[-1].target, False)
    return made


def complaints(part: Part, found: Tally) -> list[str]:
    """Return what was violated, each with the command that repeats it."""
    lines = [f"{test}\n    {why[:300]}\n    {part.command(test)}" for test, why in list(found.broken.items())[:SHOWN]]
    if len(found.broken) > SHOWN:
        lines.append(f"and {len(found.broken) - SHOWN} more: {part.command()}")
    return lines


def run(part: Part, report: Path, processes: int) -> int:
    """Run a part and return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-r", "", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-n", str(processes)] if part.parallel and processes > 1 else []
    return subprocess.run([*command, *part.paths], cwd=ROOT, env={**os.environ, **part.env}, check=False).returncode


def table(made: Sequence[Row]) -> str:
    """Return the summary."""
    verdict = {True: "ok", False: "VIOLATED", None: "not run"}
    return "\n".join(f"{row.name:<46} {row.figure:<52} {row.target:<20} {verdict[row.ok]}" for row in made)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="repeats a run; default: another one each time")
    parser.add_argument("--only", action="append", choices=("faults", "schedules", "fuzz", "system"), help="a part")
    parser.add_argument("--schedules", type=int, default=500, help="random schedules, default 500")
    parser.add_argument("--examples", type=int, default=500, help="examples of each fuzz test, default 500")
    parser.add_argument("--processes", type=int, default=2, help="processes of a part, default 2")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    wanted = {
        name: part
        for name, part in parts(seed, options.schedules, options.examples).items()
        if not options.only or name in options.only
    }
    print(f"seed {seed}: {', '.join(wanted)}", flush=True)
    made: list[Row] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="airflow-src-provider-soak-") as folder:
        for name, part in wanted.items():
            report, began = Path(folder) / f"{name}.xml", time.monotonic()
            status = run(part, report, options.processes)
            found = tally(report)
            made += rows(part, found, status, time.monotonic() - began)
            wrong += complaints(part, found)
    print(f"\n{table(made)}")
    for complaint in wrong:
        print(f"\nviolated: {complaint}")
    missed = [row for row in made if not row.ok]
    told = sys.argv[1:] if options.seed is not None else ["--seed", str(seed), *sys.argv[1:]]
    print(
        f"\n{len(made)} lines, {len(missed)} violated; the same once more: make soak ARGS='{' '.join(told)}'",
        flush=True,
    )
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
