"""Delete files and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.seven_bridges.base import PLANNED
from airflow_src_provider.operators.seven_bridges.choosing import FilesAndFoldersOperator
from airflow_src_provider.remote import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

MAX_FILES = 1000
GONE = ("5002:", "404:")


class SevenBridgesDeleteFilesOperator(FilesAndFoldersOperator):
    """Delete files, 100 per call, and folders with everything in them. API pages: "Bulk deletion of files", "Delete
    multiple files and folders".

    1000 files cost 10 calls, and 10 more when they have to be listed. What is gone already counts as deleted,
    and a query may find nothing.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
        At least one of ``files`` and ``folders``.
    :param folders: ids of folders; they are deleted by an async job, after counting what is in them.
    :param max_files: refuse to delete more files than this, default 1000: a guard against a query that finds too much.
    :param preview: only say what would be deleted.
    :return: ``deleted``, ``file_ids``, ``failed``, ``failures``, ``preview``, ``api_calls``.
    :raises InvalidInputError: bad parameters, more files than ``max_files``; nothing was deleted.
    :raises RemoteWorkError: files could not be deleted.
    """

    template_fields: Sequence[str] = (*FilesAndFoldersOperator.template_fields, "max_files", "preview")

    def __init__(self, *, max_files: int = MAX_FILES, preview: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_files = max_files
        self.preview = preview
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        super().checks(check)
        check.count(self.max_files, "max_files", least=1)
        check.flag(self.preview, "preview")

    def submit(self, context: Context) -> dict[str, Any]:
        """Delete, or say what would be deleted."""
        ledger = self.ledger(context)
        plan = ledger.plan("plan", self._plan, PLANNED)
        wanted = [file for file, inside in plan if not inside]
        carry: dict[str, Any] = {"plan": plan, "failures": {}, "job": None}
        if self.preview:
            self.log.info("Would delete %d files: %s", len(plan), listed(file for file, _ in plan))
            return carry
        for items in self.client.files.delete_many(wanted) if wanted else []:
            for item in items:
                if item.status != "done":
                    carry["failures"][item.sent] = item.error.message if item.error else "the service gave no answer"
        failed = len(carry["failures"])
        self.log.info("%d files deleted, %d failed", len(wanted) - failed, failed)
        if folders := self.folder_ids():
            # A second job for the same folders finds nothing and does no harm, so there is nothing to look for.
            carry["job"] = ledger.once("job", lambda: f"delete/{self.client.async_jobs.delete(folders)['id']}", None)
        return self.kept(ledger, carry, plan=("plan", PLANNED))

    def _plan(self) -> list[Any]:
        from airflow_src_provider.client.seven_bridges.files import is_folder
        from airflow_src_provider.client.seven_bridges.selection import read
        from airflow_src_provider.exceptions import NotFoundError

        inside: list[str] = []
        for folder in self.folder_ids():
            try:
                walk = self.client.files.walk(parent=folder, fields=("id", "name", "type"))
                inside += [found.file["id"] for found in walk if not is_folder(found.file)]
            except NotFoundError:
                self.log.info("Folder %s is gone already.", folder)
        selection = None if self.files is None else read(self.files)
        if selection is None:
            files: list[str] = []
        elif selection.known is not None:
            files = list(selection.known)
        else:
            files = [file["id"] for file in self.resolve(selection, may_be_empty=True).files]
        total = len(inside) + len(files)
        if total > self.max_files:
            raise InvalidInputError("max_files", self.max_files, f"at least {total}, if all of these are to be deleted")
        return [*([file, True] for file in inside), *([file, False] for file in files if file not in set(inside))]

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the job that deletes folders."""
        return self.wait_for_jobs([carry["job"]] if carry["job"] else [])

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        failures = dict(carry["failures"])
        if event is not None:
            failures |= event["failed"]
            for job, result in event["results"].items():
                errors = [entry.get("error", "") for entry in result["entries"]]
                errors = [error for error in errors if error and not error.startswith(GONE)]
                failures |= {f"{job} [{number}]": error for number, error in enumerate(errors)}
        folders_done = event is not None and not (set(failures) - set(carry["failures"]))
        if event is not None and not folders_done:
            # A retry starts a new job; this one will never say anything else.
            self.ledger(context).put("job", None)
        every = [file for file, _ in carry["plan"]]
        lost = set(carry["failures"])
        deleted = [file for file, inside in carry["plan"] if file not in lost and (folders_done or not inside)]
        summary = {
            "deleted": 0 if self.preview else len(deleted),
            "file_ids": every if self.preview else deleted,
            "preview": self.preview,
            "api_calls": self.api_calls(carry),
        }
        return self.settle(context, summary, failures, max(len(every), len(failures)))
