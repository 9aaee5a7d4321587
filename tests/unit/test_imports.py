"""Imports point one way: operators, sensors -> triggers -> hooks -> client -> exceptions; the sandbox stands alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_src_provider

NAME = "airflow_src_provider"
PACKAGE = Path(airflow_src_provider.__file__).parent
SHARED = {"checks", "items", "remote", "seven_bridges"}
# What a part may import of the package, itself included.
MAY_IMPORT = {
    "__init__": set(),
    "get_provider_info": set(),
    "exceptions": {"exceptions"},
    "sandbox": {"sandbox"},
    "client": {"client", "exceptions"},
    "hooks": {"hooks", "client", "exceptions"},
    "links": {"links", "exceptions"},
    "triggers": {"triggers", "hooks", "client", "exceptions"},
    "checks": {"checks", "remote", "exceptions"},
    "items": {"items", "exceptions"},
    "seven_bridges": {"seven_bridges", "items", "checks", "remote", "client", "exceptions"},
    "retry": {"retry", "remote", "client", "exceptions"},
    "remote": {"remote", "triggers", "hooks", "links", "client", "exceptions"},
    "sensors": {"sensors", *SHARED, "triggers", "hooks", "links", "client", "exceptions"},
    "operators": {"operators", *SHARED, "triggers", "hooks", "links", "client", "exceptions"},
}
# The memory of a task run, which operators and sensors share.
MEMORY = f"{NAME}.operators.durable."
WITHOUT_AIRFLOW = {"__init__", "get_provider_info", "exceptions", "client", "sandbox"}


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = (NAME, *path.relative_to(PACKAGE).parts)[: -node.level] if node.level else ()
            origin = ".".join(filter(None, (*above, node.module)))
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"{part}: say in this test what it may import"
    for line, name in imported(path):
        parts = name.split(".")
        if parts[0] == NAME and len(parts) > 1 and parts[1] != "__version__":
            allowed = parts[1] in MAY_IMPORT[part] or (part == "sensors" and name.startswith(MEMORY))
            assert allowed, f"{path}:{line}: {part} must not import {name}"
        if parts[0] == "airflow":
            assert part not in WITHOUT_AIRFLOW, f"{path}:{line}: {part} must not import Airflow"


@pytest.mark.parametrize("module", ["client", "client.http", "exceptions", "sandbox"])
def test_no_airflow_comes_in_by_a_detour(module: str) -> None:
    code = f"import sys, {NAME}.{module}; print(*(m for m in sys.modules if m.split('.')[0] == 'airflow'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == []
