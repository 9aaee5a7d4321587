"""Run an app many times, with at most so many tasks at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks, json_or_none
from airflow_src_provider.exceptions import (
    ApiError,
    InvalidInputError,
    InvalidInputsError,
    RemoteWorkError,
    TokenRejectedError,
)
from airflow_src_provider.operators.seven_bridges.annotations import find_sheet, read_rows
from airflow_src_provider.operators.seven_bridges.base import folders_of
from airflow_src_provider.operators.seven_bridges.starting import TaskStarter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait
    from airflow_src_provider.operators.durable import Ledger

MAX_RUNNING = 50
BODIES_PER_RECORD = 20
WORK_PER_RECORD = 50
TASK_KEYS = ("name", "inputs", "app", "description", "execution_settings", "output_location")
SETTINGS = ("execution_settings", "use_interruptible_instances", "output_location")


class SevenBridgesSubmitTasksOperator(TaskStarter):
    """Run an app many times with inputs of their own, for what a batch cannot do (paired inputs, several files per
    sample). API pages: "Create a new draft task", "Get details of multiple tasks".

    Costs one call for each task (the API has no bulk call for that), one per 100 files that are given by name, and one
    per 100 running tasks and look. At most ``max_running`` tasks run at once; as soon as a tenth of them has ended, new
    ones are started. A task that cannot be started or fails does not keep the others from running.

    A retry goes on where the earlier try ended: it starts what was not started yet and what failed.

    :param project: ``owner/short-name``.
    :param app: ``owner/project/app``, if wanted with ``/revision``.
    :param tasks: one mapping for each task: ``name`` (must differ), ``inputs``, and if wanted ``app``, ``description``,
        ``execution_settings``, ``output_location`` of its own. One of ``tasks`` and ``sheet``.
    :param sheet: CSV or TSV file with a column ``name`` and one for each input. Empty cells are left out, several
        values are separated by ``;``. A relative path is looked for in the folder of the DAG.
    :param file_inputs: the columns of the sheet that hold files, by id or by name in ``project``: a list of columns, or
        a mapping that says which hold one file and which a list: ``{"index": "file", "reads": "files"}``.
    :param common_inputs: inputs of all tasks.
    :param max_running: most tasks at once, default 50.
    :param execution_settings: see ``SevenBridgesSubmitTaskOperator``; likewise the next two.
    :param use_interruptible_instances: default: that of the project.
    :param output_location: where outputs go.
    :return: ``task_ids`` (of the completed tasks), ``by_name`` (task id by name), ``status``, ``output_file_ids``,
        ``completed``, ``failed``, ``failures`` (by name), ``api_calls``.
    :raises InvalidInputError: bad parameters, equal names, files that are not there; nothing was started.
    :raises RemoteWorkError: too many tasks failed.
    """

    template_fields: Sequence[str] = (
        *TaskStarter.template_fields,
        "project",
        "app",
        "tasks",
        "sheet",
        "file_inputs",
        "common_inputs",
        "max_running",
        "execution_settings",
        "output_location",
    )
    first_group = "names"

    def __init__(
        self,
        *,
        project: str,
        app: str | None = None,
        tasks: Sequence[Mapping[str, Any]] | None = None,
        sheet: str | None = None,
        file_inputs: Sequence[str] | Mapping[str, Any] | None = None,
        common_inputs: Mapping[str, Any] | None = None,
        max_running: int = MAX_RUNNING,
        execution_settings: Mapping[str, Any] | None = None,
        use_interruptible_instances: bool | None = None,
        output_location: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.app = app
        self.tasks = tasks
        self.sheet = sheet
        self.file_inputs = file_inputs
        self.common_inputs = common_inputs or {}
        self.max_running = max_running
        self.execution_settings = execution_settings
        self.use_interruptible_instances = use_interruptible_instances
        self.output_location = output_location
        self._known_bodies: list[dict[str, Any]] | None = None
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.inputs import check_inputs

        super().checks(check)
        check(validate.project_id, self.project, "project")
        if self.app is not None:
            check(validate.app_id, self.app, "app")
        check.exactly_one(tasks=self.tasks, sheet=self.sheet)
        check(check_inputs, self.common_inputs, "common_inputs")
        check.count(self.max_running, "max_running", least=1)
        check(_check_file_inputs, self.file_inputs, "file_inputs")
        if self.use_interruptible_instances is not None:
            check.flag(self.use_interruptible_instances, "use_interruptible_instances")
        for name in ("execution_settings", "output_location"):
            check(json_or_none, getattr(self, name), name)
        if self.tasks is not None:
            check(lambda value, name: _check_tasks(value, name, self.app), self.tasks, "tasks")

    def submit(self, context: Context) -> dict[str, Any]:
        """Start the first tasks, or go on where an earlier try ended."""
        ledger = self.begin(context)
        bodies = self._bodies(context, ledger)
        ledger.put(self.first_group, len(bodies))
        work: list[dict[str, Any]] = [{"name": body["name"]} for body in bodies]
        gone = set().union(*self.look_back(list(self._known.values())))
        if gone:
            ledger.put("ended", [*(ledger.get("ended") or []), *gone])
        for key, task in self._known.items():
            if task in gone:
                ledger.put(f"task.{key}", None)
            else:
                work[int(key)]["task"] = task
        self.log.info("%d tasks, %d of them started before", len(work), len(self._known) - len(gone))
        self.show(self.project)
        carry = {"work": work}
        self._fill(ledger, carry, bodies)
        return self.kept(ledger, carry, work=("work", WORK_PER_RECORD))

    def packed(self, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the carry for a deferral; what became of the tasks so far is put where it can be found again."""
        if self._ledger and "work" in carry.get("kept", ()):
            self.put_list(self._ledger, "work", carry["work"], WORK_PER_RECORD)
        return super().packed(carry)

    def _fill(self, ledger: Ledger, carry: dict[str, Any], bodies: Sequence[Mapping[str, Any]]) -> None:
        """Start tasks until as many run as may."""
        ended = [*(ledger.get("ended") or [])]
        self.end_with(*self._running(carry))
        running = len(self._started)
        for number, (one, body) in enumerate(zip(carry["work"], bodies, strict=True)):
            if running >= self.max_running:
                break
            if "task" in one or "failed" in one:
                continue
            try:
                one["task"] = self.start(ledger, str(number), body, ended)
                running += 1
            except RemoteWorkError as error:
                one["failed"] = str(error)
            except ApiError as error:
                if error.retryable or not error.outcome_known or isinstance(error, TokenRejectedError):
                    raise
                one["failed"] = str(error)

    @staticmethod
    def _running(carry: Mapping[str, Any]) -> list[str]:
        return [one["task"] for one in carry["work"] if "task" in one and not {"files", "failed"} & set(one)]

    @staticmethod
    def _more(carry: Mapping[str, Any]) -> bool:
        """Tell whether there are tasks that were neither started nor refused."""
        return any("task" not in one and "failed" not in one for one in carry["work"])

    def _bodies(self, context: Context, ledger: Ledger) -> list[dict[str, Any]]:
        """Return all tasks; what their files are is looked up once."""
        if self._known_bodies is None:
            self._known_bodies = ledger.plan("bodies", lambda: self._resolved(context), BODIES_PER_RECORD)
        return self._known_bodies

    def _resolved(self, context: Context) -> list[dict[str, Any]]:
        from airflow_src_provider.client.seven_bridges.inputs import resolve_inputs
        from airflow_src_provider.client.seven_bridges.selection import literal

        wanted = literal(self.tasks) if self.sheet is None else self._from_sheet()
        common = resolve_inputs(self.client, self.common_inputs).values
        origin = self.origin(context)
        bodies = []
        for task in wanted:
            inputs = {**common, **resolve_inputs(self.client, task["inputs"]).values}
            body = {"name": task["name"], "project": self.project, "app": task.get("app") or self.app, "inputs": inputs}
            body["description"] = f"{task.get('description') or ''}\n\n{origin}".strip()
            for key in SETTINGS:
                if (value := task.get(key, getattr(self, key))) is not None:
                    body[key] = value
            bodies.append(body)
        return bodies

    def _from_sheet(self) -> list[dict[str, Any]]:
        from airflow_src_provider.client.seven_bridges.selection import literal

        rows = read_rows(find_sheet(self.sheet, folders_of(self)))
        given = literal(self.file_inputs) or {}
        kinds: dict[str, str] = dict(given) if isinstance(given, dict) else dict.fromkeys(given, "file")
        if "name" not in rows[0]:
            raise InvalidInputError("sheet", list(rows[0]), "a column name, and one for each input")
        if unknown := sorted(set(kinds) - set(rows[0])):
            raise InvalidInputError("file_inputs", unknown, f"columns of the sheet: {', '.join(rows[0])}")
        files = self._files_of(rows, kinds)
        tasks = []
        for row in rows:
            inputs: dict[str, Any] = {}
            for column, cell in row.items():
                cells = [one.strip() for one in cell.split(";") if one.strip()]
                if column == "name" or not cells:
                    continue
                values: list[Any] = [files[one] for one in cells] if column in kinds else list(cells)
                inputs[column] = values if kinds.get(column) == "files" or len(values) > 1 else values[0]
            tasks.append({"name": row["name"], "inputs": inputs})
        _check_tasks(tasks, "sheet", self.app)
        return tasks

    def _files_of(self, rows: Sequence[Mapping[str, str]], kinds: Mapping[str, str]) -> dict[str, dict[str, str]]:
        from airflow_src_provider.client.seven_bridges import validate
        from airflow_src_provider.client.seven_bridges.selection import read, resolve

        cells = [one.strip() for row in rows for column in kinds for one in row[column].split(";") if one.strip()]
        files: dict[str, dict[str, str]] = {}
        for one in dict.fromkeys(cells):
            try:
                files[one] = {"id": validate.file_id(one)}
            except InvalidInputError:
                continue
        if names := [one for one in dict.fromkeys(cells) if one not in files]:
            found = resolve(self.client, read({"project": self.project, "names": names}, "sheet"), ("name",))
            if found.failed:
                raise InvalidInputsError(
                    [InvalidInputError("sheet", name, f"a file of {self.project}") for name in found.failed]
                )
            files |= {file["name"]: {"id": file["id"], "name": file["name"]} for file in found.files}
        return files

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return the running tasks; the wait ends when there is room for more."""
        from airflow_src_provider.client.seven_bridges.waits import TaskWait

        running = self._running(carry)
        if not running:
            return None
        room = max(1, self.max_running // 10)
        return TaskWait(running, may_stay=max(0, len(running) - room)) if self._more(carry) else TaskWait(running)

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Start more tasks, or report."""
        if event is not None:
            for one in carry["work"]:
                if (task := one.get("task")) in event["results"]:
                    one["files"] = event["results"][task]["outputs"]
                elif task in event["failed"]:
                    one["failed"] = event["failed"][task]
            # From here on a kill ends them; reading what else is to be started takes a while.
            self.end_with(*self._running(carry))
            if self._more(carry):
                ledger = self.ledger(context)
                self._begun = self.begun(ledger)
                self._fill(ledger, carry, self._bodies(context, ledger))
            if self._running(carry):
                return self.go_on(context, carry)
        return self._report(context, carry, waited=event is not None)

    def _report(self, context: Context, carry: dict[str, Any], *, waited: bool) -> Any:
        work: list[dict[str, Any]] = carry["work"]
        failures = {one["name"]: one["failed"] for one in work if "failed" in one}
        completed = [one for one in work if "files" in one]
        started = {one["name"]: one["task"] for one in work if "task" in one}
        ledger = self.ledger(context)
        lost = [number for number, one in enumerate(work) if "failed" in one and "task" in one]
        ledger.put("ended", [*(ledger.get("ended") or []), *(work[number]["task"] for number in lost)])
        for number in lost:
            ledger.put(f"task.{number}", None)
        summary = {
            "task_ids": [one["task"] for one in completed],
            "by_name": started,
            "status": "FAILED" if failures else "COMPLETED" if waited or not started else "RUNNING",
            "output_file_ids": list(dict.fromkeys(file for one in completed for file in one["files"])),
            "completed": len(completed),
            "api_calls": self.api_calls(carry),
        }
        return self.settle(context, summary, failures, len(work))


def _check_file_inputs(value: Any, parameter: str) -> None:
    from airflow_src_provider.client.seven_bridges.selection import literal

    given = literal(value)
    if isinstance(given, dict) and all(one in ("file", "files") for one in given.values()):
        return
    if given is not None and (not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given)):
        raise InvalidInputError(parameter, value, "a list of columns, or a mapping of columns to file or files")


def _check_tasks(value: Any, parameter: str, app: str | None) -> None:
    from airflow_src_provider.client.seven_bridges import validate
    from airflow_src_provider.client.seven_bridges.inputs import check_inputs
    from airflow_src_provider.client.seven_bridges.selection import literal

    checks = Checks()
    seen: set[str] = set()
    tasks = literal(value)
    if not isinstance(tasks, list | tuple) or not tasks:
        raise InvalidInputError(parameter, value, "a list of at least one task")
    for number, task in enumerate(tasks):
        where = f"{parameter}[{number}]"
        if not isinstance(task, dict) or set(task) - set(TASK_KEYS) or not {"name", "inputs"} <= set(task):
            checks.refuse(where, task, f"a mapping with name and inputs, and any of {', '.join(TASK_KEYS[2:])}")
            continue
        checks(validate.text, task["name"], f"{where}.name")
        if isinstance(task["name"], str):
            if task["name"] in seen:
                checks.refuse(f"{where}.name", task["name"], "a name that no other task has")
            seen.add(task["name"])
        checks(check_inputs, task["inputs"], f"{where}.inputs")
        if task.get("app") or app is None:
            checks(validate.app_id, task.get("app"), f"{where}.app")
        for key in ("execution_settings", "output_location"):
            checks(json_or_none, task.get(key), f"{where}.{key}")
    checks.end()
