"""Checking the parameters of a task, all of them at once, when they are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.remote import is_template


class Checks:
    """Collects what is wrong with the parameters of a task, to report all of it at once.

    :param later: parameters that may be templates, because they are checked again when they are rendered.
    """

    def __init__(self, later: Collection[str] = ()) -> None:
        self._later = later
        self.problems: list[InvalidInputError] = []

    def __call__(self, check: Callable[[Any, str], Any], value: Any, parameter: str) -> None:
        """Run a check, unless the value is a template that is not rendered yet."""
        if self._comes_later(value, parameter):
            return
        try:
            check(value, parameter)
        except InvalidInputsError as error:
            self.problems += error.problems
        except InvalidInputError as error:
            self.problems.append(error)

    def refuse(self, parameter: str, value: Any, allowed: str) -> None:
        """Add a problem."""
        self.problems.append(InvalidInputError(parameter, value, allowed))

    def choice(self, value: Any, parameter: str, choices: Iterable[str]) -> None:
        """Refuse what is not among the choices."""
        choices = list(choices)
        if not self._comes_later(value, parameter) and (not isinstance(value, str) or value not in choices):
            self.refuse(parameter, value, f"one of {', '.join(map(str, choices))}")

    def flag(self, value: Any, parameter: str) -> None:
        """Refuse what is neither true nor false."""
        if not self._comes_later(value, parameter) and not isinstance(value, bool):
            self.refuse(parameter, value, "True or False")

    def count(self, value: Any, parameter: str, *, optional: bool = False, least: int = 0) -> None:
        """Refuse what is no whole number of at least ``least``."""
        if self._comes_later(value, parameter) or (optional and value is None):
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.refuse(parameter, value, f"a whole number of at least {least}" + (", or None" if optional else ""))

    def exactly_one(self, **values: Any) -> None:
        """Refuse none and more than one of several parameters."""
        if sum(value is not None for value in values.values()) != 1:
            self.refuse(", ".join(values), tuple(values.values()), "exactly one of them")

    def _comes_later(self, value: Any, parameter: str) -> bool:
        return parameter in self._later and is_template(value)

    def end(self) -> None:
        """Raise what was found.

        :raises InvalidInputError: one problem, or all of them as ``InvalidInputsError``.
        """
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise InvalidInputsError(self.problems)


def check_json(value: Any, parameter: str) -> None:
    """Refuse what cannot be written as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidInputError(parameter, value, "something that can be written as JSON") from None


def text_or_none(value: Any, parameter: str) -> None:
    """Refuse what is neither ``None`` nor text, which may be empty."""
    if value is not None and not isinstance(value, str):
        raise InvalidInputError(parameter, value, "text, or None")


def json_or_none(value: Any, parameter: str) -> None:
    """Refuse what is neither ``None`` nor a mapping that can be written as JSON."""
    if value is None:
        return
    check_json(value, parameter)
    if not isinstance(value, dict):
        raise InvalidInputError(parameter, value, "a mapping")
