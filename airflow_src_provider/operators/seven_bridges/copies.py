"""Copy files and folders to another project or folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.operators.seven_bridges.base import PLANNED, records
from airflow_src_provider.operators.seven_bridges.choosing import FilesAndFoldersOperator
from airflow_src_provider.operators.seven_bridges.naming import check_name, fill, needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait
    from airflow_src_provider.operators.durable import Ledger

IF_EXISTS = ("skip", "fail", "copy")
CHUNK = 100
#: What a copy has from its original, beside the name.
TRAITS = ("size", "metadata")


class SevenBridgesCopyFilesOperator(FilesAndFoldersOperator):
    """Copy files to the top level of a project, 100 per call; or, by async jobs of 100, to a folder, under new names,
    or whole folders. API pages: "Copy multiple files between projects", "Copy multiple files".

    1000 files cost 10 calls. With ``if_exists`` other than ``copy`` the destination is looked at before: one call if it
    is empty, else one call per 100 files there or per 100 names, whichever is fewer, and one per 100 files if their
    names are not known. Copies store no bytes a second time.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
        At least one of ``files`` and ``folders``.
    :param folders: ids of folders that are copied with everything in them.
    :param project: destination, ``owner/short-name``. One of ``project`` and ``parent``.
    :param parent: destination folder, by id.
    :param rename: new names: a text with ``{name}``, ``{id}`` or ``{metadata.key}``, or a mapping by file id.
    :param if_exists: ``skip`` (default) files whose name is there already, so that a repeated run makes no doubles;
        ``fail`` before anything is copied; ``copy`` all the same, then the platform puts a number before the name.
        With ``skip``, a file of the same name and another size counts as failed.
    :return: ``file_ids`` (copies and skipped ones, in the order of the files), ``copied``, ``skipped``, ``renamed`` (by
        the platform), ``failed``, ``failures`` (by id of the original), ``api_calls``.
    :raises InvalidInputError: bad parameters, no file, two files for one name, names that are taken with ``fail``.
    :raises RemoteWorkError: files could not be copied. A retry copies only those.
    """

    template_fields: Sequence[str] = (
        *FilesAndFoldersOperator.template_fields,
        "project",
        "parent",
        "rename",
        "if_exists",
    )
    _missing: Mapping[str, str] = {}
    _begun: float
    _by_job = False
    _ledger: Ledger
    _chunks = 0
    _new: list[Any]

    def __init__(
        self,
        *,
        project: str | None = None,
        parent: str | None = None,
        rename: str | Mapping[str, str] | None = None,
        if_exists: str = "skip",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.parent = parent
        self.rename = rename
        self.if_exists = if_exists
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate

        super().checks(check)
        check.exactly_one(project=self.project, parent=self.parent)
        if self.project is not None:
            check(validate.project_id, self.project, "project")
        if self.parent is not None:
            check(validate.file_id, self.parent, "parent")
        check(_check_rename, self.rename, "rename")
        check.choice(self.if_exists, "if_exists", IF_EXISTS)

    @property
    def _place(self) -> dict[str, str]:
        return {"project": self.project} if self.project is not None else {"parent": str(self.parent)}

    def places(self) -> tuple[list[str], list[str]]:
        """Return where the files lie, and the destination."""
        from airflow_src_provider.operators.seven_bridges.lineage import project_place, selection_places

        return selection_places(self.files), project_place(self.project, self.parent)

    def submit(self, context: Context) -> dict[str, Any]:
        """Copy, or start the jobs that do."""
        ledger = self.ledger(context)
        self._begun = self.begun(ledger)
        self.show(self.project)
        plan = ledger.plan("plan", lambda: self._plan(ledger), PLANNED)
        wanted = [item for item in plan if "there" not in item and "error" not in item]
        by_job = self.project is None or any(item.get("folder") or "to" in item for item in wanted)
        where = self.project or f"folder {self.parent}"
        self.log.info("Copying %d files to %s, %d are there already", len(wanted), where, len(plan) - len(wanted))
        self._by_job = by_job
        self._ledger, self._chunks, self._new = ledger, -(-len(wanted) // CHUNK), []
        send = self._send_job if by_job else self._send
        done = ledger.each("copies", wanted, send, self._find, CHUNK)
        carry = {"plan": plan, "records": done, "missing": ledger.get("missing") or dict(self._missing)}
        return self.kept(ledger, carry, plan=("plan", PLANNED), records=("copies", CHUNK))

    def _plan(self, ledger: Ledger) -> list[Any]:
        from airflow_src_provider.client.seven_bridges.finders import Place

        place = Place(self.client, self._place, ("size",))
        look = self.if_exists != "copy" and not place.is_empty()
        plan = self._chosen(ledger, look)
        if look:
            there = place.named(_target(item) for item in plan)
            for item in plan:
                if other := there.get(_target(item)):
                    same = item.get("folder") or other.get("size") == item.get("size")
                    item |= {"there": other["id"]} if same else {"error": "another file has its name there"}
        taken = [item for item in plan if {"there", "error"} & set(item)]
        if taken and self.if_exists == "fail":
            where = self.project or self.parent
            raise InvalidInputsError(
                [InvalidInputError("files", _target(item), f"names that are free in {where}") for item in taken]
            )
        return plan

    def _chosen(self, ledger: Ledger, look: bool) -> list[dict[str, Any]]:
        """Return what is to be copied: ``id``, ``name`` and ``size`` if known, ``to`` (a new name), ``folder``."""
        from airflow_src_provider.client.seven_bridges.bulk import known
        from airflow_src_provider.client.seven_bridges.selection import literal, read

        plan: list[dict[str, Any]] = []
        rename = literal(self.rename)
        if self.files is not None:
            need = [*(["name", "size"] if look else []), *(needed(rename) if isinstance(rename, str) else [])]
            found = self.resolve(read(self.files), list(dict.fromkeys(need)))
            self._missing = found.failed
            ledger.put("missing", found.failed)
            for file in found.files:
                item: dict[str, Any] = {key: file[key] for key in ("id", "name", "size") if key in file}
                to = fill(rename, file, "rename") if isinstance(rename, str) else (rename or {}).get(file["id"])
                plan.append({**item, "to": to} if to else item)
        folders = self.folder_ids()
        for looked in known(self.client.files.get_many(folders, fields=("id", "name"))) if folders else []:
            if looked.resource is None:
                self._missing = {**self._missing, looked.sent: "no such folder"}
                ledger.put("missing", self._missing)
            else:
                plan.append({"id": looked.sent, "name": looked.resource["name"], "folder": True})
        names: dict[str, str] = {}
        for item in plan:
            name = item.get("to")
            if name and self.if_exists != "copy" and names.setdefault(name, item["id"]) != item["id"]:
                raise InvalidInputError("rename", name, "a name of its own for every file")
        return plan

    def _send(self, items: Sequence[Any]) -> list[Any | None]:
        names = {item["id"]: item.get("name") for item in items}
        by_id = {item.sent: item for item in self.client.files.copy_chunk(self.project, list(names))}

        def done(copied: dict[str, Any]) -> Any:
            return {"file": copied["new_file_id"], "name": copied.get("new_file_name")}

        self._new += [done(item.resource or {}) for item in by_id.values() if item.status == "done"]
        made = records((by_id[id_] for id_ in names), done, lambda ids: self._find([{"id": id_} for id_ in ids]))
        for id_, record in zip(names, made, strict=True):
            if record and "file" in record:
                record["renamed"] = bool(names[id_] and record["name"] != names[id_])
        return made

    def _send_job(self, items: Sequence[Any]) -> list[Any | None]:
        wanted = [
            {"file": item["id"], **self._place, **({"name": item["to"]} if "to" in item else {})} for item in items
        ]
        job = self.client.async_jobs.copy(wanted)["id"]
        self._new.append({"job": f"copy/{job}"})
        return [{"job": f"copy/{job}", "position": position} for position in range(len(items))]

    def _find(self, items: Sequence[Any]) -> list[Any | None]:
        from airflow_src_provider.client.seven_bridges import finders

        originals = self._named(items)
        wanted = [item["name"] for item in originals if item["name"]]
        if self._by_job:
            finders.let_copies_end(self.client, self._begun)
        others = self._copies_of_others()
        # None of these names was taken when it was looked, so what has one now is the copy; but of which file?
        found = {} if self.if_exists == "copy" else finders.Place(self.client, self._place).named(wanted)
        several = len(set(wanted)) < len(wanted) or any(file["id"] in others for file in found.values())
        if self.if_exists == "copy" or several:
            candidates = finders.copies_since(self.client, wanted, self._place, self._begun)
        else:
            candidates = {name: [file] for name, file in found.items()}
        if several:
            originals = self._described(originals)
        copies = finders.pair(originals, candidates, others)
        return [
            {"file": copy["id"], "name": copy["name"], "renamed": copy["name"] != item["name"]} if copy else None
            for item, copy in zip(originals, copies, strict=True)
        ]

    def _named(self, items: Sequence[Any]) -> list[dict[str, Any]]:
        """Return items with the names that their copies were to get."""
        from airflow_src_provider.client.seven_bridges.bulk import known

        names = {item["id"]: item.get("to") or item.get("name") for item in items}
        unnamed = [id_ for id_, name in names.items() if not name]
        for looked in known(self.client.files.get_many(unnamed, fields=("id", "name"))) if unnamed else []:
            names[looked.sent] = (looked.resource or {}).get("name")
        return [{"id": id_, "name": name} for id_, name in names.items()]

    def _described(self, originals: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return originals with what tells them from others of their name."""
        from airflow_src_provider.client.seven_bridges.bulk import known

        looked = known(self.client.files.get_many([item["id"] for item in originals], fields=("id", *TRAITS)))
        return [{**(one.resource or {}), **item} for item, one in zip(originals, looked, strict=True)]

    def _copies_of_others(self) -> set[str]:
        """Return the ids of the copies that are known, or were made by jobs that are known."""
        from airflow_src_provider.client.seven_bridges import states
        from airflow_src_provider.client.seven_bridges.waits import AsyncJobWait

        chunks = [self._ledger.get(f"copies.{number}") or [] for number in range(self._chunks)]
        recorded = [record for part in (*chunks, self._new) for record in part if record]
        jobs = _jobs(recorded)
        ended = AsyncJobWait.look(self.client, jobs).values() if jobs else []
        made = [entry for job in ended if isinstance(job, dict) for entry in states.resources(job)]
        return {record["file"] for record in recorded if "file" in record} | {str(file.get("id")) for file in made}

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the async jobs, if there are any."""
        return self.wait_for_jobs(_jobs(carry["records"]))

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        plan, missing = carry["plan"], carry["missing"]
        wanted = [item for item in plan if "there" not in item and "error" not in item]
        failures: dict[str, str] = {}
        made: dict[str, Any] = {}
        started: dict[str, None] = {}
        for item, record in zip(wanted, carry["records"], strict=True):
            outcome = _outcome(record, event)
            if "error" in outcome:
                failures[item["id"]] = outcome["error"]
            elif "job" in outcome:
                started[outcome["job"].partition("/")[2]] = None
            else:
                made[item["id"]] = outcome
        lost = [position for position, item in enumerate(wanted) if item["id"] in failures]
        self.ledger(context).forget("copies", lost, CHUNK)
        failures |= {item["id"]: item["error"] for item in plan if "error" in item} | missing
        there = {item["id"]: item["there"] for item in plan if "there" in item}
        ids = [made[item["id"]]["file"] if item["id"] in made else there.get(item["id"]) for item in plan]
        names = {item["id"]: _target(item) for item in plan}
        renamed = [id_ for id_, one in made.items() if names[id_] and one.get("name") not in (None, names[id_])]
        summary = {
            "file_ids": [id_ for id_ in ids if id_],
            "copied": len(made),
            "skipped": len(there),
            "renamed": len(renamed),
            **({"job_ids": list(started)} if started else {}),
            "api_calls": self.api_calls(carry),
        }
        self.log.info("%d copied, %d there already, %d failed", len(made), len(there), len(failures))
        return self.settle(context, summary, failures, len(plan) + len(missing))


def _jobs(records: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(record["job"] for record in records if record and "job" in record))


def _target(item: Mapping[str, Any]) -> str:
    return str(item.get("to") or item.get("name") or "")


def _outcome(record: Any, event: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what became of one item: ``file`` and ``name``, ``error``, or the ``job`` that is not waited for."""
    if record is None:
        return {"error": "whether it was copied is not known"}
    if "job" not in record or event is None:
        return dict(record)
    if record["job"] in event["failed"]:
        return {"error": event["failed"][record["job"]]}
    result = event["results"].get(record["job"])
    entries = result["entries"] if result else []
    if record["position"] >= len(entries):
        return {"error": "the job ended without a word about it"}
    entry = entries[record["position"]]
    return {"error": entry["error"]} if "error" in entry else {"file": entry["id"], "name": entry["name"]}


def _check_rename(value: Any, parameter: str) -> None:
    from airflow_src_provider.client.seven_bridges import validate
    from airflow_src_provider.client.seven_bridges.selection import literal

    value = literal(value)
    if value is None:
        return
    if isinstance(value, dict) and value:
        for file_id, name in value.items():
            validate.file_id(file_id, parameter)
            validate.text(name, f"{parameter}[{file_id!r}]")
    else:
        check_name(value, parameter)
