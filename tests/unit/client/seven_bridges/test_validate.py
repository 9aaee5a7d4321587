"""What the platform would refuse is refused here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import validate
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (validate.file_id, ["65a1f1e4e4b0a77ec4fd2064"], ["", "65a1", "g" * 24, "a" * 25, "a" * 24 + "\n", None, 5]),
        (validate.task_id, ["bd5e95d9-12b3-489c-85b6-34d8696571a9"], ["", "bd5e95d9", "z" * 36, None]),
        (validate.job_id, ["Yq1v0mERJY4F3wq80mzh5UuTdw2ApLm2", "56498"], ["", "a/b", "a b", None, 5]),
        (validate.project_id, ["o/p", "Own-er/my-project_1"], ["", "p", "a/b/c", "o/", "/p", "o/ p", "../p", "o/.."]),
        (validate.volume_id, ["o/v"], ["v", "o/v/x"]),
        (validate.app_id, ["o/p/a", "o/p/a/12"], ["a", "o/p", "o/p/a/x", "o/p/a/1/2", "o/../a"]),
        (validate.text, ["x"], ["", "  ", None, 5]),
    ],
)
def test_ids(check, good, bad):
    for value in good:
        assert check(value, "it") == value
    for value in bad:
        with pytest.raises(InvalidInputError, match="it="):
            check(value, "it")


@given(st.dictionaries(st.text(min_size=1, max_size=25), st.none() | st.text(max_size=75), max_size=20))
def test_metadata_within_the_limits(metadata):
    assert validate.metadata(metadata) == metadata


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "x",
        [("a", "b")],
        {"": "x"},
        {5: "x"},
        {"k" * 101: "x"},
        {"é" * 51: "x"},
        {"k": "v" * 301},
        {"k": "é" * 151},
        {"k": 5},
        {"k": ["a"]},
        {f"k{i}": "v" for i in range(1001)},
    ],
)
def test_metadata_beyond_the_limits(metadata):
    with pytest.raises(InvalidInputError):
        validate.metadata(metadata)


def test_the_limits_count_bytes_and_include_the_last_one():
    validate.metadata({"é" * 50: "é" * 150, **{f"k{i}": "v" for i in range(999)}})


def test_all_problems_are_found_at_once():
    with pytest.raises(InvalidInputsError) as caught:
        validate.metadata({"a": 1, "b": "fine", "c": "x" * 400})
    assert [problem.parameter for problem in caught.value.problems] == ["metadata['a']", "metadata['c']"]


@pytest.mark.parametrize("value", ["raw", None, ["a", ""], ["a", 5], {"a": 1}])
def test_tags(value):
    with pytest.raises(InvalidInputError):
        validate.tags(value)
    assert validate.tags(("a", "b")) == ["a", "b"]
    assert validate.tags([]) == []
