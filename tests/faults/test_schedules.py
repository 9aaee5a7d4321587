"""A fast cut of the random schedules; `make soak` plays hundreds."""

from __future__ import annotations

import pytest

from tests.faults.schedules import Schedules
from tests.faults.stage import Stage


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_random_schedules_of_faults_and_deaths(stage: Stage, first: int) -> None:
    schedules = Schedules(stage)
    for seed in range(first, first + 10):
        schedules.play(seed)
