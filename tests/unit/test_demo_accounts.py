"""The demo's books: every call belongs to one step, and the peak is that of the worst window."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scripts.accounts import Allowance, Step, attribute, listing, peak, table, usage

MOMENTS = st.lists(st.integers(0, 1000), max_size=60)


def step(task: str, begin: float, end: float) -> Step:
    return Step(task, 1, "file", None, title=task, state="success", begin=begin, end=end)


def calls(*times: float) -> list[dict[str, Any]]:
    return [{"time": time} for time in times]


def test_each_call_belongs_to_the_step_that_was_under_way() -> None:
    steps = [step("second", 10, 20), step("first", 0, 9), Step("never", 1, "file", None)]
    rest = attribute(calls(0, 5, 9, 9.5, 10, 20, 21), steps)
    assert {s.task: [call["time"] for call in s.calls] for s in steps} == {
        "first": [0, 5, 9],
        "second": [10, 20],
        "never": [],
    }
    assert [call["time"] for call in rest] == [9.5, 21]


@given(MOMENTS)
def test_no_call_is_lost_or_counted_twice(times: list[int]) -> None:
    steps = [step("a", 100, 300), step("b", 300, 600), step("c", 700, 900)]
    journal = calls(*times)
    rest = attribute(journal, steps)
    owned = [call for one in steps for call in one.calls]
    assert sorted(map(id, rest + owned)) == sorted(map(id, journal))


@given(MOMENTS, st.integers(1, 200))
def test_the_peak_is_that_of_the_fullest_window(times: list[int], window: int) -> None:
    fullest = max((sum(begin <= time < begin + window for time in times) for begin in times), default=0)
    assert peak(times, window) == fullest


def test_listing_with_the_default_page() -> None:
    # As the vendor counts: 1000 files take 21 calls.
    assert [listing(items) for items in (0, 49, 50, 1000)] == [1, 1, 2, 21]


def test_the_table_adds_up() -> None:
    steps = [step("Resume", 0, 2), step("Import", 2, 3)]
    steps[1].loop = 2021
    attribute(calls(1, 2.5, 2.6), steps)
    lines = table(steps).splitlines()
    assert [line.split()[-2:] for line in (lines[2], lines[3], lines[-1])] == [
        ["1", "1"],
        ["2", "2,021"],
        ["3", "2,022"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_the_allowance_is_shown_with_what_was_used_and_refused() -> None:
    shown = usage(
        [Allowance("SURF Research Cloud", 1000, 60.0, 8, 0), Allowance("Seven Bridges", 1000, 300.0, 1095, 12)]
    )
    assert shown.splitlines() == [
        "Most of the allowance used in any window:",
        "SURF Research Cloud       8 of 1,000 in 60 s    1 %   0 refused",
        "Seven Bridges        1,095 of 1,000 in 300 s  110 %  12 refused",
    ]
