"""Lists and mappings that come as text, because that is what a template gives."""

from __future__ import annotations

import ast
import json
from typing import Any


def literal(value: Any) -> Any:
    """Return a text that is JSON or a Python literal of a list or mapping as that; everything else unchanged."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value)
            except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
                continue
    return value
