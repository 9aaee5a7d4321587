"""Run again what failed, and end what still runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks
from airflow_src_provider.exceptions import RemoteWorkError
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator
from airflow_src_provider.operators.seven_bridges.starting import AT_REST, DONE, TaskStarter, status_of
from airflow_src_provider.seven_bridges import TRIGGERS, read_tasks, task_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait


class SevenBridgesRerunFailedTasksOperator(TaskStarter):
    """Run again only what failed: the failed children of a batch as one new batch, failed single tasks one by one.

    The API cannot do that; cloning a batch runs all its children. API pages: "About batch analyses", "Create a new
    draft task". Costs one call per 100 tasks, one per 100 children, one per 100 failed ones,
    and one for each new batch.

    :param tasks: a task or batch, a list of them, or what ``SevenBridgesSubmitTaskOperator`` returned.
    :param max_failed: refuse to run again when more tasks failed than this; default: no limit. A step that failed for
        nearly all samples fails for a reason that running it again does not change.
    :return: as of ``SevenBridgesSubmitTaskOperator``, where ``task_ids`` and ``output_file_ids`` hold what completed
        before as well; and ``rerun``, the number of tasks that were run again.
    :raises InvalidInputError: no task ids.
    :raises RemoteWorkError: tasks are unfinished or gone, too many failed, or they failed again.
    """

    template_fields: Sequence[str] = (*TaskStarter.template_fields, "tasks", "max_failed")
    first_group = "again0"
    first_prefix = "again0."

    def __init__(self, *, tasks: Any, max_failed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = tasks
        self.max_failed = max_failed
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        super().checks(check)
        check(read_tasks, self.tasks, "tasks")
        check.count(self.max_failed, "max_failed", optional=True)

    def submit(self, context: Context) -> dict[str, Any]:
        """Start what failed, once."""
        from airflow_src_provider.client.seven_bridges.finders import rerun_bodies

        ledger = self.begin(context)
        left = ledger.get("left")
        if left:
            return {**self.start_left(ledger, left), "rerun": ledger.get("rerun")}
        # Looking again is cheap, and what an earlier try started does not change what it finds.
        bodies, done = rerun_bodies(self.client, read_tasks(self.tasks))
        missing = [*done["gone"], *done["missing"]]
        if done["unfinished"] or missing:
            lists = f"unfinished: {done['unfinished'][:5]}, without an answer: {missing[:5]}"
            raise RemoteWorkError(f"only tasks that have ended can be run again; {lists}")
        if self.max_failed is not None and len(done["failed"]) > self.max_failed:
            raise RemoteWorkError(f"{len(done['failed'])} tasks failed; more than {self.max_failed} are not run again")
        self.log.info("%d tasks failed, %d completed", len(done["failed"]), len(done["task_ids"]))
        ledger.put("rerun", len(done["failed"]))
        tasks = self.start_group(ledger, self.first_group, lambda: bodies) if bodies else []
        if tasks:
            self.show(str(bodies[0]["project"]), tasks[0])
        carry = {"tasks": tasks, "rerun": len(done["failed"]), "aborted": self._aborted}
        carry |= {key: ledger.plan(f"done.{key}.0", lambda key=key: list(done[key])) for key in DONE}  # type: ignore[misc]
        return self.with_done(ledger, carry, 0)

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the new tasks."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        return TaskWait(carry["tasks"]) if carry["tasks"] else None

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        tasks = carry["tasks"]
        told, failures, _ = task_report(event or {"results": {}, "failed": {}})
        if event is None and tasks:
            told["status"] = "RUNNING"
        for key in DONE:
            told[key] = [*carry[key], *told[key]]
        told["completed"] = len(told["task_ids"])
        if failures and event:
            self.leave(self.ledger(context), tasks, event, told)
            if carry.get("aborted"):
                return self.go_on(context, self.start_anew(context, carry))
        summary = {
            **told,
            "task_id": tasks[0] if tasks else None,
            "batch_ids": tasks,
            "rerun": carry["rerun"],
            "api_calls": self.api_calls(carry),
        }
        return self.settle(context, summary, failures, told["completed"] + len(failures))


class SevenBridgesAbortTaskOperator(SevenBridgesOperator):
    """End tasks that still run; the unfinished children of a batch go with it. API page: "Abort a task".

    Costs one call per 100 tasks to see which still run, and one for each that does. Tasks that have ended are left
    alone, so this can be repeated.

    :param tasks: a task or batch, a list of them, or what ``SevenBridgesSubmitTaskOperator`` returned.
    :return: ``aborted`` and ``ended_before`` (ids), ``failed``, ``failures``, ``api_calls``.
    :raises RemoteWorkError: tasks do not exist or could not be aborted.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesTaskEndTrigger"
    template_fields: Sequence[str] = (*SevenBridgesOperator.template_fields, "tasks")

    def __init__(self, *, tasks: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = tasks
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        super().checks(check)
        check(read_tasks, self.tasks, "tasks")

    def submit(self, context: Context) -> dict[str, Any]:
        """Abort what runs."""
        from airflow_src_provider.client.seven_bridges.bulk import known
        from airflow_src_provider.client.seven_bridges.waits import error_text
        from airflow_src_provider.exceptions import ApiError, BadRequestError, ForbiddenError

        aborted, before, failures = [], [], {}
        for item in known(self.client.tasks.get_many(read_tasks(self.tasks), fields=("id", "status"))):
            if item.resource is None:
                failures[item.sent] = error_text(item.error) if item.error else "the service gave no answer about it"
            elif status_of(item.resource) == "ABORTING":
                # By an earlier try, or somebody else; in either case it is waited for.
                aborted.append(item.sent)
            elif status_of(item.resource) in AT_REST:
                before.append(item.sent)
            else:
                try:
                    self.client.tasks.abort(item.sent)
                    aborted.append(item.sent)
                except (BadRequestError, ForbiddenError) as error:
                    # It may have ended between the look and the abort.
                    if error.code in (7008, 7011):
                        before.append(item.sent)
                    else:
                        failures[item.sent] = str(error)
                except ApiError as error:
                    failures[item.sent] = str(error)
        self.log.info("%d aborted, %d had ended before, %d failed", len(aborted), len(before), len(failures))
        return {"aborted": aborted, "before": before, "failures": failures}

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the tasks that are about to end."""
        from airflow_src_provider.client.seven_bridges.waits import TaskEndWait

        return TaskEndWait(carry["aborted"]) if carry["aborted"] else None

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        failures = {**carry["failures"], **(event["failed"] if event else {})}
        total = len(carry["aborted"]) + len(carry["before"]) + len(carry["failures"])
        summary = {
            "aborted": carry["aborted"],
            "ended_before": carry["before"],
            "api_calls": self.api_calls(carry),
        }
        return self.settle(context, summary, failures, total)
