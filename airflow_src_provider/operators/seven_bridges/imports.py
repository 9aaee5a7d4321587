"""Import files from a volume into a project."""

from __future__ import annotations

import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.operators.seven_bridges.annotations import find_sheet, from_metadata, from_sheet, not_called
from airflow_src_provider.operators.seven_bridges.base import PLANNED, SevenBridgesOperator, folders_of, records
from airflow_src_provider.seven_bridges import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

IF_EXISTS = ("skip", "fail", "overwrite", "autorename")
CHUNK = 100
#: Seconds after which most jobs are done.
SOON = 2.0
TAKEN = "9108"


class SevenBridgesImportFilesOperator(SevenBridgesOperator):
    """Make objects of a volume appear as files of a project. No bytes are copied. API pages: "List the contents of a
    volume", "Start a bulk import job", "Get details of a bulk import job".

    1000 files cost 20 calls (10 to list the volume, 10 to import) and 10 for each look at the jobs. With
    ``if_exists="skip"``, files that are there already are looked up by name, 100 per call.

    :param volume: volume, ``owner/name``.
    :param prefix: what is imported: the objects of this "directory" of the volume, default the top.
    :param pattern: only objects whose name (last part) fits this shell pattern, or one of several.
    :param recursive: go down into the "directories" below the prefix; the files all land on one level.
    :param locations: instead of ``prefix``, ``pattern`` and ``recursive``: the objects themselves.
    :param project: destination, ``owner/short-name``. One of ``project`` and ``parent``.
    :param parent: destination folder, by id.
    :param if_exists: ``skip`` (default) what has the name already, ``fail`` for it, also at a retry, ``overwrite`` it,
        or put a number before the new name (``autorename``). With ``skip``, a file that comes from another object
        counts as failed.
    :param metadata: set in the same step; as for ``SevenBridgesUpdateMetadataOperator``, by file name.
    :param sheet: likewise, from a CSV or TSV file.
    :return: ``file_ids`` (new ones and skipped ones, in the order of the volume), ``imported``, ``skipped``,
        ``failed``, ``failures`` (by location), ``api_calls``.
    :raises InvalidInputError: bad parameters, nothing to import, two objects of one name.
    :raises RemoteWorkError: imports failed. A retry sends only those again.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesImportTrigger"
    template_fields: Sequence[str] = (
        *SevenBridgesOperator.template_fields,
        "volume",
        "prefix",
        "pattern",
        "locations",
        "project",
        "parent",
        "if_exists",
        "metadata",
        "sheet",
    )

    def __init__(
        self,
        *,
        volume: str,
        prefix: str | None = None,
        pattern: str | Sequence[str] | None = None,
        recursive: bool = False,
        locations: Sequence[str] | None = None,
        project: str | None = None,
        parent: str | None = None,
        if_exists: str = "skip",
        metadata: Mapping[str, Any] | None = None,
        sheet: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.volume = volume
        self.prefix = prefix
        self.pattern = pattern
        self.recursive = recursive
        self.locations = locations
        self.project = project
        self.parent = parent
        self.if_exists = if_exists
        self.metadata = not_called(metadata)
        self.sheet = sheet
        self._look_first = False
        self._looked = False
        #: The jobs of this task, listed once for all chunks as long as nothing is sent that the list could not hold.
        self._jobs: dict[str, str] | None = None
        self._has_sent = False
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.selection import literal

        super().checks(check)
        check(validate.volume_id, self.volume, "volume")
        check.exactly_one(project=self.project, parent=self.parent)
        if self.project is not None:
            check(validate.project_id, self.project, "project")
        if self.parent is not None:
            check(validate.file_id, self.parent, "parent")
        check.choice(self.if_exists, "if_exists", IF_EXISTS)
        check.flag(self.recursive, "recursive")
        if self.locations is not None:
            check(lambda value, name: validate.several(literal(value), name, _location), self.locations, "locations")
            if self.prefix is not None or self.pattern is not None or self.recursive:
                check.refuse("locations", self.locations, "either locations, or prefix, pattern and recursive")
        if self.pattern is not None:
            check(lambda value, name: validate.several(_listed(value), name, validate.text), self.pattern, "pattern")
        check(_check_prefix, self.prefix, "prefix")
        if self.metadata is not None:
            check(from_metadata, self.metadata, "metadata")
            if self.sheet is not None:
                check.refuse("metadata, sheet", "both", "at most one of them")

    @property
    def _place(self) -> dict[str, str]:
        return {"project": self.project} if self.project is not None else {"parent": str(self.parent)}

    def places(self) -> tuple[list[str], list[str]]:
        """Return the volume below the prefix, and the destination."""
        from airflow_src_provider.operators.seven_bridges.lineage import project_place, volume_place

        return [volume_place(self.volume, self.prefix or "")], project_place(self.project, self.parent)

    def submit(self, context: Context) -> dict[str, Any]:
        """Start the imports."""
        annotations = self._annotations()
        ledger = self.ledger(context)
        if self.if_exists == "fail":
            self.believe(ledger)
        began_before = ledger.may_have_acted or ledger.older("plan") is not None
        locations = ledger.plan("plan", self._objects, PLANNED)
        names = [{"id": "", "name": _name(location), "metadata": {}} for location in locations]
        if annotations is not None:
            # A sheet that does not fit must be refused before anything is imported.
            annotations.changes(names, "sheet" if self.sheet is not None else "metadata")
        self._begun = self.begun(ledger, context)
        self._jobs, self._has_sent = None, False
        self._look_first = self._looked = began_before or len(locations) <= CHUNK
        self.show(self.project)
        self.log.info("Importing %d objects of %s", len(locations), self.volume)
        done = ledger.each("imports", locations, self._send, self._find, CHUNK)
        carry = {"locations": locations, "records": done}
        return self.kept(ledger, carry, locations=("plan", PLANNED), records=("imports", CHUNK))

    def _annotations(self) -> Any:
        if self.metadata is not None:
            return from_metadata(self.metadata)
        if self.sheet is None:
            return None
        return from_sheet(find_sheet(self.sheet, folders_of(self)))

    def _objects(self) -> list[str]:
        from airflow_src_provider.client.seven_bridges.selection import literal

        if self.locations is not None:
            locations = list(dict.fromkeys(literal(self.locations)))
        else:
            listed = self.client.volumes.list_objects(
                self.volume, prefix=self.prefix or None, recursive=self.recursive, fields=("location",)
            )
            patterns = None if self.pattern is None else _listed(self.pattern)
            locations = [
                location
                for location in (found.get("location") or "" for found in listed)
                if not location.endswith("/")
                and location
                and (patterns is None or any(fnmatchcase(_name(location), pattern) for pattern in patterns))
            ]
        if not locations:
            wanted = f"{self.prefix or ''}{self.pattern or ''}"
            raise InvalidInputError("prefix", wanted, f"something that is in volume {self.volume}; nothing was found")
        by_name: dict[str, str] = {}
        problems = [
            InvalidInputError("prefix", [first, location], "objects with names of their own; these two would clash")
            for location in locations
            if self.if_exists != "autorename" and (first := by_name.setdefault(_name(location), location)) != location
        ]
        if problems:
            raise InvalidInputsError(problems)
        return locations

    def _send(self, locations: Sequence[str]) -> list[Any | None]:
        from airflow_src_provider.client.seven_bridges.imports import import_item
        from airflow_src_provider.client.seven_bridges.waits import ImportWait

        there: dict[str, Any] = self._there(locations) if self._look_first and self.if_exists == "skip" else {}
        wanted = [location for location in locations if location not in there]
        items = {
            location: import_item(
                self.volume,
                location,
                **self._place,  # type: ignore[arg-type]
                overwrite=self.if_exists == "overwrite",
                autorename=self.if_exists == "autorename",
            )
            for location in wanted
        }
        self._has_sent = True
        answers = self.client.imports.create_chunk(list(items.values())) if items else []
        made = records(
            answers,
            lambda job: {"job": job["id"]},
            lambda unknown: self._find([item["source"]["location"] for item in unknown]),
        )
        there.update(zip(wanted, made, strict=True))
        jobs = {
            record["job"]: location for location, record in zip(wanted, made, strict=True) if record and "job" in record
        }
        if jobs and not self._looked and self.if_exists == "skip":
            # Names that are taken show up soon: then it is cheaper to look at the next ones before sending them.
            self._looked = True
            time.sleep(SOON)
            wait = ImportWait(list(jobs))
            for id_, job in wait.look(self.client, wait.ids).items():
                seen = wait.judge(id_, job)
                self._look_first = self._look_first or seen.text.startswith(TAKEN)
                if seen.result:
                    there[jobs[id_]] = {"file": seen.result, "new": True}
        return [there[location] for location in locations]

    def _find(self, locations: Sequence[str]) -> list[Any | None]:
        from airflow_src_provider.client.seven_bridges import finders

        if self.if_exists in ("autorename", "fail"):
            # A file that is there may be anybody's; a job says whose it is.
            if self._jobs is None or self._has_sent:
                self._jobs = finders.imports_since(self.client, self.volume, self._place, self._begun)
            jobs = self._jobs
            return [{"job": jobs[location]} if location in jobs else None for location in locations]
        running = finders.running_imports(self.client, self.volume, self._place)
        # Overwriting once more does no harm, and a file that is there says nothing about when it came.
        there = {} if self.if_exists == "overwrite" else self._there(locations)
        return [
            {"job": running[location]}
            if location in running
            else None
            if "error" in there.get(location, {})
            else there.get(location)
            for location in locations
        ]

    def _there(self, locations: Sequence[str]) -> dict[str, Any]:
        from airflow_src_provider.client.seven_bridges import finders

        by_name = {_name(location): location for location in locations}
        found = finders.Place(self.client, self._place, ("storage",)).named(by_name)
        return {by_name[name]: self._existing(by_name[name], file) for name, file in found.items()}

    def _existing(self, location: str, file: Mapping[str, Any]) -> dict[str, Any]:
        storage = file.get("storage") or {}
        came_from = (storage.get("volume"), storage.get("location"))
        if str(file.get("type")).lower() == "folder":
            return {"error": f"{TAKEN}: a folder has this name"}
        if storage.get("type") == "VOLUME" and came_from != (self.volume, location):
            return {"error": f"{TAKEN}: the name belongs to a file that comes from {came_from[0]}, {came_from[1]}"}
        return {"file": file["id"]}

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the jobs."""
        from airflow_src_provider.client.seven_bridges.waits import ImportWait

        jobs = [record["job"] for record in carry["records"] if record and "job" in record]
        return ImportWait(jobs, skip_taken=self.if_exists == "skip") if jobs else None

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Gather the files and set their metadata."""
        locations, done = carry["locations"], carry["records"]
        results = event["results"] if event else {}
        refused = event["failed"] if event else {}
        files: dict[str, str] = {}
        failures: dict[str, str] = {}
        taken = []
        started = []
        for location, record in zip(locations, done, strict=True):
            job = (record or {}).get("job")
            if record is None:
                failures[location] = "whether it was imported is not known"
            elif "error" in record:
                failures[location] = record["error"]
            elif "file" in record:
                files[location] = record["file"]
            elif job in refused:
                failures[location] = refused[job]
            elif results.get(job):
                files[location] = results[job]
            elif job in results:
                taken.append(location)
            else:
                started.append(job)
        imported = sum(1 for record in done if record and ("new" in record or results.get(record.get("job"))))
        existing = self._there(taken) if taken else {}
        for location in taken:
            found = existing.get(location) or {"error": f"{TAKEN}: the name was taken and is free again"}
            if "error" in found:
                failures[location] = found["error"]
            else:
                files[location] = found["file"]
        file_ids = [files[location] for location in locations if location in files]
        again = [i for i, name in enumerate(locations) if name in failures and not self._is_taken(failures[name])]
        self.ledger(context).forget("imports", again, CHUNK)
        failures |= self._annotate(files)
        skipped = len(files) - imported
        self.log.info("%d imported, %d there already, %d failed", imported, skipped, len(failures))
        summary = {
            "file_ids": file_ids,
            "imported": imported,
            "skipped": skipped,
            **({"job_ids": started} if started else {}),
            "api_calls": self.api_calls(carry),
        }
        return self.settle(context, summary, failures, len(locations))

    def _is_taken(self, reason: str) -> bool:
        """Tell whether a retry would fail as well, because a file has the name and is none of this task's."""
        return self.if_exists == "fail" and reason.startswith(TAKEN)

    def _annotate(self, files: Mapping[str, str]) -> dict[str, str]:
        annotations = self._annotations()
        if annotations is None or not files:
            return {}
        by_id = {file_id: location for location, file_id in files.items()}
        named = [{"id": id_, "name": _name(location), "metadata": {}} for location, id_ in files.items()]
        changes = annotations.changes(named, "sheet" if self.sheet is not None else "metadata")
        return {
            by_id[
                item.sent["id"]
            ]: f"imported, but without metadata: {item.error.message if item.error else 'no answer'}"
            for items in self.client.files.edit_many(changes)
            for item in items
            if item.status != "done"
        }


def _check_prefix(value: Any, parameter: str) -> None:
    if value is not None and not isinstance(value, str):
        raise InvalidInputError(parameter, value, "text such as run1/")


def _name(location: str) -> str:
    return location.rpartition("/")[2]


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)


def _location(value: Any, parameter: str) -> str:
    from airflow_src_provider.client.seven_bridges import validate

    if validate.text(value, parameter).endswith("/"):
        raise InvalidInputError(parameter, value, "the location of an object; for a directory use prefix")
    return str(value)
