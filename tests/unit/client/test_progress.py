"""What a wait tells the log: when something changed, in numbers, and by name only what failed."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_src_provider.client.waiting import Progress, Seen, Wait


class Jobs(Wait):
    """A job is done, failed, or in the state that was found."""

    kind = "jobs"

    @classmethod
    def look(cls, client: Any, ids: Sequence[str]) -> Mapping[str, Any]:
        raise NotImplementedError

    def judge(self, id_: str, found: Any) -> Seen:
        return Seen(found if found in ("done", "failed") else "waiting", "out of space" if found == "failed" else found)


class Machines(Jobs):
    names_itself = True


def lines(wait: Wait, *looks: Mapping[str, str]) -> list[str | None]:
    progress = Progress(wait)
    return [progress.update(found) for found in looks]


def test_one_is_told_by_its_state() -> None:
    looks = ({"a": "QUEUED"}, {"a": "QUEUED"}, {"a": "RUNNING"}, {"a": "done"})
    assert lines(Jobs(["a"]), *looks) == ["a: QUEUED", None, "a: RUNNING", "a: done"]
    assert lines(Machines(["a"]), *looks) == ["QUEUED", None, "RUNNING", "done"]


def test_many_are_told_by_their_number() -> None:
    ids = [f"job-{number}" for number in range(1000)]
    first = dict.fromkeys(ids, "PENDING") | {"job-7": "RUNNING"}
    second = dict.fromkeys(ids, "done") | {"job-1": "PENDING", "job-2": "PENDING", "job-3": "failed"}
    assert lines(Jobs(ids), first, first, second, {"job-1": "done", "job-2": "done"}) == [
        "0 done, 0 failed, 1000 to go (999 times PENDING; RUNNING)",
        None,
        "997 done, 1 failed, 2 to go (job-3: out of space; 2 times PENDING)",
        "999 done, 1 failed, 0 to go",
    ]


def test_a_line_stays_short_when_everything_fails() -> None:
    ids = [f"job-{number}" for number in range(50)]
    (line,) = lines(Jobs(ids), dict.fromkeys(ids, "failed"))
    assert line == (
        "0 done, 50 failed, 0 to go (job-0: out of space; job-1: out of space; job-2: out of space; and 47 more)"
    )
