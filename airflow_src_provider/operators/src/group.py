"""A workspace for a group of tasks: there before them, gone after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    from airflow.sdk.definitions._internal.node import DAGNode

    from airflow_src_provider.operators.src.base import SrcOperator

FIELDS = ("id", "name", "status", "ip", "fqdn", "user", "url", "end_time")
_AFTER = {"pause": SrcPauseWorkspaceOperator, "delete": SrcDeleteWorkspaceOperator}


@dataclass(frozen=True)
class WorkspaceBox:
    """The workspace of a group of tasks.

    ``box["ip"]`` is what tasks get handed over; the other fields are ``id``, ``name``, ``status``, ``fqdn``, ``user``,
    ``url`` and ``end_time``.

    :param opened: the task after which the workspace runs: it resumes or creates it.
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
    they fail or are skipped the teardown runs all the same. Airflow runs no teardown after a setup that failed or was
    killed; so the setup itself then takes back what it has done, unless a retry follows (``cancel_on_kill``). A
    teardown that fails fails the run, because a machine may be left that costs money; ``done`` follows the tasks in
    between, so that their failure counts as well.

    With ``if_exists="use"`` among the arguments of ``create``, what was there before is left as it was unless ``after``
    is given: a machine that was paused is resumed for the group and paused again, and only a new one is deleted.

    :param workspace: id or exact name of the workspace to resume; may be a template.
    :param create: instead of ``workspace``: arguments of :class:`SrcCreateWorkspaceOperator`.
    :param after: ``pause``, ``delete`` or ``leave``; default ``pause`` for ``workspace``, ``delete`` for ``create``.
    :param leave_running: leave the workspace as it was if this group has not started it, because it was running (or
        there) before.
    :param group_id: name of the task group; a number is added when it is taken.
    :param options: further arguments of all tasks, such as ``src_conn_id``, ``deferrable`` or ``retries``.
    :raises InvalidInputError: neither or both of ``workspace`` and ``create``, or unusable parameters.
    """
    if (workspace is None) == (create is None):
        raise InvalidInputError("workspace, create", (workspace, create), "exactly one of the two")
    if create is not None and not isinstance(create, Mapping):
        raise InvalidInputError("create", create, "a mapping of the arguments of SrcCreateWorkspaceOperator")
    if not isinstance(leave_running, bool):
        raise InvalidInputError("leave_running", leave_running, "True or False")
    if after is not None and after not in (*_AFTER, "leave"):
        raise InvalidInputError("after", after, "pause, delete or leave")
    with TaskGroup(group_id, add_suffix_on_collision=True) as group:
        made, opened = _setups(workspace, create, options)
        setups = [made] if made is opened else [made, opened]
        if after == "leave":
            for task in setups:
                task.is_setup = True
            with opened:
                yield WorkspaceBox(opened, None, group)
            return
        if isinstance(made, SrcCreateWorkspaceOperator) and made.if_exists == "use" and after is None:
            leave_running = True
        after = after or ("pause" if create is None else "delete")
        started = _output(made, "changed" if create is None else "created")
        closed = _AFTER[after](
            task_id=after, workspace_id=_output(made, "id"), only_if=started if leave_running else True, **options
        )
        with closed.as_teardown(setups=setups, on_failure_fail_dagrun=True):
            yield WorkspaceBox(opened, closed, group)
        last = [task for task in closed.upstream_list if task not in setups]
        if leave_running and opened is not made:
            again = SrcPauseWorkspaceOperator(
                task_id="pause_again", workspace_id=_output(made, "id"), only_if=_output(opened, "changed"), **options
            )
            again.as_teardown(setups=opened, on_failure_fail_dagrun=True).set_upstream(last)
        _add_leaf(last)


def _setups(
    workspace: str | None, create: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> tuple[SrcOperator, SrcOperator]:
    """Return the task that resumes or creates the workspace, and the one after which it runs, mostly the same."""
    if create is None:
        resumed = SrcResumeWorkspaceOperator(task_id="resume", workspace=workspace, **options)
        return resumed, resumed
    made = SrcCreateWorkspaceOperator(task_id="create", **{**options, **create})
    if made.if_exists != "use" or made.application_type != "Compute":
        return made, made
    return made, SrcResumeWorkspaceOperator(task_id="resume", workspace_id=_output(made, "id"), **options)


def _add_leaf(last: Sequence[DAGNode]) -> None:
    """Let the tasks of a group count for the run beside their teardown.

    A teardown that may fail a run is the only task that Airflow looks at, where it is the only last one: a run would be
    green although a task inside the group failed.
    """
    from airflow.providers.standard.operators.empty import EmptyOperator

    if last:
        EmptyOperator(task_id="done").set_upstream(last)
