"""Is it there already? Looks at the service for what an earlier try, or somebody else, has done."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_src_provider.client.seven_bridges import paging, states
from airflow_src_provider.client.seven_bridges.base import Json, JsonList
from airflow_src_provider.client.seven_bridges.bulk import BulkItem, known
from airflow_src_provider.client.seven_bridges.files import is_folder
from airflow_src_provider.client.seven_bridges.waits import files_in, output_files
from airflow_src_provider.exceptions import NotFoundError, OutcomeUnknownError

if TYPE_CHECKING:
    from airflow_src_provider.client.seven_bridges import SevenBridgesClient

UNFINISHED = ("PENDING", "RUNNING")
BODY_FIELDS = (
    "name",
    "project",
    "app",
    "description",
    "inputs",
    "batch_input",
    "batch_by",
    "execution_settings",
    "use_interruptible_instances",
    "output_location",
)
#: Code of an answer about a task that does not exist.
NO_TASK = 7002
#: What tells which jobs were started since a moment.
SINCE_FIELDS = ("id", "source", "destination", "started_on", "state")
RERUN_FIELDS = ("status", "batch", "execution_status", "outputs")
#: Clocks of worker and service may differ by this much.
CLOCK_MARGIN = timedelta(minutes=10)
MARK = re.compile(r"\[[0-9a-f]{16}-[^\]]*\]")
NUMBERED = re.compile(r"_?\d+_(?P<name>.+)", re.DOTALL)


def earliest(begun: float) -> str:
    """Return the moment from which the service may show what was begun at ``begun`` (epoch seconds, our clock)."""
    return (datetime.fromtimestamp(begun, UTC) - CLOCK_MARGIN).strftime("%Y-%m-%dT%H:%M:%SZ")


class Place:
    """The top level of a project, or a folder, that is asked what it holds, at the fewest calls.

    A small place is listed, a large one is asked for names: whichever needs fewer calls.

    :param place: ``project`` or ``parent``.
    :param fields: wanted of a file beside ``id``, ``name`` and ``type``.
    """

    def __init__(self, client: SevenBridgesClient, place: Mapping[str, str], fields: Sequence[str] = ()) -> None:
        self._client = client
        self._place = dict(place)
        self._fields = list(dict.fromkeys(("id", "name", "type", *fields)))
        self._listed: dict[str, Json] = {}
        self._count = 0
        self._total: int | None = None
        self._pages: Iterator[JsonList] | None = None
        self._whole = False

    def is_empty(self) -> bool:
        """Tell whether there is nothing; costs one call, which a later look does not pay again."""
        if self._pages is None:
            self._start()
        return self._whole and not self._listed

    def named(self, names: Iterable[str]) -> dict[str, Json]:
        """Return what has one of these names."""
        wanted = list(dict.fromkeys(names))
        by_name = self._calls_by_name(wanted)
        if self._pages is None and by_name > 1:
            self._start()
        if self._total is not None and -(-(self._total - self._count) // paging.PAGE_SIZE) <= by_name:
            while not self._whole:
                self._turn()
        found = {name: self._listed[name] for name in wanted if name in self._listed}
        missing = [] if self._whole else [name for name in wanted if name not in found]
        if missing:
            answer = self._client.files.resolve_names(missing, fields=self._fields, **self._place)
            for name, files in answer.items():
                if files:
                    found[name] = next((file for file in files if not is_folder(file)), files[0])
        return found

    def _calls_by_name(self, names: Sequence[str]) -> int:
        room = paging.url_room("/files", paging.pairs_of({**self._place, "fields": ",".join(self._fields)}))
        length = sum(len(urlencode([("name", name)])) + 1 for name in names)
        return max(-(-len(names) // paging.PAGE_SIZE), -(-length // max(room, 1)))

    def _start(self) -> None:
        def told(total: int | None) -> None:
            self._total = total

        query = {**self._place, "fields": ",".join(self._fields)}
        self._pages = paging.pages(self._client.session, "/files", query, on_total=told)
        self._turn()

    def _turn(self) -> None:
        page = next(self._pages, None) if self._pages is not None else None
        for file in page or []:
            # A folder may have the name of a file; the file is what counts.
            if file.get("name") not in self._listed or is_folder(self._listed[file["name"]]):
                self._listed[str(file.get("name"))] = file
        self._count += len(page or [])
        self._whole = page is None or (self._total is not None and self._count >= self._total)


def running_imports(client: SevenBridgesClient, volume: str, place: Mapping[str, str]) -> dict[str, str]:
    """Return the unfinished imports from a volume to a project or folder: job id by location."""
    jobs = client.imports.list(volume=volume, project=place.get("project"), state=UNFINISHED)
    return {job["source"]["location"]: job["id"] for job in jobs if _goes_to(job, place)}


def _goes_to(job: Json, place: Mapping[str, str]) -> bool:
    destination = job.get("destination") or {}
    return bool(job.get("source")) and all(destination.get(key) == value for key, value in place.items())


def running_exports(client: SevenBridgesClient, volume: str) -> dict[str, str]:
    """Return the unfinished exports to a volume: job id by location."""
    jobs = client.exports.list(volume=volume, state=UNFINISHED)
    return {job["destination"]["location"]: job["id"] for job in jobs if job.get("destination")}


def imports_since(client: SevenBridgesClient, volume: str, place: Mapping[str, str], begun: float) -> dict[str, str]:
    """Return the imports from a volume to a place that were started since a moment and have not failed.

    :return: job id by location; of several the newest.
    """
    jobs = client.imports.list(volume=volume, project=place.get("project"), fields=SINCE_FIELDS)
    return {job["source"]["location"]: job["id"] for job in _since(jobs, begun) if _goes_to(job, place)}


def exports_since(client: SevenBridgesClient, volume: str, begun: float) -> dict[tuple[str, str], str]:
    """Return the exports to a volume that were started since a moment and have not failed.

    :return: job id by file id and location; of several the newest.
    """
    jobs = client.exports.list(volume=volume, fields=SINCE_FIELDS)
    return {
        (job["source"]["file"], job["destination"]["location"]): job["id"]
        for job in _since(jobs, begun)
        if job.get("source") and job.get("destination")
    }


def _since(jobs: Iterable[Json], begun: float) -> JsonList:
    """Return the jobs that were started since a moment and have not failed, the newest last."""
    since = earliest(begun)
    found = [job for job in jobs if str(job.get("started_on") or "") >= since and not _has_failed(job)]
    return sorted(found, key=lambda job: str(job["started_on"]))


def _has_failed(job: Json) -> bool:
    state = job.get("state")
    return states.STORAGE_JOB.is_terminal(state) and not states.STORAGE_JOB.is_successful(state)


def objects_at(client: SevenBridgesClient, volume: str, locations: Iterable[str]) -> set[str]:
    """Return which of the locations of a volume hold an object; a level is listed when several of it are wanted."""
    levels: dict[str, list[str]] = {}
    for location in dict.fromkeys(locations):
        levels.setdefault(location.rpartition("/")[0], []).append(location)
    there: set[str] = set()
    for level, wanted in levels.items():
        if len(wanted) == 1:
            try:
                client.volumes.get_object(volume, wanted[0])
            except NotFoundError:
                continue
            there.add(wanted[0])
            continue
        left = set(wanted)
        for found in client.volumes.list_objects(volume, prefix=f"{level}/" if level else None, fields=("location",)):
            if found.get("location") in left:
                there.add(found["location"])
                left.discard(found["location"])
            if not left:
                break
    return there


def copies_since(
    client: SevenBridgesClient, names: Iterable[str], place: Mapping[str, str], begun: float
) -> dict[str, JsonList]:
    """Return what came to a place since a moment, by name, the newest first; also if its name got a number."""
    wanted, since = set(names), earliest(begun)
    found: dict[str, JsonList] = {}
    fields = ("id", "name", "type", "created_on", "size", "metadata")
    files = client.files.list(metadata=None, fields=fields, **place)
    for file in sorted(files, key=lambda file: str(file.get("created_on")), reverse=True):
        name = str(file.get("name"))
        numbered = NUMBERED.fullmatch(name)
        original = name if name in wanted else numbered["name"] if numbered else ""
        if original in wanted and str(file.get("created_on") or "") >= since:
            found.setdefault(original, []).append(file)
    return found


def pair(
    originals: Sequence[Json], candidates: Mapping[str, Sequence[Json]], taken: Iterable[str] = ()
) -> list[Json | None]:
    """Say which file is the copy of which: one of its name and, where that is known, its size and its metadata.

    Files that agree in all that are taken for each other's copies; nothing that the service says tells them apart.

    :param originals: with ``name``, and where several have one name with ``size`` and ``metadata``.
    :param candidates: what came, by name, the likeliest first.
    :param taken: ids of files that are copies of something else.
    :return: the copy of each, ``None`` where there is none.
    """
    gone = set(taken)
    pairs: list[Json | None] = [None] * len(originals)
    for traits in (("size", "metadata"), ("size",)):
        for position, original in enumerate(originals):
            for file in candidates.get(original["name"], ()) if pairs[position] is None else ():
                alike = all(original[key] == file.get(key) for key in traits if key in original)
                if alike and file["id"] not in gone:
                    gone.add(file["id"])
                    pairs[position] = file
                    break
    return pairs


def let_copies_end(client: SevenBridgesClient, begun: float, *, looks: int = 20, pause: float = 3.0) -> None:
    """Wait in the calling thread until no copy job runs any more that was started since a moment.

    A job does not say what it copies, so one whose id was lost can only be recognised by what it leaves behind.

    :param looks: how often to look, default 20.
    :param pause: seconds between looks, default 3.
    :raises OutcomeUnknownError: jobs still run; a retry of the task may try again.
    """
    since = earliest(begun)
    for look in range(looks):
        if look:
            time.sleep(pause)
        jobs = client.async_jobs.list(fields=("id", "type", "state", "started_on"))
        running = [
            job["id"]
            for job in jobs
            if str(job.get("type")).upper() == "COPY"
            and not states.ASYNC_JOB.is_terminal(job.get("state"))
            and str(job.get("started_on") or since) >= since
        ]
        if not running:
            return
    raise OutcomeUnknownError(f"copy jobs {', '.join(running)} still run; what they copy is not known")


def tasks_by_mark(
    client: SevenBridgesClient, project: str, marker: str, begun: float, *, ignore: Sequence[str] = ()
) -> dict[str, Json]:
    """Return the tasks whose description holds ``[marker-…]``, by that mark; the newest of each.

    :param begun: when they were created at the earliest.
    :param ignore: ids that do not count.
    """
    fields = ("id", "name", "status", "description", "batch", "parent", "errors")
    pattern = re.compile(rf"\[{re.escape(marker)}-[^\]]*\]")
    found: dict[str, Json] = {}
    for task in client.tasks.list(project=project, created_from=earliest(begun), fields=fields):
        mark = pattern.search(str(task.get("description") or ""))
        # Children may have inherited the description of their batch.
        if mark and not task.get("parent") and task["id"] not in ignore:
            found[mark[0]] = task
    return found


def rerun_bodies(client: SevenBridgesClient, task_ids: Sequence[str]) -> tuple[list[Json], Json]:
    """Return what has to be started to run again only what failed, and what is done already.

    The failed children of a batch become one new batch with their files only; failed single tasks, and children whose
    files cannot be told, become single tasks. Costs one call per 100 tasks, one per 100 children, and one per 100
    failed ones.

    :return: bodies for ``tasks.create``; and ``task_ids``, ``output_file_ids`` of what has completed, ``failed`` (ids
        of what runs again), ``unfinished``, ``gone`` (ids of tasks that do not exist) and ``missing`` (ids about which
        the service said nothing else).
    """
    done: Json = {"task_ids": [], "output_file_ids": [], "failed": [], "unfinished": [], "missing": [], "gone": []}
    bodies: list[Json] = []
    for item in known(client.tasks.get_many(task_ids, fields=("id", *BODY_FIELDS, *RERUN_FIELDS))):
        task = item.resource
        if task is None:
            done["gone" if is_gone(item) else "missing"].append(item.sent)
            continue
        members = [task]
        if task.get("batch"):
            members = list(client.tasks.list(parent=item.sent, fields=("id", "status", "outputs")))
            if not states.batch_settled(task):
                done["unfinished"].append(item.sent)
            elif not members:
                # It ended before it had children, and is run again as a whole.
                members = [task]
        failed = [one["id"] for one in members if states.TASK.name(one.get("status")) in ("FAILED", "ABORTED")]
        completed = [one for one in members if states.TASK.is_successful(one.get("status"))]
        done["failed"] += failed
        done["unfinished"] += [one["id"] for one in members if not states.TASK.is_terminal(one.get("status"))]
        done["task_ids"] += [one["id"] for one in completed]
        done["output_file_ids"] += [file for one in completed for file in output_files(one)]
        if failed and not task.get("batch"):
            bodies.append(_body(task))
        elif failed == [item.sent]:
            bodies.append({**_body(task), **{key: task[key] for key in ("batch_input", "batch_by") if task.get(key)}})
        elif failed:
            children = known(client.tasks.get_many(failed, fields=("id", *BODY_FIELDS)))
            done["missing"] += [child.sent for child in children if child.resource is None]
            bodies += _batch_bodies(task, [child.resource for child in children if child.resource])
    return bodies, done


def is_gone(item: BulkItem) -> bool:
    """Tell whether the service says that a task does not exist."""
    return item.error is not None and (item.error.status == 404 or item.error.code == NO_TASK)


def _body(task: Json) -> Json:
    body = {key: task[key] for key in BODY_FIELDS if task.get(key) is not None and not key.startswith("batch_")}
    return {**body, "description": MARK.sub("", str(task.get("description") or "")).strip()}


def _batch_bodies(parent: Json, children: Sequence[Json]) -> list[Json]:
    batch_input, batch_by = parent.get("batch_input"), parent.get("batch_by")
    files = [file for child in children for file in files_in((child.get("inputs") or {}).get(batch_input))]
    if not batch_input or not batch_by or not files:
        return [_body(child) for child in children]
    inputs = {**(parent.get("inputs") or {}), batch_input: files}
    return [{**_body(parent), "inputs": inputs, "batch_input": batch_input, "batch_by": batch_by}]
