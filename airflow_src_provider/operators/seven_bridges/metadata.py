"""Set metadata of many files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.operators.seven_bridges.annotations import (
    Annotations,
    find_sheet,
    from_metadata,
    from_sheet,
    not_called,
)
from airflow_src_provider.operators.seven_bridges.base import PLANNED, SevenBridgesOperator, folders_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.seven_bridges import SevenBridgesClient
    from airflow_src_provider.client.seven_bridges.bulk import BulkItem
    from airflow_src_provider.operators.durable import Ledger


class SevenBridgesUpdateMetadataOperator(SevenBridgesOperator):
    """Set metadata of files, 100 files per call. API pages: "Edit details of multiple files", "Update details of
    multiple files".

    1000 files cost 10 calls, and 10 more when they have to be listed, or are known by id but the metadata goes by name.
    Files that are listed, or looked at by a retry, are only sent what is new to them. A retry acts on the files
    that the first try found, and sets what that was to set.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
    :param metadata: metadata for all files (values are text, ``None`` removes a key); or a mapping of such by file id
        or file name; or a function that takes a file and returns its metadata. One of ``metadata`` and ``sheet``.
    :param sheet: path of a CSV or TSV file with a column that names the file (``id``, ``file_id``, ``name``,
        ``file_name``, ``filename`` or ``file``), all other columns being metadata. A relative path is looked for in
        the folder of the DAG. Every file needs a line; lines of other files are left out.
    :param sheet_key: name of that column, if it is called differently.
    :param mode: ``merge`` (default) keeps other keys; ``replace`` drops them.
    :return: ``updated``, ``unchanged``, ``file_ids`` (of both), ``failed``, ``failures``, ``api_calls``.
    :raises InvalidInputError: bad parameters, lines missing or double, values beyond the platform's limits. Nothing has
        been changed then.
    :raises RemoteWorkError: files could not be changed.
    """

    template_fields: Sequence[str] = (
        *SevenBridgesOperator.template_fields,
        "files",
        "metadata",
        "sheet",
        "sheet_key",
        "mode",
    )
    _files: Mapping[str, Any] = {}
    _missing: Mapping[str, str] = {}

    def __init__(
        self,
        *,
        files: Any,
        metadata: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        sheet: str | Path | None = None,
        sheet_key: str | None = None,
        mode: str = "merge",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.files = files
        self.metadata = not_called(metadata)
        self.sheet = str(sheet) if isinstance(sheet, Path) else sheet
        self.sheet_key = sheet_key
        self.mode = mode
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges.selection import read

        super().checks(check)
        check(read, self.files, "files")
        check.exactly_one(metadata=self.metadata, sheet=self.sheet)
        if self.metadata is not None:
            check(from_metadata, self.metadata, "metadata")
        check.choice(self.mode, "mode", ("merge", "replace"))

    def work(self, context: Context) -> Any:
        """Set the metadata."""
        self.check()
        ledger = self.ledger(context)
        self._files = {}
        wanted = ledger.plan("plan", lambda: self._plan(ledger), PLANNED)
        failures = {**(ledger.get("missing") or self._missing)}
        if wanted and not self._files:
            # An earlier try made the plan, and may have sent some of it.
            self._files, gone = self._look([change["id"] for change in wanted], ["metadata"])
            failures |= gone
        files = self._files
        changes = [one for one in wanted if one["id"] in files and not self._has(files[one["id"]], one["metadata"])]
        unchanged = len(files) - len(changes)
        updated = []
        for items in self._send(changes, files):
            for item in items:
                if item.status == "done":
                    updated.append(item.sent["id"])
                else:
                    failures[item.sent["id"]] = item.error.message if item.error else "the service gave no answer"
        self.log.info("Metadata of %d files set, %d have it, %d failed.", len(updated), unchanged, len(failures))
        summary = {
            "updated": len(updated),
            "unchanged": unchanged,
            "file_ids": [change["id"] for change in wanted if change["id"] not in failures],
            "api_calls": self.api_calls({}),
        }
        return self.settle(context, summary, failures, len(files) + len(set(failures) - set(files)))

    def _plan(self, ledger: Ledger) -> list[dict[str, Any]]:
        """Return the files and their metadata, once: what is set may change what a query finds, or a function says."""
        from airflow_src_provider.client.seven_bridges.selection import read

        annotations, parameter = self._annotations()
        selection = read(self.files)
        listed = selection.known is None and "origin_task" not in selection.query
        need = [*annotations.need, *(["metadata"] if listed or ledger.may_have_acted else [])]
        self._files, self._missing = self._look(self.files, need)
        ledger.put("missing", self._missing)
        files = list(self._files.values())
        if unused := annotations.unused(files):
            self.log.warning("%d lines are about other files and were left out: %s …", len(unused), unused[:5])
        return annotations.changes(files, parameter)

    def _look(self, files: Any, need: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return files by id, and why others cannot be had."""
        from airflow_src_provider.client.seven_bridges.selection import read

        # Replacing erases whatever is not sent along.
        whole = ["name", "tags"] if self.mode == "replace" else []
        found = self.resolve(read(files), list(dict.fromkeys([*need, *whole])))
        return {file["id"]: file for file in found.files}, dict(found.failed)

    def _has(self, file: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
        """Tell whether a file is known to carry its metadata already."""
        if "metadata" not in file:
            return False
        there = {key: value for key, value in (file["metadata"] or {}).items() if value is not None}
        kept = there if self.mode == "merge" else {}
        return there == {key: value for key, value in {**kept, **metadata}.items() if value is not None}

    def _annotations(self) -> tuple[Annotations, str]:
        if self.sheet is None:
            return from_metadata(self.metadata), "metadata"
        return from_sheet(find_sheet(self.sheet, folders_of(self)), "sheet", self.sheet_key), "sheet"

    def _send(self, changes: list[dict[str, Any]], files: Mapping[str, Any]) -> Iterable[list[BulkItem]]:
        api: SevenBridgesClient = self.client
        if not changes:
            return []
        if self.mode == "merge":
            return api.files.edit_many(changes)
        whole = [{**{key: files[change["id"]].get(key) for key in ("name", "tags")}, **change} for change in changes]
        for change in whole:
            change["tags"] = change["tags"] or []
        return api.files.update_many(whole)
