"""Choose files once, for all the tasks that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

FIELDS = ("name",)


class SevenBridgesFindFilesOperator(SevenBridgesOperator):
    """List the files of a selection, so that later tasks need not: what this returns is a selection itself. API pages:
    "List files (primary method)", "Get details of multiple files".

    1000 files cost 10 calls.

    :param files: which files; the forms are described in :mod:`airflow_src_provider.client.seven_bridges.selection`.
    :param fields: what is to be known of each file beside its id, default the name, which saves exports, copies and
        sheets a look; such as ``size``, ``metadata`` or ``metadata.sample_id``.
    :return: ``file_ids``, ``files`` (each with ``id`` and the fields), ``count``, ``failed``, ``failures`` (by id or
        name), ``api_calls``.
    :raises InvalidInputError: bad parameters, no file.
    :raises RemoteWorkError: ids or names that are not there.
    """

    template_fields: Sequence[str] = (*SevenBridgesOperator.template_fields, "files", "fields")

    def __init__(self, *, files: Any, fields: Sequence[str] = FIELDS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.files = files
        self.fields = fields
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges.selection import read

        super().checks(check)
        check(read, self.files, "files")
        check(_check_fields, self.fields, "fields")

    def work(self, context: Context) -> Any:
        """Look."""
        from airflow_src_provider.client.seven_bridges.selection import literal, read

        self.check()
        found = self.resolve(read(self.files), list(literal(self.fields)))
        tops = ["id", *dict.fromkeys(field.split(".")[0] for field in literal(self.fields))]
        files = [{key: file[key] for key in tops if key in file} for file in found.files]
        summary = {
            "file_ids": [file["id"] for file in files],
            "files": files,
            "count": len(files),
            "api_calls": self.api_calls({}),
        }
        return self.settle(context, summary, found.failed, len(files) + len(found.failed))


def _check_fields(value: Any, parameter: str) -> None:
    from airflow_src_provider.client.seven_bridges import validate
    from airflow_src_provider.client.seven_bridges.selection import literal

    if literal(value) not in ([], ()):
        validate.several(literal(value), parameter, validate.text)
