"""Refuse what the services would refuse, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from airflow_src_provider.client.literals import literal
from airflow_src_provider.exceptions import InvalidInputError

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_uuid(value: object) -> bool:
    """Tell ids from names."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def uuid(value: object, parameter: str) -> str:
    """Return an id in lower case, as the services write it.

    :raises InvalidInputError: unless it is a UUID.
    """
    if isinstance(value, str) and is_uuid(value):
        return value.lower()
    raise InvalidInputError(parameter, value, "an id, which is a UUID")


def text(value: object, parameter: str) -> str:
    """Return text that is not empty.

    :raises InvalidInputError: for anything else, and for halves of characters, which cannot be sent.
    """
    if isinstance(value, str) and value.strip() and _SURROGATE.search(value) is None:
        return value
    raise InvalidInputError(parameter, value, "text that is not empty")


def texts(values: object, parameter: str) -> list[str]:
    """Return a list of texts; a single text counts as a list of one, unless it is a list written as text.

    :raises InvalidInputError: for anything else.
    """
    values = literal(values)
    if isinstance(values, str):
        return [text(values, parameter)]
    if isinstance(values, Iterable) and not isinstance(values, Mapping | bytes):
        return [text(value, parameter) for value in values]
    raise InvalidInputError(parameter, values, "a list of text")


def choice(value: object, parameter: str, choices: Iterable[str]) -> str:
    """Return one of several words.

    :raises InvalidInputError: for anything else.
    """
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return value
    raise InvalidInputError(parameter, value, f"one of {', '.join(choices)}")


def moment(value: datetime | str, parameter: str) -> str:
    """Return a moment as the services want it: UTC, whole seconds, ``Z`` at the end.

    :param value: a datetime with time zone, or ISO 8601 text with one.
    :raises InvalidInputError: for anything else.
    """
    parsed = value
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            parsed = value
    if isinstance(parsed, datetime) and parsed.tzinfo is not None:
        with suppress(OverflowError):
            return parsed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise InvalidInputError(parameter, value, "a moment with a time zone, such as 2026-12-31T23:59:59Z")


def host_name(value: object, parameter: str = "host_name") -> str:
    """Return a host name of lower case letters, digits and hyphens, at most 63 characters.

    :raises InvalidInputError: for anything else.
    """
    if isinstance(value, str) and _HOST_NAME.fullmatch(value):
        return value
    raise InvalidInputError(parameter, value, "lower case letters, digits and hyphens, at most 63 characters")


def host_name_from(name: str) -> str:
    """Make a host name out of a display name.

    :raises InvalidInputError: when the name has no letter or digit to make one of.
    """
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    if not made:
        raise InvalidInputError("name", name, "a name with at least one letter or digit, or give host_name")
    return made
