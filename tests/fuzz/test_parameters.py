"""Odd parameters of every operator and sensor: refused in plain words before any request, or meant and done."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from hypothesis import strategies as st

from tests.faults.cases import CASES, Case
from tests.faults.stage import Stage
from tests.fuzz.conftest import LONGEST, TYPED, begin
from tests.fuzz.fuzzing import CHANCE, fuzzed, is_airflows
from tests.fuzz.parameters import RIGHT, classes, parameters
from tests.fuzz.values import bent, odd
from tests.fuzz.wire import Wire

TEMPLATE = "{{ params.value }}"
#: Refusals for reasons that only the service knows.
UNKNOWABLE = ("Wallet does not exist", "is attached to another workspace", "another action is in progress")
OPERATORS = {one.__name__: one for one in classes()}


def cases_of(name: str) -> list[Case]:
    return [case for case in CASES.values() if case.operator is OPERATORS[name]]


@pytest.mark.parametrize("name", OPERATORS)
def test_every_parameter_has_right_values(name: str) -> None:
    assert cases_of(name), "no case to start from"
    assert set(parameters(OPERATORS[name])) - set(RIGHT) == set()


def changes(chance: Random, stage: Stage, operator: type, given: dict[str, Any]) -> dict[str, Any]:
    """Return a few other arguments."""
    names = parameters(operator)
    changed: dict[str, Any] = {}
    for name in chance.sample(names, min(len(names), chance.choice((1, 1, 2, 3)))):
        right = RIGHT[name](stage)
        choices: list[Callable[[], Any]] = [partial(odd, chance), partial(odd, chance)]
        if name in given:
            choices.append(partial(bent, chance, given[name]))
        if right:
            one = chance.choice(right)
            choices += [lambda one=one: one, partial(bent, chance, one)]  # type: ignore[misc]
        changed[name] = chance.choice(choices)()
    if callable(changed.get("response_filter")):
        # What a function of the user does is not ours.
        changed["response_filter"] = str
    return changed


def run(stage: Stage, case: Case, arguments: dict[str, Any], rendered: dict[str, Any]) -> BaseException | None:
    """Run a task as Airflow does; return how it ended."""

    def make() -> Any:
        task = case.operator(task_id="task", **{**arguments, **dict.fromkeys(rendered, TEMPLATE)})
        for key, value in rendered.items():
            setattr(task, key, value)
        return task

    signal.alarm(LONGEST)
    try:
        return stage.play(make, tries=1).error
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("name", OPERATORS)
@fuzzed(10, chance=CHANCE, deferrable=st.booleans(), late=st.booleans())
def test_odd_parameters(name: str, chance: Random, deferrable: bool, late: bool, stage: Stage, wire: Wire) -> None:
    """They are in the DAG, or come late, out of a template."""
    case = chance.choice(cases_of(name))
    begin(stage, wire, case)
    arguments = {"deferrable": deferrable, **case.options(stage)}
    changed = changes(chance, stage, case.operator, arguments)
    rendered = {key: value for key, value in changed.items() if key in case.operator.template_fields and late}
    judge(run(stage, case, arguments | changed, {key: value for key, value in rendered.items() if not callable(value)}))
    if not name.endswith("RequestOperator"):
        # Whoever sends a request of his own is told by the service.
        known = [one for one in wire.refusals() if one[1] == 400 and not any(words in one[2] for words in UNKNOWABLE)]
        assert known == []


def judge(error: BaseException | None) -> None:
    """Hold how a task ended to what is promised."""
    if error is not None and not isinstance(error, TYPED) and not is_airflows(error) and not waits_long(error):
        raise AssertionError(f"an error that nobody can act on: {error!r}") from error


def waits_long(error: BaseException) -> bool:
    """Tell whether a wait was asked for that is longer than the stage plays."""
    return isinstance(error, AssertionError) and "nobody waits" in str(error)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_template_that_is_given_takes_what_another_task_returns(name: str, stage: Stage, wire: Wire) -> None:
    case = cases_of(name)[0]
    begin(stage, wire, case)
    for field in case.options(stage).keys() & set(case.operator.template_fields):
        with DAG("dag", schedule=None):
            before = BaseOperator(task_id="before")
            task = case.operator(task_id="task", **{**case.options(stage), field: before.output})
        assert task.upstream_task_ids == {"before"}, field
