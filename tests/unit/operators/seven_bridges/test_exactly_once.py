"""No effect happens twice and none is lost: whatever dies, and at whatever moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.exceptions import SupersededError
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesCopyFilesOperator,
    SevenBridgesExportFilesOperator,
    SevenBridgesImportFilesOperator,
    SevenBridgesSubmitTaskOperator,
    SevenBridgesSubmitTasksOperator,
    copies,
    exports,
    imports,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.sb_world import APP, ARCHIVE, PROJECT, RESULTS, VOLUME, SbWorld

CHUNKS = 3
FILES = 10 * CHUNKS


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (copies, exports, imports):
        monkeypatch.setattr(module, "CHUNK", FILES // CHUNKS)


class Killed(BaseException):
    """The worker is gone, and with it everything that it has not stored."""


class DyingStore(FakeStore):
    """A store during whose n-th write the worker dies, before or after the value has arrived."""

    def __init__(self, dies_at: int, *, after: bool) -> None:
        super().__init__()
        self.left = dies_at
        self.after = after

    def set(self, key: str, value: Any, **_: Any) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        super().set(key, value)
        if self.left == 0 and self.after:
            raise Killed


class ForgottenStore(FakeStore):
    """The store of a try that Airflow does not know any more: it takes no notes and has none."""

    forgotten = False

    def forget(self) -> FakeStore:
        """Forget the try, and return the store of its replacement."""
        others = FakeStore(self)
        self.clear()
        self.forgotten = True
        return others

    def set(self, key: str, value: Any, **_: Any) -> None:
        if self.forgotten:
            raise LookupError("task instance not found")
        super().set(key, value)


def archive_ids(sb: SbWorld, count: int = FILES) -> list[str]:
    nodes = [node for node in sb.store.nodes.values() if node.project == ARCHIVE and node.name.endswith(".fastq.gz")]
    return [node.id for node in sorted(nodes, key=lambda node: node.name)][:count]


def import_files(sb: SbWorld, if_exists: str = "skip", **more: Any) -> BaseOperator:
    locations = [f"run1/S{n:04d}_R{read}.fastq.gz" for n in range(1, FILES // 2 + 1) for read in (1, 2)]
    return SevenBridgesImportFilesOperator(
        task_id="step", volume=VOLUME, locations=locations, project=PROJECT, if_exists=if_exists, **more
    )


def export_files(sb: SbWorld, if_exists: str = "skip", **more: Any) -> BaseOperator:
    more = {"keep_on_platform": True, **more}
    return SevenBridgesExportFilesOperator(
        task_id="step", files=archive_ids(sb), volume=VOLUME, prefix="out/", if_exists=if_exists, **more
    )


def copy_files(sb: SbWorld, if_exists: str = "skip", **more: Any) -> BaseOperator:
    return SevenBridgesCopyFilesOperator(
        task_id="step", files=archive_ids(sb), project=RESULTS, if_exists=if_exists, **more
    )


def run_batch(sb: SbWorld, **more: Any) -> BaseOperator:
    return SevenBridgesSubmitTaskOperator(
        task_id="step",
        name="salmon",
        project=ARCHIVE,
        app=APP,
        inputs={"reads": archive_ids(sb, 20)},
        batch_input="reads",
        batch_by=["metadata.sample_id"],
        max_children=4,
        **more,
    )


def run_many(sb: SbWorld, **more: Any) -> BaseOperator:
    tasks = [{"name": f"salmon {n}", "inputs": {"reads": [id_]}} for n, id_ in enumerate(archive_ids(sb, 6))]
    return SevenBridgesSubmitTasksOperator(task_id="step", project=ARCHIVE, app=APP, tasks=tasks, max_running=2, **more)


Make = Callable[..., BaseOperator]
# The step, the call that acts, what the sandbox counts, how often, and how many calls act.
STEPS: dict[str, tuple[Make, str, str, int, int]] = {
    "import": (import_files, "/bulk/storage/imports/create", "imports_created", FILES, CHUNKS),
    "export": (export_files, "/bulk/storage/exports/create", "exports_created", FILES, CHUNKS),
    "copy": (copy_files, "/action/files/copy", "files_copied", FILES, CHUNKS),
    "batch": (run_batch, "/tasks", "tasks_created", 3, 3),
    "many": (run_many, "/tasks", "tasks_created", 6, 6),
}
step = pytest.mark.parametrize("name", STEPS)


def ids_of(result: dict[str, Any]) -> list[str]:
    for key in ("file_ids", "task_ids", "locations"):
        if key in result:
            return list(result[key])
    raise AssertionError(result)


@step
def test_undisturbed(sb: SbWorld, name: str) -> None:
    make, _, effect, times, _ = STEPS[name]
    result = sb.run(make(sb))
    assert sb.effects()[effect] == times
    assert result["failed"] == 0
    assert len(set(ids_of(result))) == (10 if name == "batch" else times)


@step
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("nth", "deferrable"), [(0, True), (1, False), (2, True)])
def test_answer_lost(sb: SbWorld, name: str, when: str, nth: int, deferrable: bool) -> None:
    make, path, effect, times, _ = STEPS[name]
    sb.sandbox.fault(service="sb", method="POST", path=rf"{path}(\?|$)", action="close", when=when, skip=nth)
    more = {} if name == "copy" else {"deferrable": deferrable}
    result = sb.run(make(sb, **more))
    assert sb.effects()[effect] == times
    assert result["failed"] == 0
    assert len(set(ids_of(result))) == (10 if name == "batch" else times)


@step
@pytest.mark.parametrize("after", [False, True])
def test_worker_killed_at_every_write(sb: SbWorld, name: str, after: bool) -> None:
    make, _, effect, times, _ = STEPS[name]
    died = 0
    for moment in range(1, 40):
        sb.sandbox.reset()
        store = DyingStore(moment, after=after)
        operator = make(sb)
        context = make_context(store)
        try:
            sb.run(operator, context)
        except Killed:
            died += 1
        else:
            break
        result = sb.run(make(sb), make_context(store, try_number=2))
        assert sb.effects()[effect] == times, f"killed at write {moment}"
        assert result["failed"] == 0
        assert len(set(ids_of(result))) == (10 if name == "batch" else times)
    assert died >= STEPS[name][4], "the worker never died"


@step
def test_worker_that_stands_still_until_it_is_replaced(sb: SbWorld, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it goes on, with a request in its hands, another one has done everything."""
    make, _, effect, times, calls = STEPS[name]
    turn = ApiSession._wait_for_turn

    def stand_still(session: ApiSession, call: Any) -> None:
        nonlocal left
        turn(session, call)
        left -= not call.repeatable
        if not call.repeatable and left == 0:
            results.append(sb.run(make(sb), make_context(store.forget(), try_number=2)))

    monkeypatch.setattr(ApiSession, "_wait_for_turn", stand_still)
    for number in range(1, calls + 1):
        sb.sandbox.reset()
        left, store, results = number, ForgottenStore(), []
        with pytest.raises(SupersededError, match="nothing more is sent"):
            sb.run(make(sb), make_context(store))
        assert sb.effects()[effect] == times, f"stood still before request {number}"
        assert results[0]["failed"] == 0


@step
def test_retry_of_a_finished_step_sends_nothing(sb: SbWorld, name: str) -> None:
    make, _, _, _, _ = STEPS[name]
    store = FakeStore()
    first = sb.run(make(sb), make_context(store))
    effects, mark = sb.effects(), sb.mark()
    again = sb.run(make(sb), make_context(store, try_number=2))
    assert sb.effects() == effects
    assert sb.count(mark, polls=True) <= 10
    assert sorted(ids_of(again)) == sorted(ids_of(first))


@step
def test_clear_does_it_again(sb: SbWorld, name: str) -> None:
    make, _, effect, times, _ = STEPS[name]
    store = FakeStore()
    sb.run(make(sb), make_context(store))
    again = sb.run(make(sb), make_context(store, try_number=2, max_tries=5))
    if name in ("batch", "many"):
        assert sb.effects()[effect] == 2 * times
    else:
        # The user asked for it again, and `skip` says to leave alone what is there.
        assert sb.effects()[effect] == times
        assert again["skipped"] == times


@pytest.mark.parametrize("if_exists", ["overwrite", "autorename", "fail"])
@pytest.mark.parametrize("nth", [0, 2])
def test_import_lost_in_other_modes(sb: SbWorld, if_exists: str, nth: int) -> None:
    sb.sandbox.fault(service="sb", method="POST", path="imports/create", action="close", when="after", skip=nth)
    result = sb.run(import_files(sb, if_exists))
    assert result["imported"] + result["skipped"] == FILES
    assert len(sb.names(PROJECT)) == FILES + 1


@pytest.mark.parametrize(("since", "imported"), [(2400.0, 0), (0.0, FILES)])
def test_import_of_which_the_memory_was_lost(sb: SbWorld, since: float, imported: int) -> None:
    """It is looked for as far back as the DAG run goes, and not into the run before."""
    sb.run(import_files(sb, "autorename"))
    sb.sandbox.advance(1800)
    run = SimpleNamespace(start_date=datetime.fromtimestamp(sb.now() - since, UTC))
    sb.run(import_files(sb, "autorename"), make_context(try_number=2, dag_run=run))
    assert sb.effects()["imports_created"] == FILES + imported


def test_imports_of_which_the_memory_was_lost_are_listed_once_for_all_chunks(sb: SbWorld) -> None:
    run = SimpleNamespace(start_date=datetime.fromtimestamp(sb.now() - 60, UTC))
    sb.run(import_files(sb, "autorename"))
    mark = sb.mark()
    again = import_files(sb, "autorename", wait_for_completion=False)
    sb.run(again, make_context(try_number=2, dag_run=run))
    assert sb.calls(mark) == {"GET storage/imports": 1}


@pytest.mark.parametrize("nth", [0, 2])
def test_copy_lost_when_doubles_are_wanted(sb: SbWorld, nth: int) -> None:
    sb.run(copy_files(sb))
    sb.sandbox.advance(3600)
    sb.sandbox.fault(service="sb", method="POST", path="files/copy", action="close", when="after", skip=nth)
    result = sb.run(copy_files(sb, "copy"))
    assert (result["copied"], result["failed"]) == (FILES, 0)
    assert len(sb.names(RESULTS)) == 2 * FILES


def test_not_durable_starts_anew(sb: SbWorld) -> None:
    store = FakeStore()
    sb.run(run_batch(sb, durable=False), make_context(store))
    sb.run(run_batch(sb, durable=False), make_context(store, try_number=2))
    assert sb.effects()["tasks_created"] == 6
    assert store == {}


def test_older_batch_is_aborted_when_the_task_is_cleared(sb: SbWorld) -> None:
    store = FakeStore()
    sb.run(run_batch(sb, wait_for_completion=False), make_context(store))
    sb.run(run_batch(sb), make_context(store, try_number=2, max_tries=5))
    assert sb.effects()["tasks_aborted_by_user"] == 3
    assert sb.effects()["tasks_created"] == 6
