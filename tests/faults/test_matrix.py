"""Every operator and sensor against every fault: nothing twice, nothing lost, bounded calls and time.

By default a fast cut; ``FAULTS=all`` tries every cell, as ``make soak`` does.
"""

from __future__ import annotations

import inspect
import os

import pytest

from airflow_src_provider import operators, sensors
from airflow_src_provider.remote import RemoteTask
from airflow_src_provider.triggers import seven_bridges, src
from airflow_src_provider.triggers.base import WaitTrigger
from tests.faults import cells, faults, troubles
from tests.faults.cases import CASES
from tests.faults.cells import Cell
from tests.faults.contract import CONTRACT
from tests.faults.matrix import Clean, clean_run, endure, judge, judge_trouble, strike
from tests.faults.stage import Stage

ALL = os.environ.get("FAULTS") == "all"
ONE_ANSWER, LASTING = cells.there(cells.of_one_answer()), cells.there(cells.of_what_lasts())
STRUCK = ONE_ANSWER if ALL else cells.cut(ONE_ANSWER, cells.THINNING)
ENDURED = LASTING if ALL else cells.cut(LASTING, cells.THINNING_OF_TROUBLES)
#: Answers that say, in the service's own form, that something is done, has failed or is not there.
SAYS_SO = {
    ("effect", "empty before"),
    ("capacity sensor", "success with a list"),
    ("capacity sensor", "success with resources of a wrong type"),
    ("resume three", "success with a list"),
    ("resume three", "success with resources of a wrong type"),
}
_clean: dict[tuple[str, bool], Clean] = {}


def clean(stage: Stage, name: str, deferrable: bool) -> Clean:
    key = (name, deferrable)
    if key not in _clean:
        _clean[key] = clean_run(stage, CASES[name], deferrable)
    return _clean[key]


def test_every_operator_and_sensor_is_tried() -> None:
    there = {
        found
        for module in (operators.src, operators.seven_bridges, sensors.src, sensors.seven_bridges)
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, RemoteTask) and hasattr(found, "trigger_path")
    }
    there -= {base for one in there for base in one.__mro__[1:]}
    tried = {case.operator for case in CASES.values()}
    assert {one.__name__ for one in there - tried} == set()


def test_every_trigger_is_tried_and_every_task_has_the_requests_it_is_struck_at(stage: Stage) -> None:
    waited: set[str] = set()
    for case, deferrable in cells.rows():
        run = clean(stage, case.name, deferrable)
        waited |= run.triggers
        told = {place for place in cells.PLACES if not cells.why_no_place(case, deferrable, place)}
        assert set(run.places()) == told, f"{case.name}, deferrable={deferrable}"
    there = {
        name
        for module in (src, seven_bridges)
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, WaitTrigger) and not name.startswith("_")
    }
    assert waited == there - {"WaitTrigger"}


def test_everything_that_the_contracts_name_is_tried_at_both_services() -> None:
    named = {one.name for one in [*faults.FAULTS, *troubles.TROUBLES]}
    for what, by_service in CONTRACT.items():
        assert set(by_service) == {"sb", "src"}, what
        for service, names in by_service.items():
            if isinstance(names, str):
                continue
            assert names, what
            assert set(names) <= named, what
            tried = {c.wrong for c in [*ONE_ANSWER, *LASTING] if CASES[c.case].service == service}
            assert set(names) <= tried, what


def test_the_cut_leaves_nothing_out() -> None:
    every = [*cells.of_one_answer(), *cells.of_what_lasts()]
    assert len({str(cell) for cell in every}) == len(every)
    for full, thinning in ((ONE_ANSWER, cells.THINNING), (LASTING, cells.THINNING_OF_TROUBLES)):
        thin = cells.cut(full, thinning)
        assert len(thin) < len(full) / 5
        assert {(c.case, c.deferrable, c.place) for c in thin} == {(c.case, c.deferrable, c.place) for c in full}
        assert {_met(cell) for cell in thin} == {_met(cell) for cell in full}


def _met(cell: Cell) -> tuple[str, bool, str]:
    return CASES[cell.case].service, cell.deferrable, cell.wrong


@pytest.mark.parametrize("cell", STRUCK, ids=str)
def test_one_answer_goes_wrong(stage: Stage, cell: Cell) -> None:
    case = CASES[cell.case]
    (fault,) = [one for one in faults.of(case.service) if one.name == cell.wrong]
    usual = clean(stage, cell.case, cell.deferrable)
    outcome = strike(stage, case, fault, cell.deferrable, usual.places()[cell.place])
    judge(stage, outcome, usual, case.gives_up or (cell.case, cell.wrong) in SAYS_SO)


@pytest.mark.parametrize("cell", ENDURED, ids=str)
def test_something_is_wrong_for_longer(stage: Stage, cell: Cell) -> None:
    case = CASES[cell.case]
    (trouble,) = [one for one in troubles.of(case.service) if one.name == cell.wrong]
    usual = clean(stage, cell.case, cell.deferrable)
    judge_trouble(stage, case, trouble, *endure(stage, case, trouble, cell.deferrable), usual)
