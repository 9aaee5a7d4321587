"""Reading a seed file: the state both services start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SECTIONS = ("src", "sb")


def check_seed(seed: Any) -> dict[str, Mapping[str, Any]]:
    """The seed by service; a service that is left out keeps its built-in seed.

    :raises ValueError: when the seed is not a mapping of ``src`` and ``sb`` to mappings.
    """
    if not isinstance(seed, Mapping):
        raise ValueError(f"a seed is a mapping with the keys {SECTIONS}, got {type(seed).__name__}")
    if unknown := set(seed) - set(SECTIONS):
        raise ValueError(f"unknown keys in the seed: {sorted(map(str, unknown))}; known: {SECTIONS}")
    for name, part in seed.items():
        if not isinstance(part, Mapping):
            raise ValueError(f"seed section {name!r} must be a mapping, got {type(part).__name__}")
    return dict(seed)


def load_seed(path: str | Path) -> dict[str, Mapping[str, Any]]:
    """Read a seed from a JSON (``.json``) or YAML file.

    :raises ValueError: when the file is not readable as a seed.
    :raises OSError: when it cannot be read at all.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        parsed = json.loads(text) if str(path).endswith(".json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"seed file {path} cannot be parsed: {error}") from error
    return check_seed(parsed)
