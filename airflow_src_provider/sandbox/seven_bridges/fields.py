"""The ``fields`` selector that every call accepts ("The API")."""

from __future__ import annotations

from typing import Any


class Selector:
    """Picks parts of an answer: ``id,name``, ``!metadata``, ``metadata.sample_id``, ``_all``.

    :param text: value of the ``fields`` parameter; None or empty keeps everything.
    """

    def __init__(self, text: str | None) -> None:
        parts = [part.strip() for part in (text or "").split(",") if part.strip()]
        self.given = bool(parts)
        self._without = [part[1:].split(".") for part in parts if part.startswith("!")]
        wanted = [part.split(".") for part in parts if not part.startswith("!")]
        self._wanted = [] if ["_all"] in wanted else wanted

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """The selected parts of ``item``; unknown paths are skipped."""
        chosen = item
        if self._wanted:
            chosen = {}
            for path in self._wanted:
                _copy(item, chosen, path)
        for path in self._without:
            chosen = _drop(chosen, path)
        return chosen


def _copy(source: dict[str, Any], target: dict[str, Any], path: list[str]) -> None:
    key, rest = path[0], path[1:]
    if key not in source:
        return
    value = source[key]
    if not rest or not isinstance(value, dict):
        target[key] = value
        return
    inner = target.get(key)
    inner = dict(inner) if isinstance(inner, dict) else {}
    _copy(value, inner, rest)
    target[key] = inner


def _drop(item: dict[str, Any], path: list[str]) -> dict[str, Any]:
    key, rest = path[0], path[1:]
    if key not in item:
        return item
    if not rest:
        return {name: value for name, value in item.items() if name != key}
    if isinstance(item[key], dict):
        return item | {key: _drop(item[key], rest)}
    return item
