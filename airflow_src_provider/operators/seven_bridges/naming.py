"""Names and locations that are made of what is known about a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_src_provider.exceptions import InvalidInputError

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
ALLOWED = "text with any of {name}, {id}, {metadata.key}, so that every file has its own"


def check_name(value: Any, parameter: str) -> None:
    """Refuse what is no pattern of a name.

    :raises InvalidInputError: no text, no placeholder, an unknown placeholder, a slash at an end.
    """
    if not isinstance(value, str) or value.startswith("/") or value.endswith("/"):
        raise InvalidInputError(parameter, value, f"{ALLOWED}, without a slash at its ends")
    keys = PLACEHOLDER.findall(value)
    if not keys or any(key not in ("name", "id") and not key.startswith("metadata.") for key in keys):
        raise InvalidInputError(parameter, value, ALLOWED)


def needed(pattern: str) -> list[str]:
    """Return the fields of a file that a pattern asks for."""
    keys = [key for key in PLACEHOLDER.findall(pattern) if key != "id"]
    return [key if re.fullmatch(r"[\w.-]+", key) else "metadata" for key in dict.fromkeys(keys)]


def fill(pattern: str, file: Mapping[str, Any], parameter: str) -> str:
    """Return a pattern with what is known about a file.

    :raises InvalidInputError: the file lacks what is asked for.
    """

    def value(match: re.Match[str]) -> str:
        found: Any = file
        for part in match[1].split(".", 1):
            found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, str) or not found:
            allowed = f"placeholders that every file has; file {file['id']} has no {match[1]}"
            raise InvalidInputError(parameter, pattern, allowed)
        return found

    return PLACEHOLDER.sub(value, pattern)
