"""A fast cut of the random schedules; ``SCHEDULES=500 SCHEDULES_SEED=7`` plays as many, from another seed on."""

from __future__ import annotations

import os

import pytest

from tests.faults.schedules import Schedules
from tests.faults.stage import Stage

NUMBER = int(os.environ.get("SCHEDULES") or 40)
FIRST = int(os.environ.get("SCHEDULES_SEED") or 0) * 1_000_000


@pytest.fixture(scope="module")
def schedules(stage: Stage) -> Schedules:
    return Schedules(stage)


@pytest.mark.parametrize("number", range(NUMBER))
def test_random_schedules_of_faults_and_deaths(schedules: Schedules, number: int) -> None:
    schedules.play(FIRST + number)
