"""How much is tried: a fast cut by default, more with ``FUZZ_EXAMPLES``; and what counts as an error of ours."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, seed, settings, strategies
from hypothesis.strategies import SearchStrategy

import airflow_src_provider

T = TypeVar("T", bound=Callable[..., Any])

#: Examples of each test; without it each test has a number of its own, and the same examples at every run.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 0)
# In the environment, so that processes of one run share it.
SEED = int(os.environ.setdefault("FUZZ_SEED", str(random.randrange(2**32)))) if EXAMPLES else 0
#: For what depends on the world, which Hypothesis cannot know beforehand; it shows the seed.
CHANCE = strategies.randoms(use_true_random=True)
OURS = Path(airflow_src_provider.__file__).parent
THEIRS = ("/airflow/", "/jinja2/")


def fuzzed(examples: int, **values: SearchStrategy[Any]) -> Callable[[T], T]:
    """Give a test these values.

    :param examples: how many by default.
    """

    def wrap(test: T) -> T:
        wrapped = settings(
            max_examples=EXAMPLES or examples,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(given(**values)(test))
        return seed(SEED)(wrapped) if EXAMPLES else wrapped  # type: ignore[return-value]

    return wrap


def is_airflows(error: BaseException) -> bool:
    """Tell whether an error was raised in Airflow's own code, with nothing of ours called from there."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(str(OURS)):
            return False
        if any(part in frame.filename for part in THEIRS):
            return True
    return False
