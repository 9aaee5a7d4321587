"""Faults by rule: wrong answers, lost answers, slow answers."""

from __future__ import annotations

import random
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from .half import Call

Action = Literal["status", "close", "delay", "truncate", "html", "empty", "slow_drip"]
_NEEDS_ANSWER = ("truncate", "slow_drip")


@dataclass
class FaultRule:
    """One rule. Rules are tried in the order they were added; the first that fits a request is used.

    :param service: ``src``, ``sb`` or ``*``.
    :param method: HTTP method or ``*``.
    :param path: regular expression searched in the path with its query string.
    :param when: ``before`` (the request has no effect) or ``after`` (the effect is done, then the fault).
        ``truncate`` and ``slow_drip`` need a real answer and are always ``after``.
    :param action: ``status`` answers with ``status`` and ``json``, ``text`` or ``html``; ``close`` drops the
        connection without an answer; ``delay`` waits ``seconds`` and goes on; ``truncate`` announces the whole body
        and sends half of it; ``html`` answers as a gateway does; ``empty`` answers with no body; ``slow_drip``
        spreads the answer over ``seconds``.
    :param status: HTTP status of ``status`` (default 500), ``html`` (502) and ``empty`` (200).
    :param headers: extra headers of the answer.
    :param seconds: real seconds of ``delay`` and ``slow_drip``, default 1.
    :param times: how often the rule is used, default 1; None for ever.
    :param skip: number of fitting requests let through first, default 0.
    :param probability: chance of use, default 1.0; drawn from ``seed`` so that a run can be repeated.
    :param token: user name or token of the requests it fits; None fits all.
    :raises ValueError: when an action, moment, pattern or number makes no sense.
    """

    action: Action
    service: str = "*"
    method: str = "*"
    path: str = ""
    when: Literal["before", "after"] = "before"
    status: int | None = None
    json: Any = None
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    token: str | None = None
    id: str = ""
    used: int = 0

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"unknown action {self.action!r}; known: {', '.join(get_args(Action))}")
        if self.when not in ("before", "after"):
            raise ValueError(f"when must be 'before' or 'after', got {self.when!r}")
        if self.service not in ("src", "sb", "*"):
            raise ValueError(f"service must be 'src', 'sb' or '*', got {self.service!r}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1, or null for ever, got {self.times}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be between 0 and 1, got {self.probability}")
        if self.seconds < 0:
            raise ValueError(f"seconds must not be negative, got {self.seconds}")
        if self.action in _NEEDS_ANSWER:
            self.when = "after"
        try:
            self._pattern = re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from error
        self._random = random.Random(self.seed)
        self._skipped = 0

    def fits(self, when: str, service: str, call: Call) -> bool:
        """Whether the rule is used for this request at this moment; counts the use."""
        if when != self.when or self.service not in ("*", service) or self.method not in ("*", call.method):
            return False
        if self.times is not None and self.used >= self.times:
            return False
        if self.token not in (None, call.caller.name, call.caller.token):
            return False
        if not self._pattern.search(f"{call.path}?{call.query}" if call.query else call.path):
            return False
        if self._skipped < self.skip:
            self._skipped += 1
            return False
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.used += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: dict[str, FaultRule] = {}
        self._count = 0

    def add(self, rule: dict[str, Any]) -> str:
        """Add a rule from its fields (see :class:`FaultRule`) and return its id.

        :raises ValueError: when a field is unknown or wrong.
        """
        known = {item.name for item in fields(FaultRule)} - {"id", "used"}
        if unknown := set(rule) - known:
            raise ValueError(f"unknown fields {sorted(unknown)}; known: {', '.join(sorted(known))}")
        if "action" not in rule:
            raise ValueError("a fault needs an action")
        self._count += 1
        made = FaultRule(**rule, id=f"fault-{self._count}")
        self._rules[made.id] = made
        return made.id

    def remove(self, rule_id: str) -> bool:
        """Remove one rule; False when there is none of that id."""
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def listing(self) -> list[dict[str, Any]]:
        """All rules with the number of times each was used."""
        return [asdict(rule) for rule in self._rules.values()]

    def match(self, when: str, service: str, call: Call) -> FaultRule | None:
        """The rule to use for this request at this moment, if any."""
        for rule in self._rules.values():
            if rule.fits(when, service, call):
                return rule
        return None
