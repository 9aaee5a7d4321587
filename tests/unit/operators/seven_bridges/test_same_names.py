"""Files of one name that are copied together: each has one copy of its own, also when an answer was lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges import finders
from airflow_src_provider.operators.seven_bridges import SevenBridgesCopyFilesOperator, copies
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import ARCHIVE, RESULTS, SbWorld

NAMES = 3


@pytest.fixture(params=["by size", "by metadata", "not at all"])
def twins(sb: SbWorld, request: pytest.FixtureRequest) -> list[str]:
    """Make pairs of files with one name, which differ in some way, and return their ids."""
    ids = archive_ids(sb, 2 * NAMES)
    folder = sb.client.files.create_folder("other run", project=ARCHIVE)["id"]
    for number, (one, other) in enumerate(zip(ids[::2], ids[1::2], strict=True)):
        sb.client.files.move(other, folder)
        for place, id_ in enumerate((one, other)):
            node = sb.store.nodes[id_]
            node.name, node.size, node.metadata = f"reads {number}.gz", 1000, {}
            if request.param == "by size":
                node.size += place
            if request.param == "by metadata":
                node.metadata = {"sample_id": f"S{place}"}
    return ids


def copy(files: Any, **more: Any) -> SevenBridgesCopyFilesOperator:
    place = {} if "parent" in more else {"project": RESULTS}
    return SevenBridgesCopyFilesOperator(task_id="copies", files=files, **{**place, **more})


def check(sb: SbWorld, twins: list[str], result: dict[str, Any]) -> None:
    assert (result["copied"], result["failed"], len(set(result["file_ids"]))) == (2 * NAMES, 0, 2 * NAMES)
    assert sb.effects()["files_copied"] == 2 * NAMES
    for original, made in zip(twins, result["file_ids"], strict=True):
        one, other = sb.store.nodes[original], sb.store.nodes[made]
        assert other.name.endswith(one.name)
        assert (other.size, other.metadata) == (one.size, one.metadata)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("if_exists", ["skip", "copy"])
@pytest.mark.parametrize("nth", [0, 1])
def test_an_answer_is_lost(
    sb: SbWorld, twins: list[str], monkeypatch: pytest.MonkeyPatch, if_exists: str, chunk: int, nth: int
) -> None:
    monkeypatch.setattr(copies, "CHUNK", chunk)
    sb.sandbox.fault(service="sb", method="POST", path="files/copy", action="close", when="after", skip=nth)
    check(sb, twins, sb.run(copy(twins, if_exists=if_exists)))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_job_is_lost(sb: SbWorld, twins: list[str], monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(copies, "CHUNK", chunk)
    there = sb.client.files.create_folder("shared", project=RESULTS)["id"]
    lost = int(chunk < 2 * NAMES)
    sb.sandbox.fault(service="sb", method="POST", path="async/files/copy", action="close", when="after", skip=lost)
    check(sb, twins, sb.run(copy(twins, parent=there)))


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_worker_dies_before_it_notes_the_answer(
    sb: SbWorld, twins: list[str], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(copies, "CHUNK", chunk)
    store = FakeStore()
    sb.run(copy(twins), make_context(store))
    # Of the chunks, only the last can have been sent without a record.
    del store[f"copies.{-(-2 * NAMES // chunk) - 1}"]
    check(sb, twins, sb.run(copy(twins), make_context(store, try_number=2)))


traits = st.fixed_dictionaries({"size": st.integers(1, 2), "metadata": st.sampled_from([{}, {"a": "1"}])})


@given(st.lists(traits, max_size=6), st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_pairs_are_as_good_as_they_can_be(kinds: list[Any], order: list[int], there: set[int]) -> None:
    originals = [{"id": f"o{n}", "name": "a", **kind} for n, kind in enumerate(kinds)]
    came = [{"id": f"c{n}", "name": "a", **kinds[n]} for n in order if n < len(kinds) and n in there]
    pairs = finders.pair(originals, {"a": came})
    assert sorted(one["id"] for one in pairs if one) == sorted({one["id"] for one in pairs if one})
    for original, one in zip(originals, pairs, strict=True):
        assert one is None or one["size"] == original["size"]
    exact = sum(
        bool(one) and one["metadata"] == original["metadata"] for original, one in zip(originals, pairs, strict=True)
    )
    # Whatever came is of somebody, so all of it finds an owner of its kind.
    assert exact == len(came)


def test_what_is_taken_is_nobodys_else() -> None:
    originals = [{"id": "o", "name": "a"}]
    came = {"a": [{"id": "new", "name": "1_a"}, {"id": "old", "name": "a"}]}
    assert finders.pair(originals, came, {"new"}) == [came["a"][1]]
    assert finders.pair(originals, came, {"new", "old"}) == [None]
