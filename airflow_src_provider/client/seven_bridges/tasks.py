"""Tasks: analyses, single or in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_src_provider.client.seven_bridges import bulk, paging, validate
from airflow_src_provider.client.seven_bridges.base import (
    Fields,
    Json,
    JsonList,
    Resource,
    fields_param,
    path_of,
    time_param,
)
from airflow_src_provider.client.seven_bridges.bulk import BulkItems
from airflow_src_provider.exceptions import InvalidInputError

STATUS_FIELDS = ("id", "name", "status", "batch", "parent", "batch_group", "execution_status", "errors")
"""Enough to wait for a task and to say what went wrong, without its inputs and outputs."""

STATUS_FILTERS = ("QUEUED", "DRAFT", "RUNNING", "COMPLETED", "ABORTING", "ABORTED", "FAILED")
ORDER_BY = ("created_time", "start_time", "name", "end_time", "created_by")


def validation_errors(task: Mapping[str, Any]) -> JsonList:
    """Return what the platform found wrong with a draft; it reports that in a success answer."""
    errors = task.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _check_batch(body: Mapping[str, Any]) -> None:
    batch_input, batch_by = body.get("batch_input"), body.get("batch_by")
    if (batch_input is None) != (batch_by is None):
        raise InvalidInputError("batch_input, batch_by", (batch_input, batch_by), "both or none")
    if batch_by is None:
        return
    validate.text(batch_input, "batch_input")
    kind = batch_by.get("type") if isinstance(batch_by, Mapping) else None
    if str(kind).upper() not in ("ITEM", "CRITERIA"):
        raise InvalidInputError("batch_by", batch_by, "type ITEM, or type CRITERIA with a list of criteria")
    if str(kind).upper() == "CRITERIA":
        validate.several(batch_by.get("criteria") or (), "batch_by.criteria", validate.text)


def _path(task_id: str, *more: str) -> str:
    return path_of("tasks", validate.task_id(task_id), *more)


class Tasks(Resource):
    """Tasks. There is no bulk create, run or abort in the API, and no idempotency key: a repeated create runs twice."""

    def create(
        self,
        body: Mapping[str, Any],
        *,
        run: bool = False,
        batch: bool | None = None,
        fields: Fields = None,
    ) -> Json:
        """Create a task, and start it if asked. API page: "Create a new draft task".

        Inputs that do not fit are no HTTP error: the draft is made and carries ``errors``
        (:func:`validation_errors`); it does not run then, and stays until it is deleted.

        :param body: ``project``, ``app`` and ``name`` are required; ``inputs``, ``description``, ``batch_input``
            with ``batch_by``, ``execution_settings``, ``use_interruptible_instances``, ``output_location``.
        :param run: start right away; default no, it stays a draft.
        :param batch: ``False`` switches off the batching that app or body ask for; only together with ``run``.
        :param fields: field names of the answer; default everything.
        :raises InvalidInputError: when a required part is missing or the batch settings do not go together.
        :raises OutcomeUnknownError: when the answer was lost; look for the name before sending again.
        """
        validate.project_id(body.get("project"))
        validate.app_id(body.get("app"))
        validate.text(body.get("name"), "name")
        _check_batch(body)
        if batch is not None and not run:
            raise InvalidInputError("batch", batch, "only together with run=True")
        params = {"action": "run" if run else None, "batch": batch, "fields": fields_param(fields)}
        return self._made("/tasks", params=params, json=dict(body))

    def get(self, task_id: str, *, fields: Fields = STATUS_FIELDS) -> Json:
        """Return one task. API page: "Get details of a task".

        :param task_id: a UUID.
        :param fields: field names; default :data:`STATUS_FIELDS`, ``None`` for everything.
        """
        return self._object("GET", _path(task_id), params={"fields": fields_param(fields)})

    def get_many(
        self, task_ids: Iterable[str], *, fields: Fields = STATUS_FIELDS, chunk_size: int = bulk.MAX_CHUNK
    ) -> BulkItems:
        """Return many tasks, 100 per call, in the order of the ids, each once.

        API page: "Get details of multiple tasks".

        :param fields: field names of the task; default :data:`STATUS_FIELDS`. ``id`` is always asked for.
        :param chunk_size: ids per call, 1 to 100; default 100.
        """
        wanted = [*dict.fromkeys(validate.several(task_ids, "task_ids", validate.task_id))]
        params = {"fields": fields_param(fields, prefix="resource.", always=("resource.id", "error"))}

        def call(chunk: Iterable[str]) -> BulkItems:
            ids = [*chunk]
            answer = self._bulk("/bulk/tasks/get", {"task_ids": ids}, params)
            return bulk.match(ids, answer, lambda one, resource: resource.get("id") == one)

        parts = bulk.repeatable(call, wanted, bulk.check_chunk_size(chunk_size))
        return [item for part in parts for item in part]

    def list(
        self,
        *,
        project: str | None = None,
        status: str | None = None,
        parent: str | None = None,
        batch: bool | None = None,
        origin_id: str | None = None,
        created_from: datetime | str | None = None,
        created_to: datetime | str | None = None,
        started_from: datetime | str | None = None,
        started_to: datetime | str | None = None,
        ended_from: datetime | str | None = None,
        ended_to: datetime | str | None = None,
        order_by: str = "created_time",
        order: str = "asc",
        fields: Fields = STATUS_FIELDS,
    ) -> Iterator[Json]:
        """Return tasks, 100 per call, each once. API page: "List tasks". There is no filter by name.

        :param status: one status.
        :param parent: only the children of this batch.
        :param batch: only batches, or only others.
        :param origin_id: only tasks of this automation run.
        :param created_from: moments with time zone, or text; likewise the other five.
        :param order_by: default ``created_time``: an order in which new tasks do not move the rows of later pages.
        :param order: ``asc`` (default) or ``desc``.
        :param fields: field names; default :data:`STATUS_FIELDS`.
        """
        if status is not None and status not in STATUS_FILTERS:
            raise InvalidInputError("status", status, f"one of {', '.join(STATUS_FILTERS)}")
        if order_by not in ORDER_BY:
            raise InvalidInputError("order_by", order_by, f"one of {', '.join(ORDER_BY)}")
        if order not in ("asc", "desc"):
            raise InvalidInputError("order", order, "asc or desc")
        times = {
            "created_from": created_from,
            "created_to": created_to,
            "started_from": started_from,
            "started_to": started_to,
            "ended_from": ended_from,
            "ended_to": ended_to,
        }
        params = {
            "project": None if project is None else validate.project_id(project),
            "status": status,
            "parent": None if parent is None else validate.task_id(parent, "parent"),
            "batch": batch,
            "origin_id": origin_id,
            **{name: time_param(name, moment) for name, moment in times.items()},
            "order_by": order_by,
            "order": order,
            "fields": fields_param(fields),
        }
        return paging.items(self._session, "/tasks", params)

    def children(self, parent: str, *, status: str | None = None, fields: Fields = STATUS_FIELDS) -> Iterator[Json]:
        """Return the children of a batch, 100 per call, oldest first.

        The list may be incomplete while the batch is being created; see ``states.batch_settled``.
        """
        return self.list(parent=validate.task_id(parent, "parent"), status=status, fields=fields)

    def run(
        self,
        task_id: str,
        *,
        batch: bool | None = None,
        use_interruptible_instances: bool | None = None,
        fields: Fields = STATUS_FIELDS,
    ) -> Json:
        """Start a draft. API page: "Run a task".

        :raises ForbiddenError: when it is no draft (code 7007), for example because it was started already.
        :raises BadRequestError: when it has validation errors (code 7024).
        """
        params = {
            "batch": batch,
            "use_interruptible_instances": use_interruptible_instances,
            "fields": fields_param(fields),
        }
        return self._object("POST", _path(task_id, "actions", "run"), params=params)

    def abort(self, task_id: str, *, fields: Fields = STATUS_FIELDS) -> Json:
        """Stop a task, or all unfinished children of a batch. API page: "Abort a task".

        Aborting sets a state, so it is sent again when the answer was lost.

        :raises BadRequestError: when it is not creating, queued or running (code 7011).
        :raises ForbiddenError: the same, on some platforms (code 7008).
        """
        params = {"fields": fields_param(fields)}
        return self._object("POST", _path(task_id, "actions", "abort"), params=params, safe=True)

    def clone(self, task_id: str, *, run: bool = False, fields: Fields = STATUS_FIELDS) -> Json:
        """Copy a task to a new one. API page: "Clone a task". A cloned batch has all its children again.

        :param run: start the copy; default no, it stays a draft.
        """
        params = {"action": "run" if run else None, "fields": fields_param(fields)}
        return self._made(_path(task_id, "actions", "clone"), params=params)

    def update(self, task_id: str, changes: Mapping[str, Any], *, fields: Fields = STATUS_FIELDS) -> Json:
        """Change a draft, or the name of a running or completed task. API page: "Modify a task".

        :raises ForbiddenError: for anything but the name of a task that is no draft (code 7026).
        """
        if not changes:
            raise InvalidInputError("changes", changes, "at least one property")
        _check_batch(changes)
        return self._object("PATCH", _path(task_id), params={"fields": fields_param(fields)}, json=dict(changes))

    def inputs(self, task_id: str) -> Json:
        """Return the inputs of a task."""
        return self._object("GET", _path(task_id, "inputs"))

    def update_inputs(self, task_id: str, inputs: Mapping[str, Any]) -> Json:
        """Change the given inputs of a draft and return all of them."""
        return self._object("PATCH", _path(task_id, "inputs"), json=dict(inputs))

    def delete(self, task_id: str) -> None:
        """Delete a draft; done if it is gone already.

        :raises ForbiddenError: when it is no draft (code 7007).
        """
        self._delete(_path(task_id))

    def execution_details(self, task_id: str, *, fields: Fields = None) -> Json:
        """Return the jobs of a single task with machine, times and logs. API page: "Get task execution details".

        The value of a log is the address of a ``download_info`` call, which costs one more request.
        """
        return self._object("GET", _path(task_id, "execution_details"), params={"fields": fields_param(fields)})
