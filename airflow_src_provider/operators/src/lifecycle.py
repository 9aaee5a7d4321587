"""Resume, pause, reboot and delete workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_src_provider.operators.src.actions import SrcActionOperator

if TYPE_CHECKING:
    from airflow_src_provider.client.src.base import Json


class SrcResumeWorkspaceOperator(SrcActionOperator):
    """Resume workspaces and wait until they run. Running ones are left alone.

    A resume that finds no free GPU ends after about ten minutes, with the workspace paused again; the task then fails
    with the service's own words, at the first look at which that shows. With ``cancel_on_kill`` (default), all that
    this task run resumed is paused again when it is killed, runs out of time, or gives up with no retry left. While a
    machine still resumes, the service refuses that: it is tried for three minutes, for an hour while the service takes
    nothing at all, but only once by a worker that is killed, which has five seconds. What somebody else resumed, or has
    resumed once more since, is left on.

    XCom: ``id, name, status, ip, fqdn, user, url, end_time, changed, api_calls``; for several workspaces ``count, ids,
    changed, failed`` (reason by id)``, workspaces`` (the same fields, for the first 200) and ``api_calls``.

    Wiki pages: "Workspace actions", "Resource Statuses".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    """

    action: ClassVar[str] = "resume"
    target: ClassVar[frozenset[str]] = frozenset({"running"})
    undo: ClassVar[str | None] = "pause"


class SrcPauseWorkspaceOperator(SrcActionOperator):
    """Pause workspaces and wait until they are paused. Paused ones are left alone.

    One that is just being created, resumed or changed is paused as soon as that is over, so nothing is left running.
    Usable as a teardown: ``pause.as_teardown(setups=resume)``; one that finds nothing to do, and nothing in the history
    since its run began that explains it, looks again after a minute, because reads may lag behind. XCom: as for
    :class:`SrcResumeWorkspaceOperator`.

    Wiki pages: "Workspace actions", "Resource Statuses".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    """

    action: ClassVar[str] = "pause"
    target: ClassVar[frozenset[str]] = frozenset({"paused"})


class SrcRebootWorkspaceOperator(SrcActionOperator):
    """Reboot running workspaces and wait until they run again.

    A reboot is a pause and a resume, so a GPU can be lost to somebody else on the way. It happens once per task run,
    also when the task is retried. XCom: as for :class:`SrcResumeWorkspaceOperator`.

    Wiki page: "Workspace actions".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    """

    action: ClassVar[str] = "reboot"
    once: ClassVar[bool] = True


class SrcDeleteWorkspaceOperator(SrcActionOperator):
    """Delete workspaces of any kind and wait until they are gone. Those that are gone already are no failure.

    The boot disk is lost; storage volumes survive. What does not fit a filter any more when its turn comes, because
    somebody has resumed it, say, is left alone. XCom: as for :class:`SrcResumeWorkspaceOperator`.

    Wiki page: "Workspace actions".

    :param workspace: which, see :class:`~airflow_src_provider.operators.src.base.SrcSelectingOperator`.
    """

    action: ClassVar[str] = "delete"
    target: ClassVar[frozenset[str]] = frozenset({"deleted"})
    name_kind: ClassVar[str | None] = None
    gone_is_deleted: ClassVar[bool] = True

    def send(self, workspace_id: str) -> Json | None:
        """Ask for the deletion."""
        answer: Json | None = self.client.workspaces.delete(workspace_id)
        return answer
