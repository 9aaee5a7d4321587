"""Refuse what the platform would refuse, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

T = TypeVar("T")

MAX_METADATA_PAIRS = 1000
MAX_METADATA_KEY_BYTES = 100
MAX_METADATA_VALUE_BYTES = 300

_FILE_ID = re.compile(r"[0-9a-fA-F]{24}")
_TASK_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_JOB_ID = re.compile(r"[A-Za-z0-9._-]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SEGMENT = r"(?!\.{1,2}(?:/|$))[^/\s\x00-\x1f\x7f\ud800-\udfff]+"
_TWO_PARTS = re.compile(f"{_SEGMENT}/{_SEGMENT}")
_APP_ID = re.compile(rf"{_SEGMENT}/{_SEGMENT}/{_SEGMENT}(/\d+)?")


def _text(pattern: re.Pattern[str], parameter: str, value: object, allowed: str) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise InvalidInputError(parameter, value, allowed)


def file_id(value: object, parameter: str = "file_id") -> str:
    """Return a file or folder id.

    :raises InvalidInputError: unless it is text of 24 hexadecimal digits.
    """
    return _text(_FILE_ID, parameter, value, "a file id of 24 hexadecimal digits")


def task_id(value: object, parameter: str = "task_id") -> str:
    """Return a task id.

    :raises InvalidInputError: unless it is a UUID (the platform would answer with code 7005).
    """
    return _text(_TASK_ID, parameter, value, "a task id, which is a UUID")


def job_id(value: object, parameter: str = "job_id") -> str:
    """Return the id of an import, export or async job; it is opaque, so only its characters are checked.

    :raises InvalidInputError: unless it is text of letters and digits.
    """
    return _text(_JOB_ID, parameter, value, "a job id of letters and digits")


def project_id(value: object, parameter: str = "project") -> str:
    """Return a project id.

    :raises InvalidInputError: unless it reads ``owner/short-name``.
    """
    return _text(_TWO_PARTS, parameter, value, "a project id such as owner/short-name")


def volume_id(value: object, parameter: str = "volume") -> str:
    """Return a volume id.

    :raises InvalidInputError: unless it reads ``owner/name``.
    """
    return _text(_TWO_PARTS, parameter, value, "a volume id such as owner/name")


def app_id(value: object, parameter: str = "app") -> str:
    """Return an app id.

    :raises InvalidInputError: unless it reads ``owner/project/app``, if wanted with ``/revision``.
    """
    return _text(_APP_ID, parameter, value, "an app id such as owner/project/app or owner/project/app/3")


def text(value: object, parameter: str) -> str:
    """Return text that is not empty.

    :raises InvalidInputError: for anything else, and for halves of characters, which cannot be sent.
    """
    if isinstance(value, str) and value.strip() and _SURROGATE.search(value) is None:
        return value
    raise InvalidInputError(parameter, value, "text that is not empty")


def several(
    values: Iterable[object],
    parameter: str,
    check: Callable[[Any, str], T],
) -> list[T]:
    """Check every value of a list and return them in order, duplicates included.

    :param check: called with each value and the parameter's name with its position.
    :raises InvalidInputError: for an empty list, or text where a list is meant.
    :raises InvalidInputsError: naming every value that was refused.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidInputError(parameter, values, "a list")
    checked: list[T] = []
    problems: list[InvalidInputError] = []
    for position, value in enumerate(values):
        try:
            checked.append(check(value, f"{parameter}[{position}]"))
        except InvalidInputError as problem:
            problems.append(problem)
    if problems:
        raise InvalidInputsError(problems)
    if not checked:
        raise InvalidInputError(parameter, [], "a list with at least one entry")
    return checked


def file_ids(values: Iterable[object], parameter: str = "file_ids") -> list[str]:
    """Check a list of file ids; see :func:`several` for the errors."""
    return several(values, parameter, file_id)


def metadata(value: object, parameter: str = "metadata") -> dict[str, str | None]:
    """Return file metadata after checking it against the limits of "Modify a file's metadata".

    At most 1000 pairs, keys of at most 100 bytes, values of at most 300 bytes, all text; ``None`` removes a key.

    :raises InvalidInputsError: naming every pair that was refused.
    """
    if not isinstance(value, Mapping):
        raise InvalidInputError(parameter, value, "a mapping of text to text")
    problems: list[InvalidInputError] = []
    if len(value) > MAX_METADATA_PAIRS:
        problems.append(InvalidInputError(parameter, f"{len(value)} pairs", f"at most {MAX_METADATA_PAIRS} pairs"))
    for key, entry in value.items():
        if not isinstance(key, str) or not 0 < len(key.encode(errors="replace")) <= MAX_METADATA_KEY_BYTES:
            allowed = f"keys are text of 1 to {MAX_METADATA_KEY_BYTES} bytes"
            problems.append(InvalidInputError(parameter, key, allowed))
        elif entry is not None and (
            not isinstance(entry, str) or len(entry.encode(errors="replace")) > MAX_METADATA_VALUE_BYTES
        ):
            allowed = f"values are text of at most {MAX_METADATA_VALUE_BYTES} bytes, or None to remove the key"
            problems.append(InvalidInputError(f"{parameter}[{key!r}]", entry, allowed))
    if problems:
        raise InvalidInputsError(problems)
    return dict(value)


def tags(value: Iterable[object], parameter: str = "tags") -> list[str]:
    """Return a list of tags, which may be empty.

    :raises InvalidInputError: unless it is a list of text.
    """
    if isinstance(value, list | tuple) and all(isinstance(tag, str) and tag.strip() for tag in value):
        return list(value)
    raise InvalidInputError(parameter, value, "a list of text")
