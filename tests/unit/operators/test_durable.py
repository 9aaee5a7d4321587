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
        patch.setattr(durable, "time", SimpleNamespace(time=stepped, monotonic=stepped, sleep=stepped.sleep))
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


def run(clears: int) -> Any:
    return SimpleNamespace(clear_number=clears)


def test_retries_that_are_changed_in_the_dag_are_no_clear() -> None:
    store = FakeStore()
    first = Ledger(make_context(store, retries=2, max_tries=2))
    first.put("job", "id")
    for retries in (5, 0, 1, 2):
        for try_number in (1, 2, 3):
            later = Ledger(make_context(store, try_number=try_number, retries=retries, max_tries=2))
            assert (later.get("job"), later.marker) == ("id", first.marker)
            later.put("other", retries)
            assert first.get("other") == retries


def test_a_clear_is_one_whatever_became_of_the_retries() -> None:
    """Airflow then sets ``max_tries`` to the tries so far and the retries of that moment."""
    store = FakeStore()
    seen = []
    # Retries at the clear, tries until then, retries that the worker knows of.
    for retries, tries, known in ((2, 0, 2), (5, 1, 5), (5, 2, 2), (0, 3, 0), (0, 4, 7), (3, 5, 3)):
        ledger = Ledger(make_context(store, try_number=tries + 1, retries=known, max_tries=tries + retries))
        assert ledger.get("job") is None, "it is to be done again"
        ledger.put("job", tries)
        later = Ledger(make_context(store, try_number=tries + 2, retries=known + 1, max_tries=tries + retries))
        assert (later.get("job"), later.marker) == (tries, ledger.marker)
        seen.append(ledger.epoch)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("try_number", "retries", "clears", "is_clear"),
    [
        # Retries were reduced from three to two and the task cleared after its first try: 1 + 2 are three again.
        (2, 2, 1, True),
        # Another task of the run was cleared.
        (2, 3, 1, False),
        (1, 2, 1, False),
        (2, 5, 1, False),
        # Nothing was cleared.
        (2, 2, 0, False),
    ],
)
def test_a_clear_that_leaves_the_number_as_it_was(try_number: int, retries: int, clears: int, is_clear: bool) -> None:
    store = FakeStore()
    Ledger(make_context(store, retries=3, max_tries=3, dag_run=run(0))).put("job", "id")
    context = make_context(store, try_number=try_number, retries=retries, max_tries=3, dag_run=run(clears))
    assert (Ledger(context).get("job") is None) is is_clear


def test_mapped_tasks_and_a_store_that_is_silent() -> None:
    before = Ledger(make_context(FakeStore(), map_index=1, retries=2, max_tries=2))
    before.put("job", "id")
    assert Ledger(make_context(FakeStore(), map_index=1, try_number=2)).marker == before.marker
    assert Ledger(make_context(FakeStore(), map_index=2, try_number=2)).marker != before.marker


def test_what_was_caused_before_a_clear_is_not_looked_for() -> None:
    service, store = Service(), FakeStore()
    first = Ledger(make_context(store))
    first.announce()
    first.once("job", lambda: service.send(["job"])[0], lambda: service.find(["job"])[0])
    context = make_context(store, try_number=2, max_tries=3)
    cleared = Ledger(context)
    # As operators do, which have another ledger for that.
    Ledger(context).announce()
    cleared.once("job", lambda: service.send(["job"])[0], lambda: service.find(["job"])[0])
    assert (service.effects["job"], service.looks) == (2, 0)
    retry = Ledger(make_context(store, try_number=3, max_tries=3))
    assert retry.may_have_acted


def test_a_store_without_a_word_says_nothing() -> None:
    assert Ledger(make_context(FakeStore(), try_number=2)).may_have_acted
    assert Ledger(make_context(FakeStore(), try_number=2, max_tries=3)).may_have_acted
    paused = make_context(FakeStore(), **{durable.RESUMED: True})
    assert Ledger(paused).may_have_acted
    assert not Ledger(make_context(FakeStore())).may_have_acted


@pytest.mark.parametrize("after", [0.0, 20.0, 100.0])
@pytest.mark.parametrize("many", [False, True])
def test_a_retry_looks_when_what_was_sent_last_would_be_seen(clock: SteppedClock, after: float, many: bool) -> None:
    """A worker died with the request on its way, and the service takes its time."""
    service, store = Service(), FakeStore()
    Ledger(make_context(store)).announce()
    sent_at = clock()
    clock.sleep(after)

    def find(items: Sequence[Any]) -> list[str | None]:
        if clock() >= sent_at + 50.0:
            service.effects.update({item: 1 for item in items if not service.effects[item]})
        return service.find(items)

    ledger = Ledger(make_context(store, try_number=2))
    begun = clock()
    if many:
        ledger.each("jobs", ["job", "other"], service.send, find)
    else:
        ledger.once("job", lambda: service.send(["job"])[0], lambda: find(["job"])[0])
    assert service.calls == 0, "it was there"
    assert clock() - begun == max(0.0, durable.SETTLING - after)


def test_a_clock_that_is_ahead_keeps_nobody_for_long(clock: SteppedClock) -> None:
    store = FakeStore()
    Ledger(make_context(store)).put("announced", clock() + 5000.0)
    begun = clock()
    Ledger(make_context(store, try_number=2)).once("job", lambda: "id", lambda: None)
    assert clock() - begun == durable.SETTLING


def test_a_store_that_lost_its_records_is_no_reason_to_do_everything_twice() -> None:
    service, items = Service(), list(range(30))
    Ledger(make_context()).each("copies", items[:25], service.send, service.find, chunk=10)
    for item in (12, 13):
        # Somebody deleted them.
        del service.effects[item]
    service.calls = 0
    records = Ledger(make_context(try_number=2)).each("copies", items, service.send, service.find, chunk=10)
    assert records == [f"id of {item}" for item in items]
    assert service.effects == Counter(items)
    assert (service.looks, service.calls) == (3, 2)


def test_a_store_that_lost_its_records_is_asked_for_no_longer_than_something_is_found() -> None:
    service, items = Service(), list(range(50))
    Ledger(make_context()).each("copies", items[:10], service.send, service.find, chunk=10)
    Ledger(make_context(try_number=2)).each("copies", items, service.send, service.find, chunk=10)
    assert service.looks == 2


def test_a_store_that_remembers_spares_looks() -> None:
    service, store, items = Service(["ok", "die after"]), FakeStore(), list(range(50))
    first = Ledger(make_context(store))
    first.announce()
    with pytest.raises(Died):
        first.each("copies", items, service.send, service.find, chunk=10)
    Ledger(make_context(store, try_number=2)).each("copies", items, service.send, service.find, chunk=10)
    assert service.looks == 1
    assert service.effects == Counter(items)
