"""What a benchmark reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured claim.

    :param name: what was measured.
    :param figure: what came out, in words and numbers.
    :param target: what was promised.
    :param ok: whether the promise holds; ``None`` when it could not be measured here.
    """

    name: str
    figure: str
    target: str
    ok: bool | None
