"""A workspace for a group of tasks: there before them, gone after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.operators.src.create import SrcCreateWorkspaceOperator
from airflow_src_provider.operators.src.lifecycle import (
    SrcDeleteWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcResumeWorkspaceOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from airflow_src_provider.operators.src.base import SrcOperator

FIELDS = ("id", "name", "status", "ip", "fqdn", "user", "url", "end_time")
_AFTER = {"pause": SrcPauseWorkspaceOperator, "delete": SrcDeleteWorkspaceOperator}


@dataclass(frozen=True)
class WorkspaceBox:
    """The workspace of a group of tasks.

    ``box["ip"]`` is what tasks get handed over; the other fields are ``id``, ``name``, ``status``, ``fqdn``, ``user``,
    ``url`` and ``end_time``.

    :param opened: the task that resumes or creates the workspace.
    :param closed: the task that pauses or deletes it; ``None`` when it is left alone.
    :param group: the task group that holds everything.
    """

    opened: SrcOperator
    closed: SrcOperator | None
    group: TaskGroup

    def __getitem__(self, field: str) -> XComArg:
        """Return a field of the workspace, known when the tasks run."""
        if field not in FIELDS:
            raise KeyError(f"{field!r}: a workspace has {', '.join(FIELDS)}")
        return _output(self.opened, field)


def _output(task: SrcOperator, field: str) -> XComArg:
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

    return PlainXComArg(task, field)


@contextmanager
def src_workspace(
    workspace: str | None = None,
    *,
    create: Mapping[str, Any] | None = None,
    after: str | None = None,
    leave_running: bool = False,
    group_id: str = "workspace",
    **options: Any,
) -> Iterator[WorkspaceBox]:
    """Run tasks while a workspace runs, and pause or delete it afterwards, whatever became of them::

        with src_workspace(workspace="gpu-box") as box:
            train(host=box["ip"], user=box["user"])

    The first task of the group is a setup, the last its teardown: the tasks in between run between the two, and when
    they fail or are skipped the teardown runs all the same. A setup that fails or is killed cleans up after itself. A
    teardown that fails fails the run, because a machine may be left that costs money; ``done`` follows the tasks in
    between, so that their failure counts as well.

    :param workspace: id or exact name of the workspace to resume; may be a template.
    :param create: instead of ``workspace``: arguments of :class:`SrcCreateWorkspaceOperator`.
    :param after: ``pause``, ``delete`` or ``leave``; default ``pause`` for ``workspace``, ``delete`` for ``create``.
    :param leave_running: leave the workspace alone afterwards if this group has not started it, because it was
        running (or there) before.
    :param group_id: name of the task group; a number is added when it is taken.
    :param options: further arguments of both tasks, such as ``src_conn_id``, ``deferrable`` or ``retries``.
    :raises InvalidInputError: neither or both of ``workspace`` and ``create``, or another ``after``.
    """
    if (workspace is None) == (create is None):
        raise InvalidInputError("workspace, create", (workspace, create), "exactly one of the two")
    after = after or ("pause" if create is None else "delete")
    if after not in (*_AFTER, "leave"):
        raise InvalidInputError("after", after, "pause, delete or leave")
    with TaskGroup(group_id, add_suffix_on_collision=True) as group:
        if create is None:
            opened: SrcOperator = SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, **options)
        else:
            opened = SrcCreateWorkspaceOperator(task_id="create", **{**options, **create})
        if after == "leave":
            opened.is_setup = True
            with opened:
                yield WorkspaceBox(opened, None, group)
            return
        started = _output(opened, "changed" if create is None else "created")
        closed = _AFTER[after](
            task_id=after, workspace_id=_output(opened, "id"), only_if=started if leave_running else True, **options
        )
        with closed.as_teardown(setups=opened, on_failure_fail_dagrun=True):
            yield WorkspaceBox(opened, closed, group)
        _add_leaf(closed, opened)


def _add_leaf(closed: SrcOperator, opened: SrcOperator) -> None:
    """Let the tasks of a group count for the run beside their teardown.

    A teardown that may fail a run is the only task that Airflow looks at, where it is the only last one: a run would be
    green although a task inside the group failed.
    """
    from airflow.providers.standard.operators.empty import EmptyOperator

    last = [task for task in closed.upstream_list if task is not opened]
    if last:
        EmptyOperator(task_id="done").set_upstream(last)
