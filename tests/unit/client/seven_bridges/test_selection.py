"""One way to say which files: what is understood, what is refused, and how it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import SevenBridgesClient, inputs, selection
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from tests.unit.client.fakes import FakeSession

A, B, FOLDER = "a" * 24, "b" * 24, "f" * 24
TASK = "bd5e95d9-12b3-489c-85b6-34d8696571a9"

GOOD = [
    [A, B],
    (A,),
    A,
    {"id": A, "name": "a.bam"},
    [{"id": A, "name": "a.bam"}, B],
    {"file_ids": [A], "imported": 1},
    {"output_file_ids": [A]},
    {"project": "o/p", "names": ["a.bam"]},
    {"parent": FOLDER, "names": "a.bam"},
    {"project": "o/p"},
    {"project": "o/p", "metadata": {"sample_id": "S1"}, "tags": ["raw"], "name_pattern": "*.bam", "recursive": True},
    {"origin_task": TASK},
    {"origin_task": [TASK], "project": "o/p"},
]
BAD = [
    None,
    7,
    "",
    "a.bam",
    [],
    ["a.bam"],
    [A, "a.bam"],
    [A, 7],
    {},
    {"file_ids": []},
    {"names": ["a.bam"]},
    {"project": "o/p", "parent": FOLDER},
    {"project": "o/p", "names": []},
    {"project": "o/p", "names": ["a"], "tags": ["raw"]},
    {"project": "p"},
    {"parent": "p"},
    {"project": "o/p", "metadata": {}},
    {"project": "o/p", "metadata": {"a": 1}},
    {"project": "o/p", "recursive": "yes"},
    {"project": "o/p", "origin_task": "salmon"},
    {"project": "o/p", "name": "a.bam"},
]


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_understood_also_as_text(value: Any) -> None:
    assert selection.read(value) == selection.read(json.dumps(value) if not isinstance(value, str) else value)
    assert selection.read(str(value) if isinstance(value, dict | list) else value) == selection.read(value)
    assert str(selection.read(value))


@pytest.mark.parametrize("value", BAD, ids=str)
def test_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        selection.read(value)


def test_all_problems_of_a_query_are_listed() -> None:
    with pytest.raises(InvalidInputsError) as caught:
        selection.read({"project": "p", "tags": "raw", "origin_task": ["x", "y"], "nmae": "a"})
    assert len(caught.value.problems) == 5


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from([A, TASK, "o/p"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["project", "parent", "names", "metadata", "tags", "origin_task", "recursive", "file_ids"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=anything)
def test_anything_is_either_understood_or_refused(value: Any) -> None:
    try:
        chosen = selection.read(value)
    except InvalidInputError:
        return
    assert chosen.known or chosen.query


@given(value=st.dictionaries(st.text(max_size=5), anything, max_size=3))
def test_any_inputs_are_either_understood_or_refused(value: Any) -> None:
    try:
        inputs.check_inputs(value)
    except InvalidInputError:
        return
    json.dumps(value)


def client(*replies: Any) -> tuple[Any, FakeSession]:
    session = FakeSession(*replies)
    return SevenBridgesClient(session), session  # type: ignore[arg-type]


def test_what_is_known_is_not_asked_for() -> None:
    api, session = client()
    found = selection.resolve(
        api, selection.read([{"id": A, "name": "a", "metadata": {"s": "1"}}]), ("name", "metadata.s")
    )
    assert ([file["id"] for file in found.files], session.calls) == ([A], 0)


def test_folders_and_missing_files_are_told_apart_from_files() -> None:
    items = [
        {"resource": {"id": A, "name": "a", "type": "FOLDER"}},
        {"error": {"status": 404, "code": 5002, "message": "no such file"}},
    ]
    api, _ = client({"items": items})
    found = selection.resolve(api, selection.read([A, B]), ("name",))
    assert (found.files, found.failed) == ([], {A: "a folder, not a file", B: "5002: no such file"})


def test_files_of_a_batch_are_those_of_its_children() -> None:
    parent = {"id": TASK, "project": "o/p", "batch": True, "outputs": {}}
    file = {"class": "File", "path": A, "name": "a.bam", "secondaryFiles": [{"class": "File", "path": FOLDER}]}
    children = [{"id": "c1", "outputs": {"bam": [file, None], "n": 3}}, {"id": "c2", "outputs": {"bam": [[file]]}}]
    api, session = client({"items": [{"resource": parent}]}, {"items": children, "links": []})
    found = selection.resolve(api, selection.read({"origin_task": TASK, "name_pattern": "*.bam"}), ("name",))
    assert (found.files, session.calls) == ([{"id": A, "name": "a.bam"}], 2)


def test_a_task_of_another_project_is_named() -> None:
    api, _ = client({"items": [{"resource": {"id": TASK, "project": "o/other", "outputs": {}}}]})
    found = selection.resolve(api, selection.read({"origin_task": TASK, "project": "o/p"}))
    assert found.failed == {TASK: "a task of project o/other"}


@given(
    files=st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(["a.bam", "b.bam", "c.vcf"]),
                "metadata": st.dictionaries(st.sampled_from("st"), st.sampled_from("12"), max_size=2),
                "tags": st.lists(st.sampled_from("xy"), max_size=2),
            }
        ),
        max_size=8,
    ),
    query=st.fixed_dictionaries(
        {},
        optional={
            "metadata": st.dictionaries(
                st.sampled_from("st"), st.lists(st.sampled_from("12"), min_size=1, max_size=2), min_size=1
            ),
            "tags": st.lists(st.sampled_from("xy"), min_size=1, max_size=2),
            "name_pattern": st.sampled_from(["*.bam", "c*"]),
        },
    ),
)
def test_a_walk_filters_as_the_service_would(files: list[Any], query: dict[str, Any]) -> None:
    items = [{"id": f"{n:024x}", "type": "file", **file} for n, file in enumerate(files)]
    api, _ = client({"items": items, "links": []})
    found = selection.resolve(api, selection.read({"project": "o/p", "recursive": True, **query}))
    expected = [
        item["id"]
        for item in items
        if all(item["metadata"].get(key) in wanted for key, wanted in query.get("metadata", {}).items())
        and ("tags" not in query or set(query["tags"]) & set(item["tags"]))
        and ("name_pattern" not in query or item["name"].startswith("c") == (query["name_pattern"] == "c*"))
    ]
    assert [file["id"] for file in found.files] == expected


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"s": st.sampled_from(["1", "2", ""]), "t": st.sampled_from(["1", "2"])}),
        min_size=1,
        max_size=30,
    )
)
def test_groups_are_what_the_platform_will_make(metadata: list[dict[str, str]]) -> None:
    files = [{"id": f"{n:024x}", "metadata": one} for n, one in enumerate(metadata)]
    criteria = ["metadata.s", "metadata.t"]
    if lacking := sum(1 for one in metadata if not (one.get("s") and one.get("t"))):
        with pytest.raises(InvalidInputsError) as caught:
            inputs.groups(files, criteria, "inputs.reads")
        assert len(caught.value.problems) == min(21, lacking)
        return
    grouped = inputs.groups(files, criteria, "inputs.reads")
    assert [file for group in grouped.values() for file in group] == sorted(
        files, key=lambda file: list(grouped).index((file["metadata"]["s"], file["metadata"]["t"]))
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"inputs": [{"id": "#reads"}, {"id": "#main/threads"}]}, {"reads", "threads"}),
        ({"inputs": {"reads": "File[]"}}, {"reads"}),
        ({}, None),
    ],
)
def test_inputs_of_an_app(raw: Any, expected: Any) -> None:
    assert inputs.app_inputs(raw) == expected
