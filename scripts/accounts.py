"""Who used how many API calls: the books of the demo, without any I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PAGE = 50  # what the vendor's page calls the naive way lists with the default page


@dataclass
class Step:
    """One task of the DAG.

    :param title: what a person calls it.
    :param loop: calls that a loop over single items would have used; ``None``: as many as here.
    :param end: epoch seconds at which the task had ended.
    """

    task: str
    items: int
    noun: str
    loop: int | None
    title: str = ""
    state: str = "not run"
    begin: float | None = None
    end: float | None = None
    calls: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return how long the task took."""
        return self.end - self.begin if self.begin is not None and self.end is not None else 0.0

    @property
    def one_by_one(self) -> int:
        """Return the calls of the loop."""
        return len(self.calls) if self.loop is None else self.loop


def listing(items: int) -> int:
    """Return the calls that listing takes with the default page; the one that finds no further page included."""
    return items // PAGE + 1


def attribute(journal: Iterable[Mapping[str, Any]], steps: Sequence[Step]) -> list[Mapping[str, Any]]:
    """Give each request to the step that was under way; steps follow each other. Return what belongs to none."""
    timeline = sorted((step for step in steps if step.begin is not None), key=lambda step: step.begin or 0.0)
    rest = []
    for entry in journal:
        owner = next((step for step in reversed(timeline) if (step.begin or 0.0) <= entry["time"]), None)
        if owner is None or owner.end is None or entry["time"] > owner.end:
            rest.append(entry)
        else:
            owner.calls.append(entry)
    return rest


def peak(times: Iterable[float], window: float) -> int:
    """Return the largest number of moments that lie within one window, wherever it begins."""
    ordered = sorted(times)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(frozen=True)
class Allowance:
    """What a service allows one token, and what the fullest window of a run held.

    :param limit: requests per window.
    :param window: seconds.
    :param used: requests in the fullest window.
    :param refused: requests that the service refused.
    """

    service: str
    limit: int
    window: float
    used: int
    refused: int


def usage(allowances: Sequence[Allowance]) -> str:
    """Return, line by line, how much of the allowance was used in the fullest window."""
    rows = [
        (
            one.service,
            f"{one.used:,} of {one.limit:,} in {one.window:g} s",
            f"{100 * one.used / one.limit:.0f} %",
            f"{one.refused} refused",
        )
        for one in allowances
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(["Most of the allowance used in any window:", *(_line(row, widths) for row in rows)])


def table(steps: Sequence[Step]) -> str:
    """Return the table that a person reads."""
    rows = [("step", "items", "seconds", "API calls", "one by one")]
    rows += [
        (s.title, f"{s.items:,} {s.noun}", f"{s.seconds:.1f}", f"{len(s.calls):,}", f"{s.one_by_one:,}") for s in steps
    ]
    total = (
        "together",
        "",
        f"{sum(s.seconds for s in steps):.1f}",
        f"{sum(len(s.calls) for s in steps):,}",
        f"{sum(s.one_by_one for s in steps):,}",
    )
    widths = [max(map(len, column)) for column in zip(*rows, total, strict=True)]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], rule, *lines[1:], rule, _line(total, widths)])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, second, *numbers = (
        cell.ljust(width) if column < 1 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, second, *numbers]).rstrip()
