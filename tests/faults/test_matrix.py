"""Every operator and sensor against every fault of the services: nothing twice, nothing lost, bounded calls and time."""

from __future__ import annotations

import pytest

from tests.faults.cases import CASES
from tests.faults.faults import of
from tests.faults.matrix import Clean, clean_run, judge, strike
from tests.faults.stage import Stage

CELLS = [(case, fault) for case in CASES.values() for fault in of(case.service)]
#: Answers that say, in the service's own form, that what is waited for has failed or is not there.
SAYS_SO = {
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


@pytest.mark.parametrize("number", range(len(CELLS)), ids=[f"{case.name}-{fault.name}" for case, fault in CELLS])
def test_a_fault_of_the_request_that_acts(stage: Stage, number: int) -> None:
    case, fault = CELLS[number]
    deferrable = bool(number % 2)
    usual = clean(stage, case.name, deferrable)
    judge(stage, strike(stage, case, fault, deferrable, usual.effect()), usual, (case.name, fault.name) in SAYS_SO)
