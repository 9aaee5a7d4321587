"""Copy files to another project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator, records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

IF_EXISTS = ("skip", "fail", "copy")
CHUNK = 100


class SevenBridgesCopyFilesOperator(SevenBridgesOperator):
    """Copy files to the top level of a project, 100 files per call. API page: "Copy multiple files between projects".

    1000 files cost 10 calls. With ``if_exists`` other than ``copy`` the destination is looked at before: one call if it
    is empty, else one call per 100 files there or per 100 names, whichever is fewer, and one per 100 names if the
    names of the files are not known. Copies store no bytes a second time.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
    :param project: destination, ``owner/short-name``.
    :param if_exists: ``skip`` (default) files whose name is there already, so that a repeated run makes no doubles;
        ``fail`` before anything is copied; ``copy`` all the same, then the platform puts a number before the name.
        With ``skip``, a file of the same name and another size counts as failed.
    :return: ``file_ids`` (copies and skipped ones, in the order of the files), ``copied``, ``skipped``, ``renamed``,
        ``failed``, ``failures`` (by id of the original), ``api_calls``.
    :raises InvalidInputError: bad parameters, no file, names that are taken with ``fail``.
    :raises RemoteWorkError: files could not be copied. A retry copies only those.
    """

    template_fields: Sequence[str] = (*SevenBridgesOperator.template_fields, "files", "project", "if_exists")

    def __init__(self, *, files: Any, project: str, if_exists: str = "skip", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.files = files
        self.project = project
        self.if_exists = if_exists
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.selection import read

        super().checks(check)
        check(read, self.files, "files")
        check(validate.project_id, self.project, "project")
        check.choice(self.if_exists, "if_exists", IF_EXISTS)

    def work(self, context: Context) -> Any:
        """Copy."""
        self.check()
        ledger = self.ledger(context)
        self._begun = self.begun(ledger)
        self.show(self.project)
        missing: dict[str, str] = {}
        plan = ledger.plan("plan", lambda: self._plan(missing))
        if missing:
            ledger.put("missing", missing)
        wanted = [item for item in plan if "there" not in item and "error" not in item]
        self.log.info(
            "Copying %d files to %s, %d are there already", len(wanted), self.project, len(plan) - len(wanted)
        )
        done = ledger.each("copies", wanted, self._send, self._find, CHUNK)
        failures: dict[str, str] = {}
        made: dict[str, Any] = {}
        for item, record in zip(wanted, done, strict=True):
            if record is None or "error" in record:
                failures[item["id"]] = record["error"] if record else "whether it was copied is not known"
            else:
                made[item["id"]] = record
        ledger.forget("copies", [i for i, item in enumerate(wanted) if item["id"] in failures], CHUNK)
        failures |= {item["id"]: item["error"] for item in plan if "error" in item}
        failures |= ledger.get("missing") or missing
        there = {item["id"]: item["there"] for item in plan if "there" in item}
        ids = [made[item["id"]]["file"] if item["id"] in made else there.get(item["id"]) for item in plan]
        summary = {
            "file_ids": [id_ for id_ in ids if id_],
            "copied": len(made),
            "skipped": len(there),
            "renamed": sum(1 for record in made.values() if record["renamed"]),
            "api_calls": self.api_calls({}),
        }
        self.log.info("%d copied, %d there already, %d failed", len(made), len(there), len(failures))
        return self.settle(context, summary, failures, len(plan) + len(missing))

    def _plan(self, missing: dict[str, str]) -> list[Any]:
        from airflow_src_provider.client.seven_bridges.finders import Place
        from airflow_src_provider.client.seven_bridges.selection import read

        place = Place(self.client, {"project": self.project}, ("size",))
        look = self.if_exists != "copy" and not place.is_empty()
        found = self.resolve(read(self.files), ("name", "size") if look else ())
        missing.update(found.failed)
        plan: list[dict[str, Any]] = [
            {key: file[key] for key in ("id", "name", "size") if key in file} for file in found.files
        ]
        if look:
            there = place.named(str(file.get("name")) for file in plan)
            for file in plan:
                if other := there.get(str(file.get("name"))):
                    same = other.get("size") == file.get("size")
                    file |= {"there": other["id"]} if same else {"error": "another file has its name there"}
        taken = [file for file in plan if {"there", "error"} & set(file)]
        if taken and self.if_exists == "fail":
            raise InvalidInputsError(
                [InvalidInputError("files", file["name"], f"names that are free in {self.project}") for file in taken]
            )
        return plan

    def _send(self, files: Sequence[Any]) -> list[Any | None]:
        names = {file["id"]: file.get("name") for file in files}
        answers = self.client.files.copy_chunk(self.project, list(names))
        by_id = {item.sent: item for item in answers}

        def done(copied: dict[str, Any]) -> Any:
            return {"file": copied["new_file_id"], "name": copied.get("new_file_name")}

        made = records((by_id[id_] for id_ in names), done, lambda ids: self._find([{"id": id_} for id_ in ids]))
        for id_, record in zip(names, made, strict=True):
            if record and "file" in record:
                record["renamed"] = bool(names[id_] and record["name"] != names[id_])
        return made

    def _find(self, files: Sequence[Any]) -> list[Any | None]:
        from airflow_src_provider.client.seven_bridges import finders

        names = {file["id"]: file.get("name") for file in files}
        unnamed = [id_ for id_, name in names.items() if not name]
        for item in self.client.files.get_many(unnamed, fields=("id", "name")) if unnamed else []:
            names[item.sent] = (item.resource or {}).get("name")
        wanted = [name for name in names.values() if name]
        if self.if_exists == "copy":
            found = finders.copies_since(self.client, wanted, self.project, self._begun)
        else:
            # None of these names was taken when it was looked, so what has one now is the copy.
            found = finders.Place(self.client, {"project": self.project}).named(wanted)
        return [
            {"file": found[name]["id"], "name": found[name]["name"], "renamed": found[name]["name"] != name}
            if name in found
            else None
            for name in names.values()
        ]
