"""No effect twice and none lost, wherever a try dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.exceptions import OutcomeUnknownError
from airflow_src_provider.operators import durable
from airflow_src_provider.operators.durable import Ledger
from tests.unit.client.server import SteppedClock
from tests.unit.fakes import FakeStore, make_context


@pytest.fixture(autouse=True, scope="module")
def clock() -> Iterator[SteppedClock]:
    stepped = SteppedClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "time", SimpleNamespace(monotonic=stepped, sleep=stepped.sleep))
        yield stepped


class Died(BaseException):
    """The worker is gone, as after SIGKILL: no handler of ours may run."""


class Service:
    """Does what it is sent; what goes wrong is said beforehand, one word per call."""

    def __init__(self, script: Sequence[str] = ()) -> None:
        self.script = list(script)
        self.effects: Counter[Any] = Counter()
        self.calls = 0
        self.looks = 0

    def send(self, items: Sequence[Any]) -> list[str]:
        self.calls += 1
        step = self.script.pop(0) if self.script else "ok"
        if step == "die before":
            raise Died
        if step == "lost before":
            raise OutcomeUnknownError("no answer")
        self.effects.update(items)
        if step == "die after":
            raise Died
        if step == "lost after":
            raise OutcomeUnknownError("no answer")
        return [f"id of {i}" for i in items]

    def find(self, items: Sequence[Any]) -> list[str | None]:
        self.looks += 1
        return [f"id of {i}" if self.effects[i] else None for i in items]


def run_until_done(service: Service, items: list[int], chunk: int, store: FakeStore) -> list[Any]:
    for try_number in range(1, 100):
        ledger = Ledger(make_context(store, try_number=try_number, max_tries=99, retries=99))
        try:
            return ledger.each("copies", items, service.send, service.find, chunk)
        except (Died, OutcomeUnknownError):
            continue
    raise AssertionError("never done")


@given(
    count=st.integers(1, 30),
    chunk=st.integers(1, 10),
    script=st.lists(st.sampled_from(["ok", "die before", "die after", "lost before", "lost after"]), max_size=25),
)
def test_every_item_once_whatever_happens(count: int, chunk: int, script: list[str]) -> None:
    service = Service(script)
    items = list(range(count))
    records = run_until_done(service, items, chunk, FakeStore())
    assert records == [f"id of {i}" for i in items]
    assert service.effects == Counter(items)


@given(script=st.lists(st.sampled_from(["die before", "die after", "lost before", "lost after"]), max_size=10))
def test_one_effect_once_whatever_happens(script: list[str]) -> None:
    service = Service(script)
    store = FakeStore()
    for try_number in range(1, 100):
        ledger = Ledger(make_context(store, try_number=try_number, max_tries=99, retries=99))
        try:
            record = ledger.once("job", lambda: service.send(["job"])[0], lambda: service.find(["job"])[0])
        except (Died, OutcomeUnknownError):
            continue
        assert record == "id of job"
        break
    assert service.effects == Counter(["job"])


def test_a_first_try_without_trouble_looks_for_nothing() -> None:
    service = Service()
    Ledger(make_context()).each("copies", list(range(250)), service.send, service.find)
    assert (service.calls, service.looks) == (3, 0)


def test_a_retry_looks_only_where_something_can_be_unrecorded() -> None:
    service = Service(["ok", "ok", "die after"])
    store = FakeStore()
    items = list(range(500))
    with pytest.raises(Died):
        Ledger(make_context(store)).each("copies", items, service.send, service.find)
    service.calls = 0
    Ledger(make_context(store, try_number=2)).each("copies", items, service.send, service.find)
    assert service.looks == 1, "two chunks are recorded, the third is looked for, the others cannot have been sent"
    assert service.calls == 2
    assert service.effects == Counter(items)


def test_a_clear_means_do_it_again() -> None:
    service = Service()
    store = FakeStore()
    send, find = lambda: service.send(["job"])[0], lambda: None
    Ledger(make_context(store)).once("job", send, find)
    Ledger(make_context(store, try_number=2)).once("job", send, find)
    assert service.effects["job"] == 1, "an automatic retry goes on with what is there"
    cleared = Ledger(make_context(store, try_number=3, max_tries=4))
    assert cleared.older("job") == "id of job"
    cleared.once("job", send, find)
    assert service.effects["job"] == 2
    assert cleared.older("job") is None


def test_the_marker_names_one_epoch_of_one_task_run() -> None:
    base: dict[str, Any] = {}
    variants = [
        base,
        {"task_id": "other"},
        {"run_id": "other"},
        {"map_index": 3},
        {"try_number": 3, "max_tries": 4},
    ]
    markers = [Ledger(make_context(**v)).marker for v in variants]
    assert len(set(markers)) == len(markers)
    assert Ledger(make_context(try_number=2)).marker == markers[0], "a retry looks for the marker of the first try"


def test_without_durable_nothing_is_remembered() -> None:
    service = Service()
    store = FakeStore()
    for try_number in (1, 2):
        ledger = Ledger(make_context(store, try_number=try_number), durable=False)
        ledger.once("job", lambda: service.send(["job"])[0], lambda: None)
    assert service.effects["job"] == 2
    assert not store


def test_an_effect_that_stays_unclear_is_reported_not_repeated_for_ever() -> None:
    service = Service(["lost before"] * 10)
    with pytest.raises(OutcomeUnknownError):
        Ledger(make_context()).each("copies", [1, 2], service.send, service.find)
    assert service.calls == 3


def test_foreign_records_are_ignored() -> None:
    store = FakeStore(job="something another version wrote")
    ledger = Ledger(make_context(store))
    assert ledger.get("job") is None
    assert ledger.older("job") is None
