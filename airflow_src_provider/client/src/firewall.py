"""Firewall rules of a workspace: lists in, lists out; nothing that was there is lost by accident.

The service replaces the whole list, so a change is: read the rules, change the list here, send all of it. Rules that
the catalog item declares immutable are always kept.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace as replace_field

from airflow_src_provider.client.src.validate import texts
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

_FORM = 'a rule such as "in tcp 8080 8080 0.0.0.0/0": in or out, tcp or udp, first port, last port, addresses'


@dataclass(frozen=True)
class Rule:
    """One firewall rule.

    :param direction: ``in`` or ``out``.
    :param protocol: ``tcp`` or ``udp``.
    :param first_port: 0 to 65535.
    :param last_port: not below ``first_port``.
    :param cidr: the addresses, e.g. ``0.0.0.0/0``.
    :param mutable: ``False`` when only the author of the catalog item may change it.
    """

    direction: str
    protocol: str
    first_port: int
    last_port: int
    cidr: str
    mutable: bool = True

    def __str__(self) -> str:
        word = "mutable" if self.mutable else "immutable"
        return f"{self.direction} {self.protocol} {self.first_port} {self.last_port} {self.cidr} {word}"

    @property
    def opens(self) -> tuple[object, ...]:
        """Return what the rule opens, without its mutability: two rules that open the same are the same rule."""
        return self.direction, self.protocol, self.first_port, self.last_port, self.cidr


def parse(rule: str, parameter: str = "rule") -> Rule:
    """Read a rule. The last word, ``mutable`` or ``immutable``, may be missing and then means mutable.

    :raises InvalidInputError: for anything that is no rule.
    """
    words = rule.split() if isinstance(rule, str) else []
    if len(words) == 5:
        words.append("mutable")
    if len(words) != 6:
        raise InvalidInputError(parameter, rule, _FORM)
    direction, protocol, first, last, cidr, word = (one.lower() for one in words)
    try:
        ports = int(first), int(last)
        network = str(ipaddress.ip_network(cidr, strict=False))
    except ValueError:
        raise InvalidInputError(parameter, rule, _FORM) from None
    known = direction in ("in", "out") and protocol in ("tcp", "udp") and word in ("mutable", "immutable")
    if not known or not 0 <= ports[0] <= ports[1] <= 65535:
        raise InvalidInputError(parameter, rule, _FORM)
    return Rule(direction, protocol, *ports, network, mutable=word == "mutable")


def _parse_all(rules: Iterable[str] | str, parameter: str) -> list[Rule]:
    problems: list[InvalidInputError] = []
    parsed: list[Rule] = []
    for position, rule in enumerate(texts(rules, parameter)):
        try:
            parsed.append(parse(rule, f"{parameter}[{position}]"))
        except InvalidInputError as problem:
            problems.append(problem)
    if problems:
        raise InvalidInputsError(problems)
    return parsed


def _opens(rule: str) -> object:
    try:
        return parse(rule).opens
    except InvalidInputError:
        # A form that is not known here is left alone and only equals itself.
        return rule


def _is_fixed(rule: str) -> bool:
    try:
        return not parse(rule).mutable
    except InvalidInputError:
        return True


def _texts_of(existing: object) -> list[str]:
    return [rule for rule in existing if isinstance(rule, str)] if isinstance(existing, list) else []


def add(existing: object, rules: Iterable[str] | str) -> list[str]:
    """Return the existing rules with the new ones behind them; what is open already is not added again.

    New rules are mutable: only the author of the catalog item makes others.

    :param existing: ``network_security_group_rules`` of the workspace.
    :param rules: the rules to add.
    :raises InvalidInputsError: naming every rule that cannot be read.
    """
    result = _texts_of(existing)
    opened = {_opens(rule) for rule in result}
    for rule in _parse_all(rules, "add"):
        if rule.opens not in opened:
            opened.add(rule.opens)
            result.append(str(replace_field(rule, mutable=True)))
    return result


def remove(existing: object, rules: Iterable[str] | str) -> list[str]:
    """Return the existing rules without the given ones; what is not there needs no removal.

    :raises InvalidInputError: when one of them is immutable.
    """
    current = _texts_of(existing)
    unwanted = {rule.opens for rule in _parse_all(rules, "remove")}
    fixed = [rule for rule in current if _is_fixed(rule) and _opens(rule) in unwanted]
    if fixed:
        raise InvalidInputError("remove", fixed, "rules that are mutable; these belong to the catalog item")
    return [rule for rule in current if _opens(rule) not in unwanted]


def replace(existing: object, rules: Iterable[str] | str) -> list[str]:
    """Return the immutable existing rules, and the given ones instead of all others.

    :param rules: the rules that are wanted; an empty list closes everything that may be closed.
    """
    return add([rule for rule in _texts_of(existing) if _is_fixed(rule)], rules)
