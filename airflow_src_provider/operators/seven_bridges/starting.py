"""Starting tasks, each once: what every operator that runs an app shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.exceptions import BadRequestError, ForbiddenError, NotFoundError, RemoteWorkError
from airflow_src_provider.operators.seven_bridges.base import PLANNED, SevenBridgesOperator
from airflow_src_provider.remote import LOOK, listed
from airflow_src_provider.seven_bridges import TRIGGERS, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.operators.durable import Ledger

CREATED_FIELDS = ("id", "name", "status", "batch", "errors")
#: There is nothing to end; what has a status that is not known may well run, and cost.
AT_REST = ("DRAFT", "ABORTING", "COMPLETED", "ABORTED", "FAILED")
#: Names of lists in the carry, and keys of what an earlier try has completed.
DONE = ("task_ids", "output_file_ids")


class TaskStarter(SevenBridgesOperator):
    """Base of the operators that run apps.

    Every task carries a key in its description. A try that finds no record of a task looks for the key before it
    starts the task, and does so again when an answer was lost.

    Tasks belong together in groups: the parts of a batch, or what is run again after those. A group has a name, under
    which the memory has the number of its tasks; what they are under ``bodies.<name>``; and their ids.
    """

    trigger_path = f"{TRIGGERS}.SevenBridgesTaskTrigger"
    #: Name of the first group, and what the keys of its tasks begin with.
    first_group = "parts"
    first_prefix = ""
    _begun: float
    #: What the memory had at the beginning: task ids by key.
    _known: Mapping[str, str] = {}
    _started: tuple[str, ...] = ()
    _marked: dict[str, dict[str, Any]] | None = None
    #: Whether one of the tasks was ended before this try, say because the time of the last one was over.
    _aborted = False

    def begin(self, context: Context) -> Ledger:
        """Return the memory; from now on a kill ends what earlier tries have started. Ends what is older than a clear.

        All that is known without asking the service comes first, because a kill may come at any moment.
        """
        ledger = self.ledger(context)
        self._begun = self.begun(ledger, context, marked=True)
        self._known = self._recorded(ledger.get)
        older = list(self._recorded(ledger.older).values())
        self.end_with(*older, *self._known.values())
        self._abort_older(older)
        return ledger

    def _recorded(self, read: Callable[[str], Any]) -> dict[str, str]:
        """Return the ids of all tasks that the memory has, by key.

        :param read: reads a record.
        """
        times = (read("left") or {"times": 0})["times"]
        groups = {self.first_group: self.first_prefix, **{f"again{n}": f"again{n}." for n in range(1, times + 1)}}
        keys = [f"{prefix}{number}" for name, prefix in groups.items() for number in range(read(name) or 0)]
        return {key: task for key in keys if (task := read(f"task.{key}"))}

    def start_group(
        self, ledger: Ledger, name: str, make: Callable[[], list[dict[str, Any]]], *, single: bool = False
    ) -> list[str]:
        """Start the tasks of a group, each once, and again those that do not exist any more; return their ids.

        :param name: of the group.
        :param make: makes the tasks, if they are not known yet or all of them are gone.
        :param single: it is one task and no batch: nothing of it is of use when it was aborted.
        """
        prefix = self.first_prefix if name == self.first_group else f"{name}."
        known = [ledger.get(f"task.{prefix}{number}") for number in range(ledger.get(name) or 0)]
        gone, aborted = self.look_back([task for task in known if task])
        if single:
            gone, aborted = gone | aborted, set()
        self._aborted = bool(aborted)
        if gone:
            ledger.put("ended", [*(ledger.get("ended") or []), *gone])
        for number in [number for number, task in enumerate(known) if task in gone]:
            ledger.put(f"task.{prefix}{number}", None)
        if known and set(known) == gone:
            ledger.put(f"bodies.{name}", None)
        if not known or None in known or gone:
            known = self._start_all(ledger, name, prefix, make() if single else self._planned(ledger, name, make))
        return [str(task) for task in known]

    def _start_all(self, ledger: Ledger, name: str, prefix: str, bodies: Sequence[Mapping[str, Any]]) -> list[str]:
        ledger.put(name, len(bodies))
        ended = ledger.get("ended") or []
        started: list[str] = []
        for number, body in enumerate(bodies):
            try:
                started.append(self.start(ledger, f"{prefix}{number}", body, ended))
            except RemoteWorkError:
                if not any(ledger.get(f"task.{prefix}{one}") for one in range(len(bodies))):
                    # None of them runs, so a retry may look up the files anew.
                    ledger.put(f"bodies.{name}", None)
                raise
        return started

    @staticmethod
    def _planned(ledger: Ledger, name: str, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Return the tasks of a group as they were made first: parts that are cut anew later would overlap."""
        pieces = ledger.plan(f"bodies.{name}", lambda: [piece for body in make() for piece in _pieces(body)], PLANNED)
        bodies: list[dict[str, Any]] = []
        for piece in pieces:
            if "project" in piece:
                bodies.append({**piece, "inputs": dict(piece["inputs"])})
            else:
                bodies[-1]["inputs"].setdefault(bodies[-1]["batch_input"], []).append(piece)
        return bodies

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
            self._aborted = self._aborted or _is_aborted(task or {})
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

    def leave(self, ledger: Ledger, tasks: Sequence[str], event: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Leave to a retry what did not complete, and what it need not do again.

        :param tasks: all tasks of the group; of a batch only the failed children will run again.
        :param event: what became of them.
        :param told: ``task_ids`` and ``output_file_ids`` of what has completed.
        """
        before = (ledger.get("left") or {"times": 0})["times"]
        for key in DONE:
            ledger.plan(f"done.{key}.{before + 1}", lambda key=key: list(told[key]))  # type: ignore[misc]
        left = {
            "times": before + 1,
            "tasks": unfinished(tasks, event),
            # Nothing came of these, so they can be started again as they were, should they not exist any more.
            "whole": {task: number for number, task in enumerate(tasks) if task in event["failed"]},
            "group": f"again{before}" if before else self.first_group,
        }
        ledger.put("left", left)

    def start_left(self, ledger: Ledger, left: Mapping[str, Any]) -> dict[str, Any]:
        """Start what an earlier try has left, once; return the carry."""
        tasks = self.start_group(ledger, f"again{left['times']}", lambda: self._left(ledger, left))
        done = {key: ledger.plan(f"done.{key}.{left['times']}", list) for key in DONE}
        return self.with_done(ledger, {"tasks": tasks, "aborted": self._aborted, **done}, left["times"])

    def with_done(self, ledger: Ledger, carry: dict[str, Any], times: int) -> dict[str, Any]:
        """Return the carry, whose lists of what is done already need not travel."""
        return self.kept(ledger, carry, **{key: (f"done.{key}.{times}", PLANNED) for key in DONE})

    def _left(self, ledger: Ledger, left: Mapping[str, Any]) -> list[dict[str, Any]]:
        from airflow_src_provider.client.seven_bridges.finders import rerun_bodies

        bodies, found = rerun_bodies(self.client, left["tasks"])
        whole = left.get("whole", {})
        if lost := [*found["missing"], *(task for task in found["gone"] if task not in whole)]:
            raise RemoteWorkError(f"the service says nothing about tasks {listed(lost)}")
        if found["gone"]:
            earlier = self._planned(ledger, left["group"], list)
            bodies += [earlier[whole[task]] for task in found["gone"]]
        if not bodies:
            raise RemoteWorkError("nothing is left of the failed tasks that could be started again")
        self.log.info("An earlier try did a part: only what failed is started again.")
        self.show(str(bodies[0]["project"]))
        return bodies

    def start_anew(self, context: Context, carry: Mapping[str, Any]) -> dict[str, Any]:
        """Start what did not complete because an earlier try ended it; return the new carry.

        Only once what was ended has come to rest is it known what did complete.
        """
        self.log.info("It had been ended before this try. What did not complete is started again.")
        self._marked = None
        return self.submit(context) | {name: carry[name] for name in ("deadline", "api_calls") if name in carry}

    def _abort_older(self, older: Sequence[str]) -> None:
        """End tasks of a time before the Airflow task was cleared, if they still run.

        :raises ApiError: not all could be ended; a later try ends them if nothing has replaced them.
        """
        if not older or not self.cancel_on_kill:
            return
        # No worker is kept for each of a thousand.
        client = type(self.client)(self.client.session.lasting(LOOK))
        for item in client.tasks.get_many(older, fields=("id", "status")):
            if not item.resource or status_of(item.resource) in AT_REST:
                continue
            try:
                client.tasks.abort(item.sent)
                self.log.info("The Airflow task was cleared. Aborted task %s", item.sent)
            except (BadRequestError, ForbiddenError, NotFoundError) as error:
                self.log.info("The Airflow task was cleared. Task %s was not aborted: %s", item.sent, error.message)

    def look_back(self, ids: Sequence[str]) -> tuple[set[str], set[str]]:
        """Return which tasks of an earlier try do not exist any more, and which were aborted."""
        from airflow_src_provider.client.seven_bridges.finders import is_gone

        looked = self.client.tasks.get_many(ids, fields=("id", "status")) if ids else []
        missing = {item.sent for item in looked if is_gone(item)}
        return missing, {item.sent for item in looked if _is_aborted(item.resource or {})}


def status_of(task: Mapping[str, Any]) -> str:
    """Return the status of a task, in capitals."""
    return str(task.get("status")).upper()


def _pieces(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a task without the files that a batch is made of, and these one by one, for records that stay small."""
    batch_input = body.get("batch_input")
    files = body["inputs"].get(batch_input) if batch_input else None
    if not isinstance(files, list):
        return [dict(body)]
    return [{**body, "inputs": {key: value for key, value in body["inputs"].items() if key != batch_input}}, *files]


def _is_aborted(task: Mapping[str, Any]) -> bool:
    return status_of(task) in ("ABORTED", "ABORTING")
