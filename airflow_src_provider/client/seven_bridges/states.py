"""What the state words of tasks, jobs and batches mean.

Every helper takes the raw value and never fails: a word that is not known is not terminal, so a wait goes on
instead of ending with a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_src_provider.client.seven_bridges.base import Json, JsonList


@dataclass(frozen=True)
class States:
    """The words of one kind of work."""

    known: frozenset[str]
    terminal: frozenset[str]
    successful: frozenset[str]

    def name(self, value: object) -> str:
        """Return the word in upper case, ``""`` for anything that is not text."""
        return value.strip().upper() if isinstance(value, str) else ""

    def is_known(self, value: object) -> bool:
        return self.name(value) in self.known

    def is_terminal(self, value: object) -> bool:
        return self.name(value) in self.terminal

    def is_successful(self, value: object) -> bool:
        return self.name(value) in self.successful


TASK = States(
    known=frozenset(
        {"DRAFT", "CREATING", "QUEUED", "RUNNING", "COMPLETED", "ABORTING", "ABORTED", "FAILED"},
    ),
    terminal=frozenset({"COMPLETED", "ABORTED", "FAILED"}),
    successful=frozenset({"COMPLETED"}),
)
STORAGE_JOB = States(
    known=frozenset({"PENDING", "RUNNING", "COMPLETED", "FAILED"}),
    terminal=frozenset({"COMPLETED", "FAILED"}),
    successful=frozenset({"COMPLETED"}),
)
"""Imports and exports. Their key is ``state``, while tasks have ``status``."""

ASYNC_JOB = States(
    known=frozenset({"SUBMITTED", "RESOLVING", "RUNNING", "FINISHED"}),
    terminal=frozenset({"FINISHED"}),
    successful=frozenset(),
)
"""There is no failed state: ``FINISHED`` says nothing about success, see :func:`async_job_succeeded`."""


def as_int(value: object) -> int | None:
    """Return a whole number that the server wrote as number or as text, else ``None``."""
    number = as_float(value)
    return int(number) if number is not None else None


def as_float(value: object) -> float | None:
    """Return a finite number that the server wrote as number or as text, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number - number == 0 else None


def entries(job: Mapping[str, Any]) -> list[Any]:
    """Return what an async job says about its single files, in their order."""
    result = job.get("result")
    return result if isinstance(result, list) else []


def resources(job: Mapping[str, Any]) -> JsonList:
    """Return the files of an async job that went well, in their order."""
    told = [entry.get("resource") for entry in entries(job) if isinstance(entry, dict) and not entry.get("error")]
    return [resource for resource in told if isinstance(resource, dict)]


def async_job_errors(job: Mapping[str, Any]) -> JsonList:
    """Return the errors of the single files of an async job, in the order of its ``result``."""
    told = [entry.get("error") for entry in entries(job) if isinstance(entry, dict)]
    return [error for error in told if isinstance(error, dict)]


def async_job_succeeded(job: Mapping[str, Any]) -> bool:
    """Tell whether an async job has finished and no file of it failed."""
    finished = ASYNC_JOB.is_terminal(job.get("state"))
    return finished and not as_int(job.get("failed_files")) and not async_job_errors(job)


@dataclass(frozen=True)
class BatchCounts:
    """How many children of a batch are where."""

    queued: int
    running: int
    completed: int
    failed: int
    aborted: int

    @property
    def total(self) -> int:
        return self.queued + self.running + self.completed + self.failed + self.aborted

    @property
    def unfinished(self) -> int:
        return self.queued + self.running


def batch_counts(parent: Mapping[str, Any]) -> BatchCounts | None:
    """Return the counters of a batch parent, ``None`` when it carries none (a single task, or too early)."""
    status = parent.get("execution_status")
    if not isinstance(status, Mapping):
        return None
    numbers = {name: as_int(status.get(name)) for name in BatchCounts.__dataclass_fields__}
    if all(number is None for number in numbers.values()):
        return None
    return BatchCounts(**{name: max(number or 0, 0) for name, number in numbers.items()})


def batch_settled(parent: Mapping[str, Any]) -> bool:
    """Tell whether nothing of a batch will move any more, so that its children are worth listing (once)."""
    counts = batch_counts(parent)
    return TASK.is_terminal(parent.get("status")) and (counts is None or counts.unfinished == 0)


@dataclass(frozen=True)
class BatchVerdict:
    """What became of a batch.

    :param state: ``waiting``, ``succeeded`` or ``failed``.
    :param reason: one sentence for people.
    :param failed: the listed children that ended without success.
    """

    state: Literal["waiting", "succeeded", "failed"]
    reason: str
    failed: tuple[Json, ...] = ()


def judge_batch(parent: Mapping[str, Any], children: Iterable[Json]) -> BatchVerdict:
    """Judge a batch by its children and counters, never by the status of the parent.

    No page says what a parent shows when some children fail, so its status only tells that the batch has ended.

    :param parent: the batch task with ``status`` and ``execution_status``.
    :param children: all its children with ``status``, see ``tasks.children``.
    """
    listed = list(children)
    counts = batch_counts(parent)
    if not batch_settled(parent):
        still = f", {counts.unfinished} of {counts.total} children unfinished" if counts else ""
        return BatchVerdict("waiting", f"batch is {TASK.name(parent.get('status')) or 'in an unknown state'}{still}")
    moving = [child for child in listed if not TASK.is_terminal(child.get("status"))]
    if moving:
        return BatchVerdict("waiting", f"{len(moving)} of {len(listed)} children unfinished")
    failed = tuple(child for child in listed if not TASK.is_successful(child.get("status")))
    if failed:
        return BatchVerdict("failed", f"{len(failed)} of {len(listed)} children did not complete", failed)
    if counts and counts.failed + counts.aborted:
        return BatchVerdict("failed", f"{counts.failed} children failed and {counts.aborted} were aborted")
    completed = max(len(listed), counts.completed if counts else 0)
    if not completed:
        return BatchVerdict("failed", "the batch ended without any child")
    return BatchVerdict("succeeded", f"all {completed} children completed")
