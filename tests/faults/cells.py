"""The cells of the matrix: which task meets which fault, at which of its requests, and why some cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_src_provider.sensors.base import RemoteSensor
from tests.faults import faults, troubles
from tests.faults.case import Case
from tests.faults.cases import CASES

PLACES = ("first", "act", "wait")
#: Of each row, one cell in so many is in the fast cut.
THINNING = 40
THINNING_OF_TROUBLES = 16


@dataclass(frozen=True)
class Cell:
    """A task, the way in which it waits, what goes wrong, and, if that is one answer, at which request.

    :param place: one of :data:`PLACES`; empty for what lasts.
    :param why_not: why there is no such cell; empty when there is.
    """

    case: str
    deferrable: bool
    wrong: str
    place: str = ""
    why_not: str = ""

    def __str__(self) -> str:
        way = "triggerer" if self.deferrable else "worker"
        return "-".join(part for part in (self.case, way, self.place, self.wrong) if part)


def rows() -> Iterator[tuple[Case, bool]]:
    """Yield every task, once for each way to wait."""
    for case in CASES.values():
        yield case, False
        yield case, True


def why_no_place(case: Case, deferrable: bool, place: str) -> str:
    """Return why a task has no such request."""
    if place in case.lacks:
        return {"first": "its first request is the one that acts", "wait": "it waits for nothing"}[place]
    if place == "wait" and not deferrable and issubclass(case.operator, RemoteSensor):
        return "in the worker, a sensor's last look is the one that acts"
    return ""


def why_not_there(services: tuple[str, ...], service: str) -> str:
    """Return why something cannot go wrong at a service."""
    if service in services:
        return ""
    if services == faults.SB:
        return "only the platform has this form of answer, behaviour or clock"
    return "only Research Cloud has this form of answer, behaviour or queue"


def of_one_answer() -> Iterator[Cell]:
    """Yield every fault of one request, at every place of every task, also where there is none."""
    for case, deferrable in rows():
        for fault in faults.FAULTS:
            twin = any(one.name == fault.name and case.service in one.services for one in faults.FAULTS)
            if case.service not in fault.services and twin:
                continue
            elsewhere = why_not_there(fault.services, case.service)
            for place in PLACES:
                why_not = elsewhere or why_no_place(case, deferrable, place)
                yield Cell(case.name, deferrable, fault.name, place, why_not)


def of_what_lasts() -> Iterator[Cell]:
    """Yield everything that lasts, with every task, also where it cannot be."""
    for case, deferrable in rows():
        for trouble in troubles.TROUBLES:
            twin = any(one.name == trouble.name and case.service in one.services for one in troubles.TROUBLES)
            if case.service not in trouble.services and twin:
                continue
            why_not = why_not_there(trouble.services, case.service) or trouble.spares(case)
            yield Cell(case.name, deferrable, trouble.name, why_not=why_not)


def there(cells: Iterator[Cell]) -> list[Cell]:
    """Return the cells that there are."""
    return [cell for cell in cells if not cell.why_not]


def cut(cells: list[Cell], thinning: int) -> list[Cell]:
    """Return a part of the cells in which every task at every place, and everything that goes wrong, is still there.

    Along each diagonal of the table of a service, in each way to wait, a cell in so many is kept.
    """
    kept: list[Cell] = []
    tables: dict[tuple[str, bool], list[Cell]] = {}
    for cell in cells:
        tables.setdefault((CASES[cell.case].service, cell.deferrable), []).append(cell)
    for table in tables.values():
        across = {row: n for n, row in enumerate(dict.fromkeys((cell.case, cell.place) for cell in table))}
        down = {wrong: n for n, wrong in enumerate(dict.fromkeys(cell.wrong for cell in table))}
        found = [c for c in table if (across[c.case, c.place] + down[c.wrong]) % thinning == 0]
        for missing in across.keys() - {(c.case, c.place) for c in found}:
            found.append(next(c for c in table if (c.case, c.place) == missing))
        for missing in down.keys() - {c.wrong for c in found}:
            found.append(next(c for c in table if c.wrong == missing))
        kept += found
    wanted = set(kept)
    return [cell for cell in cells if cell in wanted]


def summary() -> list[str]:
    """Return how large the matrix is, and why some cells cannot be."""
    lines = []
    for what, every in (("one answer goes wrong", [*of_one_answer()]), ("something stays wrong", [*of_what_lasts()])):
        wrong = len({cell.wrong for cell in every})
        lines.append(
            f"{what}: {len(CASES)} tasks, 2 ways to wait, {wrong} faults: {len(there(iter(every)))} cells; "
            f"{len(every) - len(there(iter(every)))} cannot be:"
        )
        reasons = Counter(cell.why_not for cell in every if cell.why_not)
        lines += [f"  {number:5} {reason}" for reason, number in reasons.most_common()]
    return lines
