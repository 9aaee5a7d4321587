"""Every operator and sensor against every fault: nothing twice, nothing lost, bounded calls and time."""

from __future__ import annotations

import pytest

from airflow_src_provider import operators, sensors
from airflow_src_provider.remote import RemoteTask
from tests.faults.cases import CASES
from tests.faults.faults import of
from tests.faults.matrix import Clean, clean_run, judge, strike
from tests.faults.stage import Stage

#: A third of the cells, such that every case and every fault is among them; `make soak` tries all, at every request.
CELLS = [
    (case, fault)
    for row, case in enumerate(CASES.values())
    for column, fault in enumerate(of(case.service))
    if (row + column) % 3 == 0
]
#: Answers that say, in the service's own form, that something is done, has failed or is not there.
SAYS_SO = {
    ("effect", "empty before"),
    ("capacity sensor", "success with a list"),
    ("capacity sensor", "success with resources of a wrong type"),
    ("task sensor", "success with resources of a wrong type"),
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
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, RemoteTask) and hasattr(found, "trigger_path")
    }
    there -= {base for one in there for base in one.__mro__[1:]}
    tried = {case.operator for case in CASES.values()}
    assert {one.__name__ for one in there - tried} == set()


@pytest.mark.parametrize("number", range(len(CELLS)), ids=[f"{case.name}-{fault.name}" for case, fault in CELLS])
def test_a_fault_of_the_request_that_acts(stage: Stage, number: int) -> None:
    case, fault = CELLS[number]
    deferrable = bool(number % 2)
    usual = clean(stage, case.name, deferrable)
    judge(
        stage,
        strike(stage, case, fault, deferrable, usual.effect()),
        usual,
        case.gives_up or (case.name, fault.name) in SAYS_SO,
    )
