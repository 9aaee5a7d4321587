"""Values that nobody meant to give: of the wrong kind, at the edge of the right one, or right but unusual."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

UUID = "123e4567-e89b-12d3-a456-426614174000"
FILE_ID = "5f0c4e2fe4b0d1a2b3c4d5e6"
#: Names that answers use.
NAMES = [
    "id",
    "name",
    "items",
    "results",
    "links",
    "href",
    "rel",
    "next",
    "resource",
    "error",
    "code",
    "status",
    "message",
    "type",
    "batch",
    "children",
    "project",
    "parent",
    "metadata",
    "tags",
    "state",
    "result",
    "location",
    "prefixes",
    "outputs",
    "meta",
    "workspace_actions",
    "time_created",
    "time_updated",
    "end_time",
    "result_files",
    "total_files",
    "completed_files",
    "failed_files",
    "COs",
    "products",
    "flavours",
    "actions",
    "allowed_actions",
    "storages",
    "execution_status",
    "errors",
    "inputs",
    "size",
    "username",
    "display_name",
    "new_file_id",
    "wallet_id",
    "network_security_group_rules",
]


class Shy:
    """An object that cannot be shown, compared or hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("not shown")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not compared")


class Word(str):
    """Text of a kind of its own."""


class Colour(Enum):
    RED = "red"


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


TEXTS = (
    "", " ", "\t\n", "\x00", "a\nb", "a\r\nX-Evil: 1", "\x1b[31mred", "\u202eabc", "é", "日本語", "🧬" * 10, "\ud800",
    "a" * 400, "a" * 10_000, "../..", "..", ".", "/", "//", "a/b", "a/b/c", "owner/short-name", "/a/", "a//b",
    "a b/c d", "?", "#", "a?b=c", "%2e%2e", "*", "[", "[!", "{name}", "{", "{}", "{metadata.}", "{metadata.sample_id}",
    "{{", "}}", "{% raw %}", "{{ broken", "None", "null", "true", "0", "-1", "NaN", "1e400", "[]", "{}", "[1, 2",
    '["a", "b"]', "{'a': 1}", '{"a": [1]}', "[" * 3000, "{'a':" * 500, "9" * 5000, "(1, 2)", "__import__('os')", UUID,
    UUID.upper(), FILE_ID, FILE_ID.upper(), f"['{FILE_ID}']", f'{{"file_ids": ["{FILE_ID}"]}}',
    f'{{"task_ids": ["{UUID}"]}}', "https://elsewhere.example/", "http://[", "2030-01-01", "2030-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "in tcp 22 22 0.0.0.0/0", "in tcp 22 21 ::/0",
    "in tcp ² ² ::/0", "fail", "skip", "GET", "get", "running", "\N{ARABIC-INDIC DIGIT THREE}",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 0.5, 1.0, -0.0, 1e-9, 1e308, float("nan"), float("inf"), float("-inf"), 10**30, -(10**30), 2**63,
    sys.maxsize, 10**5000, Decimal("0.5"), 1 + 2j,
)  # fmt: skip
# ruff: noqa: DTZ001, DTZ901
MOMENTS = (
    datetime.min, datetime.max, datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC),
    date(2030, 1, 1), timedelta(0), timedelta(seconds=-1), timedelta(hours=1), timedelta.max, timedelta.min,
)  # fmt: skip


def _odd() -> list[Any]:
    """Return new ones each time, since what takes them may change them."""
    return [
        None, True, False, b"", b"abc", bytearray(b"x"), (), [], {}, set(), frozenset({"a"}), {"a", "b"}, object(),
        Shy(), [Shy()], {"a": Shy()}, object, len, lambda: "x", lambda file: {"a": "b"}, Word("word"), Colour.RED,
        Path("/"), Path("/nowhere"), range(3), iter(["a"]), (one for one in ("a", 1)), map(str, [1]),
        memoryview(b"x"), circle(), nested(50), nested(3000), {"a": nested(3000)}, [None], [[]], [{}], [1], ["a", 1],
        ["a", None], [""], ["a", "a"], [True], ["a"] * 2000, {None: None}, {1: "a"}, {"a": 1}, {"": ""},
        {"a": {"b": {}}}, {("a",): 1}, {"id": None}, {"id": FILE_ID}, {"file_ids": None}, {"file_ids": []},
        {"file_ids": {"file_ids": "x"}}, {"file_ids": [FILE_ID]}, {"task_ids": [UUID]}, {"task_ids": 5},
        {"job_ids": 5}, {"project": None}, {"names": None}, {"project": "a/b", "names": 3},
        {"project": "a/b", "names": [None]}, {"project": "a/b", "metadata": {"k": None}},
        {"project": "a/b", "metadata": {"k": [1]}}, {"project": "a/b", "tags": 4}, {"project": "a/b", "recursive": 1},
        {"project": "a/b", "origin_task": [3]}, {"project": "a/b", "name_pattern": {"x": 1}}, {"class": "File"},
        {"value": object()}, {"type": "CRITERIA"}, {"type": "ITEM"}, {"type": "CRITERIA", "criteria": 3},
        {"name": None}, {"status": 3}, {"ends_within": float("nan")}, {"ends_within": float("inf")},
        {"ends_within": 10**400}, {"ends_within": timedelta.max}, {"name": [1]}, {"except": None},
        {"except": [], "name": "*"}, {"mine": "yes"}, {"kind": []}, {"kind": "Storage"}, {"collaboration": 3},
        {"collaboration": None}, {"wallet": UUID},
    ]  # fmt: skip


def odd(chance: Random) -> Any:
    """Return a value of any kind."""
    how = chance.randrange(8)
    if how < 3:
        return chance.choice(_odd())
    if how < 6:
        return chance.choice(TEXTS)
    return chance.choice(NUMBERS if how == 6 else MOMENTS)


def json_value(chance: Random, depth: int = 3) -> Any:
    """Return what an answer can hold, under names that answers know."""
    how = chance.randrange(10 if depth else 7)
    if how < 3:
        return chance.choice(TEXTS)
    if how < 7:
        return chance.choice((None, True, False, 0, 1, -1, 3.5, 1e300, 10**30, "running", "COMPLETED", UUID, FILE_ID))
    if how < 8:
        return [json_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(NAMES): json_value(chance, depth - 1) for _ in range(chance.randrange(5))}


def bent(chance: Random, value: Any, other: Callable[[Random], Any] = odd) -> Any:
    """Return a right value in which one thing is wrong: dropped, doubled, put elsewhere, or of another kind."""
    if isinstance(value, dict) and value and chance.randrange(4):
        key = chance.choice(list(value))
        rest = {name: part for name, part in value.items() if name != key}
        how = chance.randrange(5)
        if how == 0:
            return rest
        if how == 1:
            return {**rest, chance.choice(TEXTS): value[key]}
        return {**rest, key: bent(chance, value[key], other)}
    if isinstance(value, list) and value and chance.randrange(4):
        place = chance.randrange(len(value))
        how = chance.randrange(6)
        if how == 0:
            return []
        if how == 1:
            return [*value, value[place]]
        inside = [] if how == 2 else [bent(chance, value[place], other)]
        return [*value[:place], *inside, *value[place + 1 :]]
    if chance.randrange(4):
        return other(chance)
    return chance.choice(([value], {"a": value}, str(value)))
