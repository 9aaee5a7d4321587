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
)
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator, folders_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.seven_bridges import SevenBridgesClient
    from airflow_src_provider.client.seven_bridges.bulk import BulkItem


class SevenBridgesUpdateMetadataOperator(SevenBridgesOperator):
    """Set metadata of files, 100 files per call. API pages: "Edit details of multiple files", "Update details of
    multiple files".

    1000 files cost 10 calls, and 10 more when the files are known by id but the metadata goes by name.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
    :param metadata: metadata for all files (values are text, ``None`` removes a key); or a mapping of such by file id
        or file name; or a function that takes a file and returns its metadata. One of ``metadata`` and ``sheet``.
    :param sheet: path of a CSV or TSV file with a column that names the file (``id``, ``file_id``, ``name``,
        ``file_name``, ``filename`` or ``file``), all other columns being metadata. A relative path is looked for in
        the folder of the DAG. Every file needs a line; lines of other files are left out.
    :param sheet_key: name of that column, if it is called differently.
    :param mode: ``merge`` (default) keeps other keys; ``replace`` drops them.
    :return: ``updated``, ``file_ids``, ``failed``, ``failures``, ``api_calls``.
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
        self.metadata = metadata
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
        from airflow_src_provider.client.seven_bridges.selection import read

        self.check()
        annotations, parameter = self._annotations()
        need = [*annotations.need, *(["name", "tags"] if self.mode == "replace" else [])]
        found = self.resolve(read(self.files), list(dict.fromkeys(need)))
        changes = annotations.changes(found.files, parameter)
        if unused := annotations.unused(found.files):
            self.log.warning("%d lines are about other files and were left out: %s …", len(unused), unused[:5])
        failures = dict(found.failed)
        updated = []
        for items in self._send(changes, {file["id"]: file for file in found.files}):
            for item in items:
                if item.status == "done":
                    updated.append(item.sent["id"])
                else:
                    failures[item.sent["id"]] = item.error.message if item.error else "the service gave no answer"
        self.log.info("Metadata of %d files set, %d failed.", len(updated), len(failures))
        summary = {"updated": len(updated), "file_ids": updated, "api_calls": self.api_calls({})}
        return self.settle(context, summary, failures, len(found.files) + len(found.failed))

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
        # Replacing erases whatever is not sent along.
        whole = [{**{key: files[change["id"]].get(key) for key in ("name", "tags")}, **change} for change in changes]
        for change in whole:
            change["tags"] = change["tags"] or []
        return api.files.update_many(whole)
