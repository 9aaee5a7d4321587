"""Tasks ("Create a new draft task", "Run a task", "List tasks")."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, flag, mapping, route
from .errors import ApiError
from .model import Task
from .outputs import check_location
from .task_forms import (
    THIN_TASK,
    details_json,
    input_problems,
    input_warnings,
    task_json,
)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FILTERABLE = {"QUEUED", "DRAFT", "RUNNING", "COMPLETED", "ABORTED", "ABORTING", "FAILED"}
_ORDERS: dict[str, Callable[[Task], Any]] = {
    "created_time": lambda task: task.created,
    "start_time": lambda task: task.start or 0.0,
    "end_time": lambda task: task.end or 0.0,
    "name": lambda task: task.name,
    "created_by": lambda task: task.user,
}
_EDITABLE = (
    "name", "description", "inputs", "batch_input", "batch_by", "batch", "execution_settings", "output_location",
    "use_interruptible_instances", "app",
)  # fmt: skip


class Tasks(Area):
    """Calls on tasks; what happens to a running task is in :mod:`.runs`."""

    def routes(self) -> list[Route]:
        return [
            route("GET", "/tasks", self.listing),
            route("POST", "/tasks", self.create),
            route("POST", "/bulk/tasks/get", self.bulk_get),
            route("GET", "/tasks/{id}", self.details),
            route("PATCH", "/tasks/{id}", self.edit),
            route("DELETE", "/tasks/{id}", self.delete),
            route("GET", "/tasks/{id}/inputs", self.inputs),
            route("PATCH", "/tasks/{id}/inputs", self.inputs),
            route("GET", "/tasks/{id}/execution_details", self.execution_details),
            route("POST", "/tasks/{id}/actions/run", self.run),
            route("POST", "/tasks/{id}/actions/abort", self.abort),
            route("POST", "/tasks/{id}/actions/clone", self.clone),
        ]

    def _find(self, user: str, task_id: Any, right: str = "read") -> Task:
        if not isinstance(task_id, str) or not task_id:
            raise ApiError(7004, "a task id is missing")
        if not _UUID.fullmatch(task_id):
            raise ApiError(7005, "a task id is a UUID")
        task = self.store.tasks.get(task_id.lower())
        if task is None:
            raise ApiError(7002, "no such task")
        project = self.store.projects.get(task.project)
        if project is None or not self.store.may(user, project, right):
            raise ApiError(7001, f"no right to {right} this task")
        return task

    def _named(self, call: Call, right: str = "read") -> Task:
        return self._find(call.caller.name, call.path_params["id"], right)

    def _shown(self, call: Call, task: Task) -> Response:
        return self.one(call, task_json(self.base(call), self.store, task, self.now()))

    def details(self, call: Call) -> Response:
        return self._shown(call, self._named(call))

    def bulk_get(self, call: Call) -> Response:
        base, user, now = self.base(call), call.caller.name, self.now()
        ids = self.body(call).get("task_ids")
        work = lambda task_id: task_json(base, self.store, self._find(user, task_id), now)  # noqa: E731
        return self.bulk(call, ids, work, lambda task_id: task_id)

    def listing(self, call: Call) -> Response:
        query, user = call.query_params, call.caller.name
        statuses = {status.upper() for status in query.getlist("status")}
        if statuses - _FILTERABLE:
            raise ApiError(7006, f"status is one of {', '.join(sorted(_FILTERABLE))}")
        if "project" in query:
            self.project(user, query["project"])
        parent, project = query.get("parent"), query.get("project")
        if parent is not None:
            candidates = [self.store.tasks[child] for child in self._find(user, parent).children]
        else:
            candidates = list(self.store.tasks.values())
        windows = [
            (getter, self._moment(query.get(f"{name}_from")), self._moment(query.get(f"{name}_to")))
            for name, getter in (("created", "created"), ("started", "start"), ("ended", "end"))
        ]
        found = [
            task
            for task in candidates
            if project in (None, task.project)
            and (not statuses or task.status in statuses)
            and ("batch" not in query or task.batch == flag(query["batch"]))
            and query.get("origin_id") in (None, task.origin_id)
            and all(self._within(getattr(task, name), first, last) for name, first, last in windows)
            and self._readable(user, task)
        ]
        if order_by := query.get("order_by"):
            if order_by not in _ORDERS:
                raise ApiError(90000, f"order_by is one of {', '.join(_ORDERS)}")
            found.sort(key=_ORDERS[order_by], reverse=query.get("order", "asc").lower() == "desc")
        base, now = self.base(call), self.now()
        return self.page(call, found, lambda task: task_json(base, self.store, task, now), THIN_TASK, ordered=True)

    def _readable(self, user: str, task: Task) -> bool:
        project = self.store.projects.get(task.project)
        return project is not None and bool(project.members.get(user, {}).get("read"))

    @staticmethod
    def _moment(text: str | None) -> float | None:
        if text is None:
            return None
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            raise ApiError(90000, "a date has the form YYYY-MM-DDThh:mm:ssZ") from None
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()

    @staticmethod
    def _within(moment: float | None, first: float | None, last: float | None) -> bool:
        if first is None and last is None:
            return True
        return moment is not None and (first is None or moment >= first) and (last is None or moment <= last)

    # Making and changing

    def create(self, call: Call) -> Response:
        body, user, query = self.body(call), call.caller.name, call.query_params
        name = self._name(body.get("name"))
        project = self.project(user, body.get("project"), "write")
        action = query.get("action")
        if action not in (None, "run"):
            raise ApiError(7009, "the only action is run")
        run = action == "run" or flag(query.get("run", ""))
        if run and not self.store.may(user, project, "execute"):
            raise ApiError(7001, "no right to execute in this project")
        task = Task(self.store.new_task_id(), name, project.id, "", user, self.now())
        task.use_interruptible = bool(project.settings["use_interruptible_instances"])
        self._apply(task, body, user)
        self._switch_batch_off(task, query.get("batch"), run)
        self._validate(task)
        self.store.tasks[task.id] = task
        self.half.effect("tasks_created")
        if run and not task.errors:
            self.half.runs.start(task)
            self.half.settle()
        return self._shown(call, task)

    @staticmethod
    def _name(name: Any) -> str:
        if not isinstance(name, str) or not name.strip():
            raise ApiError(90000, "a task needs a name")
        return name

    def _apply(self, task: Task, body: dict[str, Any], user: str) -> None:
        if "app" in body or not task.app:
            if not body.get("app"):
                raise ApiError(7015, "a task needs an app")
            app, revision = self.half.apps.find(user, body["app"])
            task.app = f"{app.id}/{revision}"
        task.name = self._name(body.get("name", task.name))
        task.description = str(body.get("description", task.description) or "")
        if "inputs" in body:
            task.inputs = copy.deepcopy(dict(mapping(body["inputs"], 7012, "inputs")))
        if body.get("use_interruptible_instances") is not None:
            task.use_interruptible = bool(body["use_interruptible_instances"])
        if body.get("execution_settings") is not None:
            task.execution_settings = dict(mapping(body["execution_settings"], 90000, "execution_settings"))
        if body.get("output_location") is not None:
            task.output_location = dict(mapping(body["output_location"], 90000, "output_location"))
            check_location(task.output_location)
        self._apply_batch(task, body)

    def _apply_batch(self, task: Task, body: dict[str, Any]) -> None:
        if body.get("batch") is False:
            task.batch, task.batch_input, task.batch_by = False, None, None
            return
        batch_input, batch_by = body.get("batch_input"), body.get("batch_by")
        if batch_input is None and batch_by is None:
            if task.batch_input is not None:
                return
            default = self._raw(task).get("sbg:batch")
            if default is None:
                return
            batch_input, batch_by = default["input"], default["by"]
        if batch_input == "":
            raise ApiError(7018, "batch_input is empty")
        if batch_input is None or batch_by is None:
            raise ApiError(7023, "batch_input and batch_by go together")
        by = dict(mapping(batch_by, 7020, "batch_by"))
        kind = str(by.get("type", "")).upper()
        if kind not in ("ITEM", "CRITERIA"):
            raise ApiError(7020, "batch_by has the type item or criteria")
        criteria = by.get("criteria")
        if kind == "CRITERIA" and (not isinstance(criteria, list) or not criteria):
            raise ApiError(7019, "batching by criteria needs criteria")
        task.batch, task.batch_input, task.batch_by = True, str(batch_input), by | {"type": kind}

    @staticmethod
    def _switch_batch_off(task: Task, wanted: str | None, run: bool) -> None:
        if wanted is None or flag(wanted):
            return
        if not run:
            raise ApiError(7021, "batching can be switched off only when the task is run")
        if not task.batch:
            raise ApiError(7022, "batching can be switched off only for a batch task")
        task.batch, task.batch_input, task.batch_by = False, None, None

    def _raw(self, task: Task) -> dict[str, Any]:
        app_id, _, revision = task.app.rpartition("/")
        return self.store.apps[app_id].revisions[int(revision)]

    def _validate(self, task: Task) -> None:
        raw = self._raw(task)
        task.errors, task.warnings = input_problems(self.store, task, raw), input_warnings(task, raw)
        task.outputs = {port["id"].lstrip("#"): None for port in raw.get("outputs", [])}

    def edit(self, call: Call) -> Response:
        task, body = self._named(call, "write"), self.body(call)
        if task.status != "DRAFT":
            if set(body) - {"name"}:
                raise ApiError(7026, "a task that is not a draft can only be renamed")
            task.name = self._name(body.get("name", task.name))
            return self._shown(call, task)
        changes = {key: body[key] for key in _EDITABLE if key in body}
        if "inputs" in changes:
            changes["inputs"] = task.inputs | dict(mapping(changes["inputs"], 7012, "inputs"))
        self._apply(task, changes, call.caller.name)
        self._validate(task)
        return self._shown(call, task)

    def inputs(self, call: Call) -> Response:
        if call.method == "GET":
            return answer(self._named(call).inputs)
        task, body = self._named(call, "write"), self.body(call, 7012)
        if task.status != "DRAFT":
            raise ApiError(7026, "inputs can be changed only in a draft")
        task.inputs |= body
        self._validate(task)
        return answer(task.inputs)

    def delete(self, call: Call) -> Response:
        task = self._named(call, "write")
        if task.status != "DRAFT":
            raise ApiError(7007, "only drafts can be deleted")
        del self.store.tasks[task.id]
        self.half.effect("tasks_deleted")
        return Response(status_code=204)

    # Actions

    def run(self, call: Call) -> Response:
        task, query = self._named(call, "execute"), call.query_params
        if task.status != "DRAFT":
            raise ApiError(7007, "only a draft can be run")
        self._validate(task)
        if task.errors:
            raise ApiError(7024, "the task has validation errors")
        self._switch_batch_off(task, query.get("batch"), run=True)
        if "use_interruptible_instances" in query:
            task.use_interruptible = flag(query["use_interruptible_instances"])
        self.half.runs.start(task)
        self.half.settle()
        return self._shown(call, task)

    def abort(self, call: Call) -> Response:
        task = self._named(call, "execute")
        if task.status not in ("CREATING", "QUEUED", "RUNNING"):
            raise ApiError(7011, "only a task that is being created, queued or running can be aborted")
        self.half.runs.abort(task)
        self.half.settle()
        return self._shown(call, task)

    def clone(self, call: Call) -> Response:
        source = self._named(call, "write")
        task = Task(self.store.new_task_id(), source.name, source.project, source.app, call.caller.name, self.now())
        for name in ("description", "inputs", "batch", "batch_input", "batch_by", "use_interruptible"):
            setattr(task, name, copy.deepcopy(getattr(source, name)))
        task.execution_settings = dict(source.execution_settings)
        task.output_location = dict(source.output_location)
        self._validate(task)
        self.store.tasks[task.id] = task
        self.half.effect("tasks_created")
        if call.query_params.get("action") == "run" and not task.errors:
            self.half.runs.start(task)
            self.half.settle()
        return self._shown(call, task)

    def execution_details(self, call: Call) -> Response:
        task = self._named(call)
        step = self._raw(task).get("sbg:step", "main")
        return self.one(call, details_json(self.base(call), task, step))
