"""What is wrong with parameters is said in words, whatever they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_src_provider.checks import Checks, check_json, text_or_none
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.remote import LONGEST, is_template, seconds


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("not shown")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not compared")

    __hash__ = None  # type: ignore[assignment]


def name_of(value: Any) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", [circle(), nested(5000), ["a", {"b": circle()}], Unshowable()], ids=name_of)
def test_what_is_nested_without_end_is_no_template(value: Any) -> None:
    assert not is_template(value)


def test_a_template_is_found_however_deep() -> None:
    assert is_template({"a": ["b", ("c", {"{{ key }}": 1})]})


@pytest.mark.parametrize("value", [circle(), nested(5000), {("a",): 1}, float("nan"), 10**5000, object()], ids=name_of)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="json"):
        check_json(value, "json")


@pytest.mark.parametrize("value", [Unshowable(), None, 3, "other", ["one"]], ids=name_of)
def test_a_choice_is_one_of_the_words(value: Any) -> None:
    check = Checks()
    check.choice("one", "way", ("one", "two"))
    assert not check.problems
    check.choice(value, "way", ("one", "two"))
    with pytest.raises(InvalidInputError, match="one of one, two"):
        check.end()


def test_a_template_is_left_for_later_only_where_it_will_be_rendered() -> None:
    check = Checks(later=("name",))
    check(text_or_none, "{{ name }}", "name")
    check.flag("{{ name }}", "name")
    assert not check.problems
    check.flag("{{ flag }}", "preview")
    check.count("{{ count }}", "most")
    check.choice("{{ way }}", "way", ("one",))
    assert [problem.parameter for problem in check.problems] == ["preview", "most", "way"]


@pytest.mark.parametrize("value", [b"text", 3, ["text"], 10**5000], ids=name_of)
def test_text_is_text(value: Any) -> None:
    text_or_none(None, "description")
    text_or_none("", "description")
    with pytest.raises(InvalidInputError, match="description"):
        text_or_none(value, "description")


@pytest.mark.parametrize(
    "value", [LONGEST + 1, 10**400, timedelta.max, float("inf"), float("nan"), 0, True, "60"], ids=name_of
)
def test_a_duration_has_an_end_that_is_a_date(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="timeout"):
        seconds("timeout", value)
