"""The eight cases of the vendor's page on the rate limit, each four ways, counted at the server.

The vendor's own client does each case as the page calls not optimized, and as the page recommends; the operators of
this package do it once, and once more when it is finished. Looks at running jobs are left out of all of them, as on
the page; only the second run counts everything.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import sevenbridges as sbg
import structlog
from airflow.sdk import BaseOperator

from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesCreateProjectOperator,
    SevenBridgesDeleteFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesFindFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
    SevenBridgesUpdateMetadataOperator,
)
from airflow_src_provider.sandbox import Sandbox
from benchmarks.rows import Row

N = 1000
SOURCE, TARGET, BUCKET = "lab/cohort", "lab/shared", "lab/bucket"
APP = f"{SOURCE}/salmon"
NAME = "Cohort 0777"
LABELS = {"library": "lib-1"}
MOST_AGAIN = 10
#: Looks at jobs and tasks.
LOOKS = {
    ("POST", "/v2/bulk/storage/imports/get"),
    ("POST", "/v2/bulk/storage/exports/get"),
    ("POST", "/v2/bulk/tasks/get"),
    ("GET", "/v2/tasks"),
}
EXPORT = {"volume": BUCKET, "prefix": "out/", "keep_on_platform": True}
BATCH = {"name": "cohort", "project": SOURCE, "app": APP, "batch_input": "reads", "batch_by": ["metadata.sample_id"]}


@dataclass(frozen=True)
class Recipe:
    """One case.

    :param effect: what the server counts, and how often it has to happen; ``None`` when nothing is changed.
    :param naive: the vendor's client, one object at a time.
    :param recommended: the vendor's client, as its page recommends.
    :param ours: makes the task from the files: a query, or ids.
    :param most: the most calls that ``ours`` may take when the files have to be listed, and when their ids are known.
    """

    name: str
    effect: tuple[str, int] | None
    naive: Callable[[sbg.Api, list[str]], None]
    recommended: Callable[[sbg.Api], None]
    ours: Callable[[Any], BaseOperator]
    most: tuple[int, int | None]


@dataclass(frozen=True)
class Counted:
    """Calls of one case."""

    recipe: Recipe
    naive: int
    recommended: int
    listed: int
    known: int | None
    again: int

    @property
    def row(self) -> Row:
        """Return it as a claim."""
        limit, known_limit = self.recipe.most
        best = self.recommended if self.recipe.name == FIND_PROJECT else self.recommended - 1
        ok = self.listed <= min(limit, best) and self.again <= MOST_AGAIN
        ok = ok and (self.known is None or (known_limit is not None and self.known <= known_limit))
        figure = f"{self.naive} naive, {self.recommended} recommended, {self.listed} ours, {self.again} again"
        known = "" if known_limit is None else f", {known_limit} by id"
        return Row(f"calls: {self.recipe.name}", figure, f"<= {limit}{known}", ok)


def _files(api: sbg.Api, limit: int | None = 100) -> list[Any]:
    return list(api.files.query(project=SOURCE, limit=limit).all())


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), 100):
        yield items[start : start + 100]


def _naive_submit(api: sbg.Api, ids: list[str]) -> None:
    for number, file_id in enumerate(ids):
        reads = [sbg.models.file.File(id=file_id, type="file", api=api)]
        api.tasks.create(name=f"task {number}", project=SOURCE, app=APP, inputs={"reads": reads}, run=True)


def _batch(api: sbg.Api) -> None:
    by = {"type": "CRITERIA", "criteria": ["metadata.sample_id"]}
    reads = {"reads": _files(api)}
    api.tasks.create(name="cohort", project=SOURCE, app=APP, inputs=reads, batch_input="reads", batch_by=by, run=True)


def _naive_copy(api: sbg.Api, ids: list[str]) -> None:
    for file_id in ids:
        api.files.get(file_id).copy(TARGET)


def _bulk_copy(api: sbg.Api) -> None:
    for part in _chunks(_files(api)):
        api.actions.bulk_copy_files(files=[file.id for file in part], destination_project=TARGET)


def _naive_import(api: sbg.Api, ids: list[str]) -> None:
    for number in range(len(ids)):
        location = f"run1/S{number // 2 + 1:04d}_R{number % 2 + 1}.fastq.gz"
        api.imports.submit_import(volume=BUCKET, location=location, project=TARGET)


def _bulk_import(api: sbg.Api) -> None:
    volume = api.volumes.get(BUCKET)
    for part in _chunks(list(volume.list(prefix="run1/", limit=100).all())):
        wanted = [{"volume": volume, "location": entry.location, "project": TARGET} for entry in part]
        api.imports.bulk_submit(imports=wanted)


def _naive_metadata(api: sbg.Api, _: list[str]) -> None:
    for file in _files(api, limit=None):
        file.metadata.update(LABELS)
        file.save()


def _bulk_metadata(api: sbg.Api) -> None:
    for part in _chunks(_files(api)):
        for file in part:
            file.metadata.update(LABELS)
        api.files.bulk_edit(files=part)


def _naive_delete(api: sbg.Api, ids: list[str]) -> None:
    for file_id in ids:
        api.files.get(file_id).delete()


def _bulk_delete(api: sbg.Api) -> None:
    for part in _chunks(_files(api)):
        api.files.bulk_delete(files=part)


def _naive_export(api: sbg.Api, ids: list[str]) -> None:
    for file_id in ids:
        file = api.files.get(file_id)
        api.exports.submit_export(file=file, volume=BUCKET, location=f"out/{file.name}", copy_only=True)


def _bulk_export(api: sbg.Api) -> None:
    for part in _chunks(_files(api)):
        wanted = [{"file": file, "volume": BUCKET, "location": f"out/{file.name}"} for file in part]
        api.exports.bulk_submit(exports=wanted, copy_only=True)


def _find_by_walking(api: sbg.Api, _: list[str]) -> None:
    assert [project.id for project in api.projects.query().all() if project.name == NAME]


def _find_by_name(api: sbg.Api) -> None:
    assert [project.id for project in api.projects.query(name=NAME) if project.name == NAME]


def _task(kind: type[BaseOperator], **arguments: Any) -> BaseOperator:
    return kind(task_id="task", **arguments)


FIND_PROJECT = f"find one of {N:,} projects by name"
RECIPES = [
    Recipe(
        f"submit tasks for {N:,} files",
        ("tasks_created", 1),
        _naive_submit,
        _batch,
        lambda files: _task(
            SevenBridgesSubmitTaskOperator,
            **BATCH,
            inputs={"reads": files},
            check_inputs=False,
        ),
        (11, 1),
    ),
    Recipe(
        f"copy {N:,} files to a project",
        ("files_copied", N),
        _naive_copy,
        _bulk_copy,
        lambda files: _task(SevenBridgesCopyFilesOperator, files=files, project=TARGET, if_exists="copy"),
        (20, 10),
    ),
    Recipe(
        f"import {N:,} files from a volume",
        ("imports_created", N),
        _naive_import,
        _bulk_import,
        lambda _: _task(SevenBridgesImportFilesOperator, volume=BUCKET, prefix="run1/", project=TARGET),
        (20, None),
    ),
    Recipe(
        f"set metadata of {N:,} files",
        ("files_edited", N),
        _naive_metadata,
        _bulk_metadata,
        lambda files: _task(SevenBridgesUpdateMetadataOperator, files=files, metadata=LABELS),
        (20, 10),
    ),
    Recipe(
        f"delete {N:,} files",
        ("files_deleted", N),
        _naive_delete,
        _bulk_delete,
        lambda files: _task(SevenBridgesDeleteFilesOperator, files=files),
        (20, 10),
    ),
    Recipe(
        f"export {N:,} files to a volume",
        ("exports_created", N),
        _naive_export,
        _bulk_export,
        lambda files: _task(SevenBridgesExportFilesOperator, **EXPORT, files=files),
        (20, 10),
    ),
    Recipe(
        f"walk {N:,} results",
        None,
        lambda api, _: (_files(api, limit=None), None)[1],
        lambda api: (_files(api), None)[1],
        lambda files: _task(SevenBridgesFindFilesOperator, files=files),
        (10, None),
    ),
    Recipe(
        FIND_PROJECT,
        None,
        _find_by_walking,
        _find_by_name,
        lambda _: _task(SevenBridgesCreateProjectOperator, name=NAME, create=False),
        (1, None),
    ),
]


class _Memory(dict[str, Any]):
    """Airflow's task state store, as far as it is needed."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def _context(memory: _Memory, try_number: int) -> Any:
    ti = SimpleNamespace(
        dag_id="bench", run_id="run", task_id="task", map_index=-1, try_number=try_number, max_tries=2,
        xcom_push=lambda **_: None,
    )  # fmt: skip
    return {"ti": ti, "task": SimpleNamespace(task_id="task", retries=2), "task_state_store": memory}


def _seed() -> dict[str, Any]:
    files = {"samples": N // 2, "metadata": True}
    projects: list[dict[str, Any]] = [
        {"id": SOURCE, "name": "Cohort", "fastq": files},
        {"id": TARGET, "name": "Shared"},
    ]
    projects += [{"id": f"lab/cohort-{n:04d}", "name": f"Cohort {n:04d}"} for n in range(N - len(projects))]
    app = {"id": APP, "inputs": {"reads": "File[]"}, "outputs": {"quant": "{stem}.quant.sf"}}
    bucket = {"id": BUCKET, "fastq": {"samples": N // 2, "prefix": "run1/"}}
    group = {"id": "ec1dc1e3-12a3-4b56-789c-e3f2dca0c6f7", "name": "Funds", "owner": "lab", "members": ["lab"]}
    users = {"lab": {"token": "sandbox-sb-lab"}}
    sections = {"users": users, "billing_groups": [group], "projects": projects, "volumes": [bucket], "apps": [app]}
    return {"sb": sections}


class _Bench:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._ids: list[str] = []

    def _api(self) -> sbg.Api:
        token = self._sandbox.tokens["lab"]
        return sbg.Api(url=self._sandbox.sb_url, token=token, debug=True, advance_access=True)

    def _fresh(self) -> None:
        self._sandbox.reset(_seed())
        store = self._sandbox.state.sb.store
        self._files = [{"id": one.id, "name": one.name} for one in store.walk(store.nodes[store.projects[SOURCE].root])]

    def _effects(self) -> dict[str, int]:
        return dict(self._sandbox.counters()["effects"].get("sb", {}))

    def _count(self, since: int = 0, *, looks: bool = False) -> int:
        return sum(looks or (entry["method"], entry["path"]) not in LOOKS for entry in self._sandbox.journal(since))

    def _check(self, recipe: Recipe, times: int | None = None) -> None:
        name, wanted = recipe.effect or ("", 0)
        found = self._effects().get(name, 0)
        if found != (wanted if times is None else times):
            raise RuntimeError(f"{recipe.name}: {found} {name} instead of {times or wanted}")

    def measure(self, recipe: Recipe) -> Counted:
        """Do a case in every way."""
        self._fresh()
        recipe.naive(self._api(), [file["id"] for file in self._files])
        self._check(recipe, N if recipe.effect else None)
        naive = self._count()
        self._fresh()
        recipe.recommended(self._api())
        self._check(recipe)
        recommended = self._count()
        self._fresh()
        listed, again = self._twice(recipe, {"project": SOURCE})
        known = None
        if recipe.most[1] is not None:
            self._fresh()
            known, again_known = self._twice(recipe, self._files)
            again = max(again, again_known)
        return Counted(recipe, naive, recommended, listed, known, again)

    def _twice(self, recipe: Recipe, files: Any) -> tuple[int, int]:
        """Run a task; then run it again, as after a worker that died with its very last line."""
        memory = _Memory()
        recipe.ours(files).execute(_context(memory, 1))
        self._check(recipe)
        first, effects = self._count(), self._effects()
        seen = len(self._sandbox.journal())
        recipe.ours(files).execute(_context(memory, 2))
        if self._effects() != effects:
            raise RuntimeError(f"{recipe.name}: the second run changed something: {effects} -> {self._effects()}")
        return first, self._count(seen, looks=True)


def measure() -> Iterator[Counted]:
    """Measure all cases."""
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with Sandbox(sb={"limit": 1_000_000, "instant": True}) as sandbox:
        bench = _Bench(sandbox)
        bench._fresh()
        extra = {"rate_limit": 1_000_000}
        connection = {
            "conn_type": "seven_bridges", "host": sandbox.sb_url, "password": sandbox.tokens["lab"], "extra": extra,
        }  # fmt: skip
        os.environ["AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT"] = json.dumps(connection)
        for recipe in RECIPES:
            yield bench.measure(recipe)


def rows(counted: list[Counted]) -> Iterator[Row]:
    """Measure all cases, keep the figures for :func:`table`, and return them as claims."""
    for one in measure():
        counted.append(one)
        yield one.row


def table(counted: list[Counted]) -> str:
    """Return the table of the README, in Markdown."""
    head = ("recipe", "vendor, naive", "vendor, recommended", "ours", "ours, ids known", "ours, second run")
    rows = [
        (
            one.recipe.name,
            *(f"{calls:,}" for calls in (one.naive, one.recommended, one.listed)),
            "" if one.known is None else f"{one.known:,}",
            f"{one.again:,}",
        )
        for one in counted
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = [f"{'-' * width}" if not n else f"{'-' * (width - 1)}:" for n, width in enumerate(widths)]
    lines = [head, rule, *rows]
    return "\n".join(
        "| "
        + " | ".join(c.ljust(w) if not n else c.rjust(w) for n, (c, w) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in lines
    )
