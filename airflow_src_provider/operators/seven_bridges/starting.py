"""Starting tasks, each once: what every operator that runs an app shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.exceptions import RemoteWorkError
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator
from airflow_src_provider.remote import listed
from airflow_src_provider.seven_bridges import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.seven_bridges.bulk import BulkItem
    from airflow_src_provider.operators.durable import Ledger

CREATED_FIELDS = ("id", "name", "status", "batch", "errors")
#: There is nothing to end; what has a status that is not known may well run, and cost.
AT_REST = ("DRAFT", "ABORTING", "COMPLETED", "ABORTED", "FAILED")
#: Code of an answer about a task that does not exist.
MISSING = 7002


class TaskStarter(SevenBridgesOperator):
    """Base of the operators that run apps.

    Every task carries a key in its description. A try that finds no record of a task looks for the key before it
    starts the task, and does so again when an answer was lost.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesTaskTrigger"
    _begun: float
    _started: tuple[str, ...] = ()
    _marked: dict[str, dict[str, Any]] | None = None

    def origin(self, context: Context) -> str:
        """Return where a task comes from, for its description."""
        ti = context["ti"]
        return f"Airflow: {ti.dag_id} / {ti.task_id} / {ti.run_id}"

    def start(self, ledger: Ledger, key: str, body: Mapping[str, Any], ended: Sequence[str] = ()) -> str:
        """Start a task once and return its id.

        :param key: names the task within this run, and its record.
        :param body: the task; its ``description`` gets the key.
        :param ended: ids of tasks with this key that do not count any more.
        :raises RemoteWorkError: the platform refused the inputs; the draft is gone.
        """
        mark = f"[{ledger.marker}-{key}]"
        described = {**body, "description": f"{body.get('description') or ''} {mark}".strip()}

        sent = False

        def send() -> str:
            nonlocal sent
            sent = True
            task = self.client.tasks.create(described, run=True, fields=CREATED_FIELDS)
            self.log.info("Started %s, task %s", body["name"], task["id"])
            return self._accepted(task)

        def find() -> str | None:
            if sent:
                # What was listed before cannot hold it.
                self._marked = None
            task = self._by_mark(str(body["project"]), ledger, ended).get(mark)
            return self._accepted(task) if task else None

        task_id = str(ledger.once(f"task.{key}", send, find))
        self.end_with(*self._started, task_id)
        return task_id

    def end_with(self, *tasks: str) -> None:
        """Have these tasks aborted when this one is killed from now on."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        self._started = tasks
        if tasks:
            self.end_if_killed(TaskWait(tasks), self.trigger_path)

    def _by_mark(self, project: str, ledger: Ledger, ended: Sequence[str]) -> dict[str, dict[str, Any]]:
        from airflow_src_provider.client.seven_bridges import finders

        if self._marked is None:
            self._marked = finders.tasks_by_mark(self.client, project, ledger.marker, self._begun, ignore=ended)
        return self._marked

    def _accepted(self, task: Mapping[str, Any]) -> str:
        from airflow_src_provider.client.seven_bridges.tasks import validation_errors

        if errors := validation_errors(task):
            self.client.tasks.delete(task["id"])
            lines = [f"- {error.get('input_id') or 'inputs'}: {error.get('message')}" for error in errors]
            raise RemoteWorkError("the platform refused the inputs; the draft was deleted:\n" + "\n".join(lines))
        if status_of(task) == "DRAFT":
            self.client.tasks.run(task["id"])
        return str(task["id"])

    def leave(self, ledger: Ledger, tasks: Sequence[str], told: Mapping[str, Any], **more: Any) -> None:
        """Leave to a retry what failed, and what it need not do again.

        :param tasks: the tasks that did not complete; of a batch only the failed children will run again.
        :param told: ``task_ids`` and ``output_file_ids`` of what has completed.
        :param more: what the retry has to know beside that.
        """
        times = (ledger.get("left") or {"times": 0})["times"] + 1
        for key in ("task_ids", "output_file_ids"):
            ledger.plan(f"done.{key}.{times}", lambda key=key: list(told[key]))  # type: ignore[misc]
        ledger.put("left", {**more, "times": times, "tasks": list(tasks)})

    def start_left(self, ledger: Ledger, left: Mapping[str, Any]) -> dict[str, Any]:
        """Start what an earlier try has left, once; return the carry."""
        from airflow_src_provider.client.seven_bridges.finders import rerun_bodies

        again = f"again{left['times']}"
        known = [ledger.get(f"task.{again}.{number}") for number in range(ledger.get(again) or 0)]
        if not known or None in known:
            bodies, found = rerun_bodies(self.client, left["tasks"])
            if found["missing"]:
                raise RemoteWorkError(f"the service says nothing about tasks {listed(found['missing'])}")
            if not bodies:
                raise RemoteWorkError("nothing is left of the failed tasks that could be started again")
            ledger.put(again, len(bodies))
            self.log.info("An earlier try did a part: only what failed is started again.")
            known = [self.start(ledger, f"{again}.{number}", body) for number, body in enumerate(bodies)]
            self.show(str(bodies[0]["project"]), known[0])
        done = {key: ledger.plan(f"done.{key}.{left['times']}", list) for key in ("task_ids", "output_file_ids")}
        return {"tasks": known, "done": done, "aborted": self.aborted_before(ledger, known)}

    def start_anew(self, context: Context, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Start what did not complete because an earlier try ended it; return the new carry.

        Only once what was ended has come to rest is it known what did complete.
        """
        self.log.info("It had been ended before this try. What did not complete is started again.")
        self._marked = None
        return self.submit(context) | {name: carry[name] for name in ("deadline", "api_calls") if name in carry}

    def aborted_before(self, ledger: Ledger, ids: Sequence[str]) -> bool:
        """Tell whether one of these tasks was ended before this try, say because the time of the last one was over."""
        return ledger.may_have_acted and bool(self.look_back(ids)[1])

    def abort_older(self, older: Sequence[str]) -> None:
        """End tasks of a time before the Airflow task was cleared, if they still run."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        if not older or not self.cancel_on_kill:
            return
        looked = self.client.tasks.get_many(older, fields=("id", "status"))
        running = [item.sent for item in looked if item.resource and status_of(item.resource) not in AT_REST]
        for line in TaskWait(running).cancel(self.client) if running else []:
            self.log.info("The Airflow task was cleared. %s", line)

    def look_back(self, ids: Sequence[str]) -> tuple[set[str], set[str]]:
        """Return which tasks of an earlier try do not exist any more, and which were aborted."""
        looked = self.client.tasks.get_many(ids, fields=("id", "status")) if ids else []
        missing = {item.sent for item in looked if _is_missing(item)}
        return missing, {item.sent for item in looked if _is_aborted(item.resource or {})}


def status_of(task: Mapping[str, Any]) -> str:
    """Return the status of a task, in capitals."""
    return str(task.get("status")).upper()


def _is_missing(item: BulkItem) -> bool:
    return item.error is not None and (item.error.status == 404 or item.error.code == MISSING)


def _is_aborted(task: Mapping[str, Any]) -> bool:
    return status_of(task) in ("ABORTED", "ABORTING")
