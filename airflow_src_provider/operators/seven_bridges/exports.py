"""Export files of a project to a volume."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks, json_or_none
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.operators.seven_bridges.base import PLANNED, SevenBridgesOperator, records
from airflow_src_provider.operators.seven_bridges.naming import check_name, fill, needed
from airflow_src_provider.seven_bridges import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait
    from airflow_src_provider.operators.durable import Ledger

IF_EXISTS = ("skip", "fail", "overwrite")
CHUNK = 100
#: Seconds after which most jobs are done.
SOON = 2.0
TAKEN = "9107"
#: For 100 files whose locations are taken: one that starts the exports, one that finds them failed.
CALLS_OF_A_REFUSAL = 2
NOT_EXPORTABLE = "9006"
#: Errors about the volume as a whole: they would meet every file alike.
VOLUME_ERRORS = ("9002:", "9007:", "9020:", "9026:", "9027:", "9039:", "9058:", "9069:")


class SevenBridgesExportFilesOperator(SevenBridgesOperator):
    """Write files of a project to a volume. API pages: "Start a bulk export job", "API rate limit".

    1000 files cost 10 calls, 10 more if their names are not known, and 10 for each look at the jobs.

    A volume that cannot be written to is noticed with the first hundred files, before anything is exported.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
        Files that were imported from a volume, folders and archived files cannot be exported.
    :param volume: volume, ``owner/name``; it must be writable, and in the cloud and region of the project.
    :param prefix: put before every location, for example ``results/``; default nothing.
    :param location: where a file goes below the prefix: text with ``{name}`` (default), ``{id}`` or ``{metadata.key}``.
    :param keep_on_platform: ``True`` copies. ``False`` **gives the files up**: their bytes leave the platform, and what
        stays is an alias of the object, which cannot be exported again. There is no default, because the platform's own
        is ``False``.
    :param if_exists: ``skip`` (default) what has an object at its location already, ``fail`` for it, also at a retry,
        or ``overwrite`` it. What lies there is not compared with the file.
    :param properties: ``sse_algorithm``, ``sse_aws_kms_key_Id``, ``aws_canned_acl``.
    :return: ``exported``, ``skipped``, ``locations`` (of both), ``failed``, ``failures`` (by file id), ``api_calls``.
    :raises InvalidInputError: bad parameters, no file, two files for one location, an unusable volume.
    :raises RemoteWorkError: exports failed. A retry sends only those again.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesExportTrigger"
    template_fields: Sequence[str] = (
        *SevenBridgesOperator.template_fields,
        "files",
        "volume",
        "prefix",
        "location",
        "if_exists",
        "properties",
    )

    _missing: Mapping[str, str] = {}
    _wanted: Sequence[Any] = ()
    _taken: set[str] | None = None
    _begun: float

    def __init__(
        self,
        *,
        files: Any,
        volume: str,
        keep_on_platform: bool,
        prefix: str = "",
        location: str = "{name}",
        if_exists: str = "skip",
        properties: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.files = files
        self.volume = volume
        self.keep_on_platform = keep_on_platform
        self.prefix = prefix
        self.location = location
        self.if_exists = if_exists
        self.properties = properties
        self._look_first = False
        self._looked = False
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.selection import read

        super().checks(check)
        check(read, self.files, "files")
        check(validate.volume_id, self.volume, "volume")
        check.flag(self.keep_on_platform, "keep_on_platform")
        check(check_name, self.location, "location")
        check.choice(self.if_exists, "if_exists", IF_EXISTS)
        check(_check_prefix, self.prefix, "prefix")
        check(json_or_none, self.properties, "properties")

    def places(self) -> tuple[list[str], list[str]]:
        """Return where the files lie, and the volume below the prefix."""
        from airflow_src_provider.operators.seven_bridges.lineage import selection_places, volume_place

        return selection_places(self.files), [volume_place(self.volume, self.prefix)]

    def submit(self, context: Context) -> dict[str, Any]:
        """Start the exports."""
        ledger = self.ledger(context)
        if self.if_exists == "fail":
            self.believe(ledger)
        self._begun = self.begun(ledger, context)
        self._look_first = ledger.may_have_acted or ledger.older("plan") is not None
        plan = ledger.plan("plan", lambda: self._plan(ledger), PLANNED)
        self._wanted, self._taken = plan, None
        self.log.info("Exporting %d files to %s/%s", len(plan), self.volume, self.prefix)
        self._looked = self._look_first or len(plan) <= CHUNK
        done = ledger.each("exports", plan, self._send, self._find, CHUNK)
        carry = {"plan": plan, "records": done, "missing": ledger.get("missing") or dict(self._missing)}
        return self.kept(ledger, carry, plan=("plan", PLANNED), records=("exports", CHUNK))

    def _plan(self, ledger: Ledger) -> list[Any]:
        from airflow_src_provider.client.seven_bridges.selection import read

        found = self.resolve(read(self.files), needed(self.location))
        self._missing = found.failed
        ledger.put("missing", found.failed)
        plan: list[Any] = []
        by_location: dict[str, str] = {}
        problems = []
        for file in found.files:
            try:
                location = self.prefix + fill(self.location, file, "location")
            except InvalidInputError as error:
                problems.append(error)
                continue
            if (first := by_location.setdefault(location, file["id"])) != file["id"]:
                both = f"files {first} and {file['id']} at {location}"
                problems.append(InvalidInputError("location", both, "a location of its own for every file"))
            plan.append([file["id"], location])
        if problems:
            raise InvalidInputsError(problems)
        return plan

    def _send(self, plan: Sequence[Any]) -> list[Any | None]:
        from airflow_src_provider.client.seven_bridges.exports import export_item
        from airflow_src_provider.client.seven_bridges.waits import ExportWait

        there = self._seen() if self._look_first and self.if_exists == "skip" else set()
        wanted = [(file, location) for file, location in plan if location not in there]
        overwrite = self.if_exists == "overwrite"
        items = [
            export_item(file, self.volume, location, overwrite=overwrite, properties=self.properties)
            for file, location in wanted
        ]
        answers = self.client.exports.create_chunk(items, copy_only=self.keep_on_platform) if items else []
        made = records(
            answers,
            lambda job: {"job": job["id"]},
            lambda unknown: self._find([(i["source"]["file"], i["destination"]["location"]) for i in unknown]),
        )
        refusals = {record["error"] for record in made if record and "error" in record}
        if len(refusals) == 1 and all("error" in (record or {}) for record in made):
            reason = refusals.pop()
            if reason.startswith(VOLUME_ERRORS):
                allowed = f"a volume that these files can be written to ({reason})"
                raise InvalidInputError("volume", self.volume, allowed)
        by_location = dict(zip((location for _, location in wanted), made, strict=True))
        jobs = {record["job"]: location for location, record in by_location.items() if record and "job" in record}
        if jobs and not self._looked and self.if_exists == "skip":
            # Objects that are there already show up soon: then it is cheaper to look before sending the next files.
            self._looked = True
            time.sleep(SOON)
            wait = ExportWait(list(jobs))
            for id_, job in wait.look(self.client, wait.ids).items():
                seen = wait.judge(id_, job)
                self._look_first = self._look_first or seen.text.startswith(TAKEN)
                if seen.state == "done":
                    by_location[jobs[id_]] = {"new": True}
        return [by_location.get(location, {"there": True}) for _, location in plan]

    def _seen(self) -> set[str]:
        """Return which of all the locations hold an object, looked up once; none where being refused costs less."""
        if self._taken is None:
            levels = {location.rpartition("/")[0] for _, location in self._wanted}
            worth_it = len(levels) <= CALLS_OF_A_REFUSAL * -(-len(self._wanted) // CHUNK)
            self._taken = self._there(self._wanted) if worth_it else set()
        return self._taken

    def _there(self, plan: Sequence[Any]) -> set[str]:
        from airflow_src_provider.client.seven_bridges import finders

        return finders.objects_at(self.client, self.volume, (location for _, location in plan))

    def _find(self, plan: Sequence[Any]) -> list[Any | None]:
        from airflow_src_provider.client.seven_bridges import finders

        if self.if_exists == "fail":
            # An object that is there may be anybody's; a job says whose it is.
            jobs = finders.exports_since(self.client, self.volume, self._begun)
            return [{"job": jobs[file, location]} if (file, location) in jobs else None for file, location in plan]
        running = finders.running_exports(self.client, self.volume)
        # Overwriting once more does no harm, and an object that is there says nothing about when it came.
        there = set() if self.if_exists == "overwrite" else self._there(plan)
        return [
            {"job": running[location]} if location in running else {"there": True} if location in there else None
            for _, location in plan
        ]

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the jobs."""
        from airflow_src_provider.client.seven_bridges.waits import ExportWait

        jobs = [record["job"] for record in carry["records"] if record and "job" in record]
        return ExportWait(jobs, skip_taken=self.if_exists == "skip") if jobs else None

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        plan, done = carry["plan"], carry["records"]
        results = event["results"] if event else {}
        refused = event["failed"] if event else {}
        failures: dict[str, str] = {}
        exported, skipped, started = [], [], []
        for (file, location), record in zip(plan, done, strict=True):
            job = (record or {}).get("job")
            if record is None:
                failures[file] = "whether it was exported is not known"
            elif "error" in record:
                failures[file] = record["error"]
            elif "there" in record or (job in results and results[job] is None):
                skipped.append(location)
            elif job in refused:
                failures[file] = refused[job]
            elif job in results or "new" in record:
                exported.append(location)
            else:
                started.append(job)
        for file, location in self._given_up_before(plan, failures):
            del failures[file]
            skipped.append(location)
        again = [i for i, (file, _) in enumerate(plan) if file in failures and not self._is_taken(failures[file])]
        self.ledger(context).forget("exports", again, CHUNK)
        failures |= carry["missing"]
        self.log.info("%d exported, %d there already, %d failed", len(exported), len(skipped), len(failures))
        summary = {
            "exported": len(exported),
            "skipped": len(skipped),
            "locations": [*exported, *skipped],
            **({"job_ids": started} if started else {}),
            "api_calls": self.api_calls(carry),
        }
        return self.settle(context, summary, failures, len(plan) + len(carry["missing"]))

    def _is_taken(self, reason: str) -> bool:
        """Tell whether a retry would fail as well, because an object lies there and is none of this task's."""
        return self.if_exists == "fail" and reason.startswith(TAKEN)

    def _given_up_before(self, plan: Sequence[Any], failures: Mapping[str, str]) -> list[Any]:
        """Return the files that cannot be exported because they have been, to this very location."""
        from airflow_src_provider.client.seven_bridges.bulk import known

        aliases = {file: location for file, location in plan if failures.get(file, "").startswith(NOT_EXPORTABLE)}
        if self.if_exists == "fail" or not aliases:
            return []
        storages = {
            item.sent: (item.resource or {}).get("storage") or {}
            for item in known(self.client.files.get_many(list(aliases), fields=("id", "storage")))
        }
        return [
            (file, location)
            for file, location in aliases.items()
            if (storages[file].get("volume"), storages[file].get("location")) == (self.volume, location)
        ]


def _check_prefix(value: Any, parameter: str) -> None:
    if not isinstance(value, str) or value.startswith("/"):
        raise InvalidInputError(parameter, value, "text such as results/, not beginning with a slash")
