"""The life of a task from QUEUED to its end, and of a batch and its children."""

from __future__ import annotations

import zlib
from typing import Any

from starlette.routing import Route

from .area import Area
from .errors import ApiError
from .model import Node, Task
from .outputs import write_outputs
from .task_forms import children_of, files_in

_Group = tuple[dict[str, str], list[dict[str, Any]]]


class Runs(Area):
    """Starts, ends and aborts tasks. Steps lie on the agenda; a step that comes after an abort does nothing."""

    def __init__(self, half: Any) -> None:
        super().__init__(half)
        self.clear()

    def clear(self) -> None:
        """Forget what is running; for a reset."""
        self.running = 0
        self._running_children: dict[str, int] = {}
        self._waiting: list[Task] = []

    def routes(self) -> list[Route]:
        return []

    def start(self, task: Task) -> None:
        """Run a valid draft."""
        now = self.now()
        if not task.batch:
            self._queue(task, now, now + self.half.lasts("task_queued_seconds"))
            self.half.effect("tasks_started")
            return
        groups = self._groups(task)
        largest = self.switches.max_batch_children
        if largest is not None and len(groups) > largest:
            raise ApiError(90000, f"a batch has at most {largest} children")
        task.status, task.queued, task.message = "CREATING", now, "The list of children is being made"
        self.half.effect("tasks_started")
        end = now + self.half.lasts("batch_creating_seconds")
        for number, group in enumerate(groups, 1):
            share = number / len(groups) if self.switches.children_while_creating == "growing" else 1.0
            moment = now + (end - now) * share
            self.store.agenda.at(moment, lambda moment, group=group: self._make_child(task, group, moment))  # type: ignore[misc]
        self.store.agenda.at(end, lambda moment: self._children_made(task, moment))

    def _groups(self, task: Task) -> list[_Group]:
        """What each child works on: one file, or the files that share the metadata of the criteria."""
        assert task.batch_by is not None
        assert task.batch_input is not None
        value = task.inputs.get(task.batch_input)
        entries: list[Any] = value if isinstance(value, list) else [value]
        nodes = [self.store.nodes[files_in(entry)[0]] for entry in entries]
        if task.batch_by["type"] == "ITEM":
            return [({"name": node.name}, [entry]) for node, entry in zip(nodes, entries, strict=True)]
        criteria = [str(criterion) for criterion in task.batch_by["criteria"]]
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for node, entry in zip(nodes, entries, strict=True):
            values = tuple(self._criterion(node, criterion) for criterion in criteria)
            if "" in values and self.switches.missing_criterion == "skip":
                continue
            groups.setdefault(values, []).append(entry)
        return [(dict(zip(criteria, values, strict=True)), chosen) for values, chosen in groups.items()]

    @staticmethod
    def _criterion(node: Node, criterion: str) -> str:
        place, _, key = criterion.partition(".")
        return node.metadata.get(key, "") if place == "metadata" else str(getattr(node, place, ""))

    def _make_child(self, parent: Task, group: _Group, moment: float) -> None:
        if parent.status != "CREATING":
            return
        fields, entries = group
        label = ", ".join(fields.values())
        child = Task(
            id=self.store.new_task_id(),
            name=f"{parent.name} - {label}",
            project=parent.project,
            app=parent.app,
            user=parent.user,
            created=moment,
            description=parent.description,
            status="QUEUED",
            queued=moment,
            message="Queued",
            parent=parent.id,
            batch_group={"value": label, "fields": fields},
            use_interruptible=parent.use_interruptible,
            execution_settings=parent.execution_settings,
            output_location=parent.output_location,
            outputs=dict.fromkeys(parent.outputs),
        )
        assert parent.batch_input is not None
        takes_list = self.half.port_type(parent.app, parent.batch_input).rstrip("?").endswith("[]")
        child.inputs = parent.inputs | {parent.batch_input: entries if takes_list else entries[0]}
        self.store.tasks[child.id] = child
        parent.children.append(child.id)
        self.half.effect("children_created")

    def _children_made(self, parent: Task, moment: float) -> None:
        if parent.status != "CREATING":
            return
        parent.status, parent.message = "QUEUED", "Children are queued"
        first = moment + self.half.lasts("task_queued_seconds")
        for number, child in enumerate(children_of(self.store, parent)):
            self._queue(child, child.queued or moment, first + number * self.half.lasts("child_stagger_seconds"))
        if not parent.children:
            self._settle_parent(parent, moment)

    def _queue(self, task: Task, queued: float, begin: float) -> None:
        task.status, task.queued, task.message = "QUEUED", queued, "Queued"
        self.store.agenda.at(begin, lambda moment: self._begin(task, moment))

    def _may_begin(self, task: Task) -> bool:
        machines, children = self.switches.instance_limit, self.switches.max_parallel_children
        if 0 <= machines <= self.running:
            return False
        return task.parent is None or children is None or self._running_children.get(task.parent, 0) < children

    def _begin(self, task: Task, moment: float) -> None:
        if task.status != "QUEUED":
            return
        if not self._may_begin(task):
            task.waiting_for_machine = True
            task.message = "Waiting for a free machine of the account"
            self._waiting.append(task)
            return
        task.status, task.start, task.message, task.waiting_for_machine = "RUNNING", moment, "Running", False
        self._count(task, 1)
        if task.parent is not None:
            parent = self.store.tasks[task.parent]
            if parent.status == "QUEUED":
                parent.status, parent.start, parent.message = "RUNNING", moment, "Children are running"
        length = self.half.lasts("task_running_seconds") * (1 + self.switches.task_jitter * self._spread(task))
        self.store.agenda.at(moment + length, lambda moment: self._end(task, moment))

    @staticmethod
    def _spread(task: Task) -> float:
        """A number between -1 and 1 that stays the same for the same name."""
        return zlib.crc32(task.name.encode()) / 2**31 - 1

    def _count(self, task: Task, change: int) -> None:
        self.running += change
        if task.parent is not None:
            self._running_children[task.parent] = self._running_children.get(task.parent, 0) + change

    def _end(self, task: Task, moment: float) -> None:
        if task.status != "RUNNING":
            return
        if self._destined_to_fail(task):
            self._close(task, "FAILED", "The tool ended with exit status 1", moment)
        else:
            try:
                write_outputs(self.half, task, moment)
            except LookupError:
                self._close(task, "FAILED", "The output location cannot be written to", moment)
            else:
                self._close(task, "COMPLETED", "Completed", moment)

    def _destined_to_fail(self, task: Task) -> bool:
        if self.fails(self.switches.fail_tasks, task.name):
            return True
        if task.parent is None:
            return False
        return task.id in self.store.tasks[task.parent].children[: self.switches.batch_failed_children]

    def _close(self, task: Task, status: str, message: str, moment: float) -> None:
        ran = task.start is not None and task.end is None
        task.status, task.message, task.end, task.waiting_for_machine = status, message, moment, False
        if ran:
            self._count(task, -1)
            log = Node(self.store.new_file_id(), "job.err.log", "file", task.project, None, moment, moment, 512)
            self.store.logs[log.id] = log
            task.log = log.id
        self.half.effect(f"tasks_{status.lower()}")
        if task.parent is not None:
            self._settle_parent(self.store.tasks[task.parent], moment)
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            self._begin(other, moment)

    def _settle_parent(self, parent: Task, moment: float) -> None:
        children = children_of(self.store, parent)
        if parent.terminal or parent.status == "CREATING" or not all(child.terminal for child in children):
            return
        failed = sum(child.status != "COMPLETED" for child in children)
        if parent.status == "ABORTING":
            status = "ABORTED"
        elif children and failed == len(children):
            status = "FAILED"
        else:
            status = self.switches.batch_parent_on_partial_failure if failed else "COMPLETED"
        parent.status, parent.end = status, moment
        parent.message = f"{len(children) - failed} of {len(children)} children completed"
        self.half.effect(f"batches_{status.lower()}")

    def abort(self, task: Task) -> None:
        """Begin to abort a task, and with a batch all children that are not finished."""
        moment = self.now()
        end = moment + self.half.lasts("task_aborting_seconds")
        open_children = [child for child in children_of(self.store, task) if not child.terminal]
        for one in (task, *open_children):
            if one.status == "ABORTING":
                continue
            one.status, one.message = "ABORTING", "Aborting"
            self.store.agenda.at(end, lambda moment, one=one: self._aborted(one, moment))  # type: ignore[misc]
        self.half.effect("tasks_aborted_by_user")

    def _aborted(self, task: Task, moment: float) -> None:
        if task.status != "ABORTING":
            return
        if task.batch:
            self._settle_parent(task, moment)
            return
        self._close(task, "ABORTED", "Aborted by the user", moment)
