"""What can be waited for on a Seven Bridges platform: imports, exports, async jobs, tasks and batches."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.seven_bridges import states
from airflow_src_provider.client.seven_bridges.base import Json
from airflow_src_provider.client.seven_bridges.bulk import BulkItem, ItemError
from airflow_src_provider.client.seven_bridges.tasks import STATUS_FIELDS, validation_errors
from airflow_src_provider.client.waiting import NOT_NOW, Seen, Wait, for_each
from airflow_src_provider.exceptions import ApiError, BadRequestError, ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from airflow_src_provider.client.seven_bridges import SevenBridgesClient

IMPORT_TAKEN = 9108
EXPORT_TAKEN = 9107
TASK_FIELDS = (*STATUS_FIELDS, "outputs")
CHILD_FIELDS = ("id", "name", "status", "batch_group", "execution_status.message", "errors", "outputs")
JOB_LISTING_FIELDS = ("id", "type", "state", "total_files", "completed_files", "failed_files", "result")
MOST_SINGLE_GETS = 2
#: Seconds for which tasks that nobody waits for are aborted while there is no answer, and between two times.
ABORT_PATIENCE = 3600.0
ABORT_AGAIN = 60.0


def _by_id(items: Iterable[BulkItem]) -> dict[str, Any]:
    # An entry about which nothing was said this time is left out: the next look may show it.
    return {
        item.sent: item.resource or item.error
        for item in items
        if item.resource or (item.error and not item.error.may_pass)
    }


def error_text(error: ItemError) -> str:
    """Return an error of one item as text, its number first."""
    number = error.code if error.code is not None else error.status
    return error.message if number is None else f"{number}: {error.message}"


class PlatformWait(Wait):
    """Base of all: what is said about an id that the platform says nothing, or nothing good, about."""

    def judge(self, id_: str, found: Any) -> Seen:
        """Say what was found about one id means for this wait."""
        del id_
        if found is None:
            return Seen("waiting", "no answer about it")
        return Seen("failed", error_text(found)) if isinstance(found, ItemError) else self.judge_resource(found)

    @abc.abstractmethod
    def judge_resource(self, found: Json) -> Seen:
        """Say what a job or task means for this wait."""


class StorageJobWait(PlatformWait):
    """Imports or exports; the kind is what the client calls them.

    Option ``skip_taken``: that something of this name is there already is no failure; its result is ``None``. The
    result of all others is the id of the file.
    """

    taken: ClassVar[int]

    @classmethod
    def look(cls, client: SevenBridgesClient, ids: Sequence[str]) -> Mapping[str, Any]:
        """Ask about jobs, 100 per call."""
        return _by_id(getattr(client, cls.kind).get_many(ids))

    def judge_resource(self, found: Json) -> Seen:
        """Say what a job means for this wait."""
        state = states.STORAGE_JOB.name(found.get("state"))
        if not states.STORAGE_JOB.is_terminal(state):
            return Seen("waiting", state or "in an unknown state")
        if states.STORAGE_JOB.is_successful(state):
            result = found.get("result")
            return Seen("done", state, result.get("id") if isinstance(result, dict) else None)
        error = ItemError.of(found.get("error") or "failed without a reason")
        if error.code == self.taken and self.options.get("skip_taken"):
            return Seen("done", "there already")
        return Seen("failed", error_text(error))


class ImportWait(StorageJobWait):
    """Import jobs."""

    kind = "imports"
    taken = IMPORT_TAKEN


class ExportWait(StorageJobWait):
    """Export jobs."""

    kind = "exports"
    taken = EXPORT_TAKEN


class AsyncJobWait(PlatformWait):
    """Async jobs on files; ids are written ``kind/id``, for example ``copy/56498``.

    The result has the numbers of files and, for each item in order, ``id`` and ``name`` of its file, or ``error``.
    """

    kind = "async jobs"

    @classmethod
    def look(cls, client: SevenBridgesClient, ids: Sequence[str]) -> Mapping[str, Any]:
        """Ask about jobs: one by one if they are few, else by listing, 100 per call."""
        found: dict[str, Any] = {}
        if len(ids) > MOST_SINGLE_GETS:
            wanted = set(ids)
            for job in client.async_jobs.list(fields=JOB_LISTING_FIELDS):
                id_ = f"{str(job.get('type')).lower()}/{job.get('id')}"
                if id_ in wanted:
                    found[id_] = job
                if len(found) == len(wanted):
                    break
        for id_ in ids:
            if id_ not in found:
                kind, _, number = id_.partition("/")
                try:
                    found[id_] = client.async_jobs.get(kind, number)  # type: ignore[arg-type]
                except NotFoundError as error:
                    # Without a code it is not the platform that says so, but what stands in front of it.
                    if error.code is not None:
                        found[id_] = ItemError.of_call(error)
        return found

    def judge_resource(self, found: Json) -> Seen:
        """Say what a job means for this wait."""
        state = states.ASYNC_JOB.name(found.get("state"))
        if not states.ASYNC_JOB.is_terminal(state):
            done, total = states.as_int(found.get("completed_files")) or 0, states.as_int(found.get("total_files"))
            return Seen("waiting", f"{state or 'in an unknown state'}, {done} of {total or 'unknown'} files")
        failed = states.as_int(found.get("failed_files")) or len(states.async_job_errors(found))
        result = {
            "completed": states.as_int(found.get("completed_files")) or 0,
            "failed": failed,
            "entries": [_entry(entry) for entry in states.entries(found)],
        }
        return Seen("done", f"{state}, {result['completed']} files done, {failed} failed", result)


def _entry(entry: Any) -> dict[str, Any]:
    entry = entry if isinstance(entry, dict) else {}
    resource, error = entry.get("resource"), entry.get("error")
    if isinstance(resource, dict) and not error:
        return {"id": resource.get("id"), "name": resource.get("name")}
    return {"error": error_text(ItemError.of(error or "failed without a reason"))}


class TaskWait(PlatformWait):
    """Tasks, single ones and batches.

    A batch is judged by its counters and its children, never by its own status, and is *done* as soon as nothing of it
    moves any more, whether or not all its children completed: what a failed child means is for the caller to decide.

    The result of a task: ``status``; ``outputs`` (ids of the files it made); for a batch also ``children`` (ids of the
    completed ones) and ``failed`` (reason by id).
    """

    kind = "tasks"

    @classmethod
    def look(cls, client: SevenBridgesClient, ids: Sequence[str]) -> Mapping[str, Any]:
        """Ask about tasks, 100 per call; a batch that has ended costs its children's listing, once.

        What cannot be listed just now waits for another look. What was listed before it, or needs no listing, does not
        wait with it: it would have to be asked for again, for which there may be no room the next time either.
        """
        found = _by_id(client.tasks.get_many(ids, fields=TASK_FIELDS))
        ended = [id_ for id_, task in found.items() if isinstance(task, dict) and _is_ended_batch(task)]
        # The largest last: one that takes all the room there is would keep the others from their ends.
        for id_ in sorted(ended, key=lambda id_: _children(found[id_])):
            try:
                children = list(client.tasks.list(parent=id_, fields=CHILD_FIELDS))
            except NOT_NOW:
                break
            found[id_] = {**found[id_], "children": children}
        return found

    def judge_resource(self, found: Json) -> Seen:
        """Say what a task means for this wait."""
        if found.get("batch"):
            return self._judge_batch(found)
        status = states.TASK.name(found.get("status"))
        if not states.TASK.is_terminal(status):
            return Seen("waiting", _moving(status, found))
        if states.TASK.is_successful(status):
            return Seen("done", status, {"status": status, "outputs": output_files(found)})
        return Seen("failed", failure_of(found))

    def _judge_batch(self, found: Json) -> Seen:
        if "children" not in found:
            if _is_ended_batch(found):
                return Seen("waiting", "ended, its children are not listed yet")
            counts = states.batch_counts(found)
            numbers = f", {counts.completed} of {counts.total} children completed" if counts and counts.total else ""
            return Seen("waiting", _moving(states.TASK.name(found.get("status")), found) + numbers)
        verdict = states.judge_batch(found, found["children"])
        if verdict.state == "waiting":
            return Seen("waiting", verdict.reason)
        if verdict.state == "failed" and not verdict.failed:
            return Seen("failed", verdict.reason)
        completed = [child for child in found["children"] if states.TASK.is_successful(child.get("status"))]
        result = {
            "status": "FAILED" if verdict.failed else "COMPLETED",
            "children": [child["id"] for child in completed],
            "failed": {child["id"]: failure_of(child) for child in verdict.failed},
            "outputs": [file for child in completed for file in output_files(child)],
        }
        return Seen("done", verdict.reason, result)

    def cancel(self, client: SevenBridgesClient) -> list[str]:
        """Abort what is not finished; the children of a batch go with it.

        :raises ApiError: which of them still run could not be asked, in spite of all patience; none was aborted.
        """
        return self._abort(client, self.ids)[0]

    def cancelling(self, client: SevenBridgesClient) -> Iterator[tuple[list[str], float]]:
        """Do the same, and come back for an hour about what got no answer: an outage need not leave a task running."""
        ids: Sequence[str] = self.ids
        said: list[str] = []
        until = time.time() + ABORT_PATIENCE
        while True:
            try:
                lines, ids = self._abort(client, ids)
            except ApiError as error:
                if not error.retryable or time.time() >= until:
                    raise
                lines = [f"Which of {len(ids)} tasks still run is not known yet: {error}"]
            if not ids or time.time() >= until:
                break
            yield [line for line in lines if line not in said], ABORT_AGAIN
            said = lines
        yield lines, 0.0

    def _abort(self, client: SevenBridgesClient, ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return what was done, in words, and the ids about which there was no answer."""
        lines = []
        if len(ids) > 1:
            try:
                looked = client.tasks.get_many(ids, fields=("id", "status"))
                ids = [item.sent for item in looked if not states.TASK.is_terminal((item.resource or {}).get("status"))]
            except ApiError as error:
                if not client.session.ending:
                    raise
                # In the last seconds of a process a look has one attempt. It only saves calls: what has ended refuses
                # to be aborted, and that is no error.
                lines = [f"Which of {len(ids)} tasks still run is not known, so all are aborted: {error}"]
        told = for_each(client.session, lambda id_: abort(client, id_), ids)
        lines += [line for line, _ in told]
        return lines, [id_ for id_, (_, open_) in zip(ids, told, strict=True) if open_]


class TaskEndWait(PlatformWait):
    """Tasks that are about to end, in whatever way. The result is the status."""

    kind = "tasks that end"

    @classmethod
    def look(cls, client: SevenBridgesClient, ids: Sequence[str]) -> Mapping[str, Any]:
        """Ask about tasks, 100 per call."""
        return _by_id(client.tasks.get_many(ids, fields=("id", "status")))

    def judge_resource(self, found: Json) -> Seen:
        """Say what a task means for this wait."""
        status = states.TASK.name(found.get("status"))
        return Seen("done" if states.TASK.is_terminal(status) else "waiting", status or "in an unknown state", status)


def abort(client: SevenBridgesClient, task_id: str) -> tuple[str, bool]:
    """Abort a task. One that is finished or gone is no error.

    :return: what became of it, in words, and whether it is worth to try again.
    """
    try:
        client.tasks.abort(task_id)
    except (BadRequestError, ForbiddenError, NotFoundError) as error:
        return f"Task {task_id} was not aborted: {error.message}", False
    except ApiError as error:
        return f"Whether task {task_id} was aborted is not known: {error}", error.retryable
    return f"Aborted task {task_id}", False


def _is_ended_batch(task: Json) -> bool:
    return bool(task.get("batch")) and states.batch_settled(task)


def _children(batch: Json) -> int:
    counts = states.batch_counts(batch)
    return counts.total if counts else 0


def _moving(status: str, task: Json) -> str:
    execution = task.get("execution_status")
    execution = execution if isinstance(execution, dict) else {}
    limits = [
        f"waiting for the {name} limit on machines"
        for name, key in (("platform's", "system_limit"), ("account's", "account_limit"))
        if execution.get(key) is True
    ]
    return ", ".join([status or "in an unknown state", *limits])


def failure_of(task: Json) -> str:
    """Return why a task did not complete, beginning with its sample if it is a child of a batch."""
    group = task.get("batch_group")
    sample = group.get("value") if isinstance(group, dict) else None
    execution = task.get("execution_status")
    reasons = [execution.get("message")] if isinstance(execution, dict) else []
    reasons += [error.get("message") for error in validation_errors(task)]
    reason = "; ".join(str(text) for text in reasons if text) or "no reason given"
    status = states.TASK.name(task.get("status")) or "in an unknown state"
    return (f"{sample}: " if sample else "") + f"{status}: {reason}"


def output_files(task: Json) -> list[str]:
    """Return the ids of the files that a task made, each once."""
    return list(dict.fromkeys(file["path"] for file in files_in(task.get("outputs"))))


def files_in(value: Any, classes: Sequence[str] = ("File",)) -> list[Json]:
    """Return the file objects in inputs or outputs of a task, at any depth; secondary files are no files of their own.

    :param classes: ``File``, ``Directory``.
    """
    if isinstance(value, Mapping):
        if value.get("class") in ("File", "Directory"):
            return [dict(value)] if value["class"] in classes and isinstance(value.get("path"), str) else []
        value = list(value.values())
    return [file for entry in value for file in files_in(entry, classes)] if isinstance(value, list) else []
