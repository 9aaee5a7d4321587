"""Looking for what is there already: right, and at the fewest calls."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import SevenBridgesClient, finders
from tests.unit.client.fakes import Answer, Call, FakeSession

PLACE = {"project": "o/p"}


def project(names: list[str], *, total: bool = True) -> FakeSession:
    """A project whose top level holds these files."""

    def answer(call: Call) -> Any:
        wanted = call.values("name")
        files = [{"id": f"{n:024x}", "name": name} for n, name in enumerate(names) if not wanted or name in wanted]
        start = call.query["offset"]
        page = files[start : start + 100]
        links = [{"rel": "next", "href": "x"}] if start + 100 < len(files) else []
        made = Answer(json.dumps({"items": page, "links": links}).encode())
        made.headers = {"X-Total-Matching-Query": str(len(files))} if total else {}
        return made

    return FakeSession(always=answer)


@given(there=st.integers(0, 450), wanted=st.integers(1, 350), first=st.integers(0, 300), total=st.booleans())
def test_names_in_a_place(there: int, wanted: int, first: int, total: bool) -> None:
    names = [f"file {n}" for n in range(there)]
    asked = [f"file {n}" for n in range(first, first + wanted)]
    session = project(names, total=total)
    found = finders.Place(SevenBridgesClient(session), PLACE).named(asked)  # type: ignore[arg-type]
    assert set(found) == set(names) & set(asked)
    by_name, by_listing = -(-wanted // 100), max(1, -(-there // 100))
    # Which is cheaper shows with the first page, so the dearer way costs one call more at most.
    assert session.calls <= (min(by_name, by_listing) if total else by_name) + 1


@given(there=st.integers(0, 250), wanted=st.integers(1, 250))
def test_whether_a_place_is_empty_is_not_paid_for_twice(there: int, wanted: int) -> None:
    session = project([f"file {n}" for n in range(there)])
    place = finders.Place(SevenBridgesClient(session), PLACE)  # type: ignore[arg-type]
    assert place.is_empty() is (there == 0)
    assert session.calls == 1
    place.named([f"file {n}" for n in range(wanted)])
    assert session.calls <= 1 + min(-(-wanted // 100), -(-there // 100))


def test_a_folder_does_not_hide_the_file_of_its_name() -> None:
    items = [{"id": "1", "name": "a", "type": "folder"}, {"id": "2", "name": "a", "type": "file"}]
    session = FakeSession({"items": items, "links": []})
    assert finders.Place(SevenBridgesClient(session), PLACE).named(["a"])["a"]["id"] == "2"  # type: ignore[arg-type]


def job(number: int, place: dict[str, str], started: str = "2026-03-04T10:11:12Z") -> dict[str, Any]:
    source = {"volume": "o/v", "location": "a/b"}
    return {"id": f"j{number}", "source": source, "destination": {**place, "name": "b"}, "started_on": started}


def test_a_job_to_somewhere_else_is_not_ours() -> None:
    folder, other = {"parent": "1" * 24}, {"parent": "2" * 24}
    session = FakeSession({"items": [job(1, other), job(2, folder)], "links": []})
    assert finders.running_imports(SevenBridgesClient(session), "o/v", folder) == {"a/b": "j2"}  # type: ignore[arg-type]


def test_of_several_jobs_the_newest_since_the_beginning_counts() -> None:
    begun = 1772619072.0  # 2026-03-04T10:11:12Z
    days = ("2026-03-03T00:00:00Z", "2026-03-04T10:12:00Z", "2026-03-04T10:11:00Z")
    session = FakeSession({"items": [job(n, PLACE, day) for n, day in enumerate(days)], "links": []})
    assert finders.imports_since(SevenBridgesClient(session), "o/v", PLACE, begun) == {"a/b": "j1"}  # type: ignore[arg-type]


def test_tasks_are_known_by_their_mark_and_children_do_not_count() -> None:
    mark = "0123456789abcdef"
    tasks = [
        {"id": "1", "description": f"x [{mark}-0]"},
        {"id": "2", "description": f"x [{mark}-0]", "parent": "1"},
        {"id": "3", "description": f"[{mark}-again0.1]"},
        {"id": "4", "description": "[fedcba9876543210-0]"},
        {"id": "5", "description": None},
        {"id": "6", "description": f"[{mark}-1]"},
    ]
    session = FakeSession({"items": tasks, "links": []})
    client: Any = SevenBridgesClient(session)  # type: ignore[arg-type]
    found = finders.tasks_by_mark(client, "o/p", mark, 1772619072.0, ignore=["6"])
    assert {key: task["id"] for key, task in found.items()} == {f"[{mark}-0]": "1", f"[{mark}-again0.1]": "3"}
    assert session.last.query["created_from"] == "2026-03-04T10:01:12Z"
