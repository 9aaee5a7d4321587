"""What becomes of a task when single items of it fail."""

from __future__ import annotations

from typing import Any

from airflow_src_provider.exceptions import InvalidInputError


def tolerates(policy: Any, failed: int, total: int) -> bool:
    """Tell whether a task may end well although items failed.

    :param policy: ``fail`` (none may fail), ``skip`` (all may), a number of items, or a share between 0 and 1.
    """
    if not failed or policy == "skip":
        return True
    if policy == "fail":
        return False
    return failed <= (policy * total if isinstance(policy, float) else policy)


def check_policy(value: Any, parameter: str) -> None:
    """Refuse what is no policy for failed items."""
    if value in ("fail", "skip") and isinstance(value, str):
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InvalidInputError(parameter, value, "fail, skip, a number of items, or a share between 0 and 1")
    if isinstance(value, float) and not 0 < value < 1:
        raise InvalidInputError(parameter, value, "a share between 0 and 1, or a whole number of items")
