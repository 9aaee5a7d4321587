"""A description says which request the workspace comes from, and stays readable."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_src_provider.client.src.bodies import mark_of, marked

ONE, OTHER = "0123456789abcdef-01234567", "fedcba9876543210-76543210"


@pytest.mark.parametrize("text", ["", "for the course", "two\nlines", f"copied [airflow {OTHER}]"])
def test_the_mark_is_found_again_and_there_is_only_one(text: str) -> None:
    description = marked(text, ONE)
    assert mark_of({"description": description}) == ONE
    assert OTHER not in description
    assert description == marked(description, ONE)
    assert description.startswith(text.partition(" [")[0])


@pytest.mark.parametrize(
    "description", [None, 5, "", "airflow", f"[airflow {ONE[1:]}]", f"[airflow {ONE[:16]}]", f"({ONE})"]
)
def test_other_descriptions_have_none(description: Any) -> None:
    assert mark_of({"description": description}) is None
    assert mark_of({}) is None
