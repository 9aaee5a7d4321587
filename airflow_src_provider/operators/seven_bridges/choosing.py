"""What the operators share that act on files and on whole folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator
from airflow_src_provider.seven_bridges import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_src_provider.client.waiting import Wait


class FilesAndFoldersOperator(SevenBridgesOperator):
    """Base of the operators that act on files, on folders, or on both; whole folders take an async job.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
        At least one of ``files`` and ``folders``.
    :param folders: ids of folders.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesAsyncJobTrigger"
    template_fields: Sequence[str] = (*SevenBridgesOperator.template_fields, "files", "folders")

    def __init__(self, *, files: Any = None, folders: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.files = files
        self.folders = folders

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.selection import literal, read

        super().checks(check)
        if self.files is None and self.folders is None:
            check.refuse("files, folders", None, "at least one of them")
        if self.files is not None:
            check(read, self.files, "files")
        if self.folders is not None:
            check(lambda value, name: validate.file_ids(literal(value), name), self.folders, "folders")

    def folder_ids(self) -> list[str]:
        """Return the folders, each once."""
        from airflow_src_provider.client.seven_bridges.selection import literal

        return list(dict.fromkeys(literal(self.folders) or []))

    @staticmethod
    def wait_for_jobs(jobs: Sequence[str]) -> Wait | None:
        """Return the wait for async jobs, if there are any."""
        from airflow_src_provider.client.seven_bridges.waits import AsyncJobWait

        return AsyncJobWait(jobs) if jobs else None
