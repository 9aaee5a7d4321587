"""Run an app: one task, or a batch with one child per sample or per file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks, json_or_none, text_or_none
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator
from airflow_src_provider.operators.seven_bridges.starting import DONE, TaskStarter
from airflow_src_provider.seven_bridges import task_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

MAX_CHILDREN = 500


class SevenBridgesSubmitTaskOperator(TaskStarter):
    """Run an app once, or as a batch: one child per sample or per file, all with one call. API pages: "Create a new
    draft task", "About batch analyses".

    Costs one call, one more to check the inputs against the app, and one per 100 files to check that they carry the
    criteria; these two only with ``checks``. A batch that has ended costs one call per 100 children.

    The task carries a key in its description, by which a retry finds it: nothing is started twice. A retry after the
    task failed starts it again; clearing does so in any case, and aborts what still runs.

    :param name: name of the task.
    :param project: ``owner/short-name``.
    :param app: ``owner/project/app``, if wanted with ``/revision``; default the latest revision.
    :param inputs: values by input id. File ids, lists of them, and every other selection of files
        (:mod:`airflow_src_provider.client.seven_bridges.selection`) become files.
    :param batch_input: the input that is split into children.
    :param batch_by: ``item`` (a child for each file) or metadata that group the files: ``["metadata.sample_id"]``.
    :param description: text for the description.
    :param execution_settings: ``instance_type``, ``max_parallel_instances``, ``use_memoization``, ``use_elastic_disk``.
    :param use_interruptible_instances: default: that of the project.
    :param output_location: where outputs go; ``{"main_location": "volumes://…"}`` saves an export.
    :param max_children: a batch with more is split into several, default 500; needs ``checks`` for criteria.
    :param check_inputs: look before starting whether the app knows the inputs and the files carry the criteria;
        default yes.
    :return: ``task_id`` (of the first batch or the task), ``batch_ids``, ``task_ids`` (of the tasks that made files:
        the completed children of a batch), ``status``, ``output_file_ids``, ``completed``, ``failed``, ``failures``
        (reason by task id, with the sample), ``api_calls``.
    :raises InvalidInputError: bad parameters, unknown inputs, files without the criteria; nothing was started.
    :raises RemoteWorkError: the platform refused the inputs, the task failed, or too many children did.
    """

    template_fields: Sequence[str] = (
        *SevenBridgesOperator.template_fields,
        "name",
        "project",
        "app",
        "inputs",
        "batch_input",
        "batch_by",
        "description",
        "execution_settings",
        "output_location",
    )

    def __init__(
        self,
        *,
        name: str,
        project: str,
        app: str,
        inputs: Mapping[str, Any],
        batch_input: str | None = None,
        batch_by: str | Sequence[str] | Mapping[str, Any] | None = None,
        description: str = "",
        execution_settings: Mapping[str, Any] | None = None,
        use_interruptible_instances: bool | None = None,
        output_location: Mapping[str, Any] | None = None,
        max_children: int = MAX_CHILDREN,
        check_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.project = project
        self.app = app
        self.inputs = inputs
        self.batch_input = batch_input
        self.batch_by = batch_by
        self.description = description
        self.execution_settings = execution_settings
        self.use_interruptible_instances = use_interruptible_instances
        self.output_location = output_location
        self.max_children = max_children
        self.check_inputs = check_inputs
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.inputs import batch_settings, check_inputs

        super().checks(check)
        check(validate.text, self.name, "name")
        check(validate.project_id, self.project, "project")
        check(validate.app_id, self.app, "app")
        check(check_inputs, self.inputs, "inputs")
        if (self.batch_input is None) != (self.batch_by is None):
            check.refuse("batch_input, batch_by", (self.batch_input, self.batch_by), "both or none")
        elif self.batch_by is not None:
            check(batch_settings, self.batch_by, "batch_by")
            check(self._check_batch_input, self.batch_input, "batch_input")
        check(text_or_none, self.description, "description")
        if self.use_interruptible_instances is not None:
            check.flag(self.use_interruptible_instances, "use_interruptible_instances")
        check.flag(self.check_inputs, "check_inputs")
        check.count(self.max_children, "max_children", least=1)
        for name in ("execution_settings", "output_location"):
            check(json_or_none, getattr(self, name), name)

    def _check_batch_input(self, value: Any, parameter: str) -> None:
        known = list(self.inputs) if isinstance(self.inputs, dict) else None
        if not isinstance(value, str) or (known is not None and value not in known):
            raise InvalidInputError(parameter, value, f"one of the inputs: {', '.join(map(str, known or ()))}")

    def submit(self, context: Context) -> dict[str, Any]:
        """Start the task or batches, once; on a retry after children failed, only those."""
        ledger = self.begin(context)
        left = ledger.get("left")
        if left:
            return self.start_left(ledger, left)
        tasks = self.start_group(ledger, self.first_group, lambda: self._bodies(context), single=self.batch_by is None)
        self.show(self.project, tasks[0])
        return {"tasks": tasks, "aborted": self._aborted}

    def _bodies(self, context: Context) -> list[dict[str, Any]]:
        from airflow_src_provider.client.seven_bridges.inputs import (
            batch_settings,
            criteria_fields,
            groups,
            resolve_inputs,
        )

        self._check_app()
        origin = self.origin(context)
        body: dict[str, Any] = {"name": self.name, "project": self.project, "app": self.app}
        body["description"] = f"{self.description or ''}\n\n{origin}".strip()
        for key in ("execution_settings", "use_interruptible_instances", "output_location"):
            if getattr(self, key) is not None:
                body[key] = getattr(self, key)
        if self.batch_by is None or self.batch_input is None:
            return [{**body, "inputs": resolve_inputs(self.client, self.inputs).values}]
        by = batch_settings(self.batch_by)
        criteria = by.get("criteria", [])
        need = criteria_fields(criteria) if criteria and self.check_inputs else []
        resolved = resolve_inputs(self.client, self.inputs, {self.batch_input: need})
        files = resolved.files.get(self.batch_input) or []
        name = f"inputs.{self.batch_input}"
        if not files or not isinstance(resolved.values[self.batch_input], list):
            raise InvalidInputError(name, self.inputs[self.batch_input], "a list of files, to make a batch of them")
        if criteria and not self.check_inputs:
            parts = [files]
        else:
            units = list(groups(files, criteria, name).values()) if criteria else [[file] for file in files]
            self.log.info("A batch of %d children from %d files", len(units), len(files))
            parts = [
                [file for unit in units[start : start + self.max_children] for file in unit]
                for start in range(0, len(units), self.max_children)
            ]
        body |= {"batch_input": self.batch_input, "batch_by": by}
        return [self._part(body, resolved.values, number, part, len(parts)) for number, part in enumerate(parts)]

    def _part(
        self, body: dict[str, Any], inputs: dict[str, Any], number: int, files: Sequence[Any], total: int
    ) -> dict[str, Any]:
        from airflow_src_provider.client.seven_bridges.inputs import cwl_file

        name = body["name"] if total == 1 else f"{body['name']} ({number + 1} of {total})"
        batch_input = {str(self.batch_input): [cwl_file(file) for file in files]}
        return {**body, "name": name, "inputs": {**inputs, **batch_input}}

    def _check_app(self) -> None:
        if not self.check_inputs:
            return
        from airflow_src_provider.client.seven_bridges.inputs import app_inputs

        known = app_inputs(self.client.apps.raw(self.app))
        unknown = sorted(set(self.inputs) - known) if known is not None else []
        if unknown:
            allowed = f"inputs that {self.app} has: {', '.join(sorted(known or ()))}"
            raise InvalidInputsError([InvalidInputError("inputs", name, allowed) for name in unknown])

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the tasks."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        return TaskWait(carry["tasks"])

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        tasks = carry["tasks"]
        batch = self.batch_by is not None
        summary = {
            "task_id": tasks[0],
            "batch_ids": tasks if batch else [],
            "api_calls": self.api_calls(carry),
        }
        if event is None:
            return {**summary, "task_ids": [] if batch else tasks, "status": "RUNNING", "output_file_ids": []}
        told, failures, total = task_report(event)
        done = len(carry.get("task_ids", ()))
        for key in DONE:
            told[key] = [*carry.get(key, ()), *told[key]]
        told["completed"] = len(told["task_ids"])
        ledger = self.ledger(context)
        if failures and told["task_ids"]:
            self.leave(ledger, tasks, event, told)
        elif failures:
            # Nothing came out of it: without the records, a retry starts everything again.
            ledger.put("ended", [*(ledger.get("ended") or []), *tasks])
            for number in range(len(tasks)):
                ledger.put(f"task.{number}", None)
            ledger.put(f"bodies.{self.first_group}", None)
        if failures and carry.get("aborted"):
            return self.go_on(context, self.start_anew(context, carry))
        return self.settle(context, {**summary, **told}, failures, total + done)
