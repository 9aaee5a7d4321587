"""Tasks and batches: what is checked, what fails, what runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.exceptions import (
    InvalidInputError,
    InvalidInputsError,
    RemoteWorkError,
    TokenRejectedError,
    WaitTimeoutError,
)
from airflow_src_provider.operators.seven_bridges import (
    SevenBridgesAbortTaskOperator,
    SevenBridgesRerunFailedTasksOperator,
    SevenBridgesSubmitTaskOperator,
    SevenBridgesSubmitTasksOperator,
)
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.sb_world import APP, ARCHIVE, SbWorld

both = pytest.mark.parametrize("deferrable", [True, False])


def submit(sb: SbWorld, files: int = 20, **more: Any) -> SevenBridgesSubmitTaskOperator:
    given: dict[str, Any] = {
        "name": "salmon",
        "project": ARCHIVE,
        "app": APP,
        "inputs": {"reads": archive_ids(sb, files)},
        "batch_input": "reads",
        "batch_by": ["metadata.sample_id"],
    }
    return SevenBridgesSubmitTaskOperator(task_id="salmon", **{**given, **more})


SINGLE = {"batch_input": None, "batch_by": None}


@both
def test_one_task(sb: SbWorld, deferrable: bool) -> None:
    result = sb.run(submit(sb, **SINGLE, deferrable=deferrable))
    assert (result["status"], result["task_ids"], result["batch_ids"]) == ("COMPLETED", [result["task_id"]], [])
    assert len(result["output_file_ids"]) >= 1
    assert (sb.calls()["POST tasks"], sb.effects()["tasks_created"]) == (1, 1)


@pytest.mark.parametrize(("check_inputs", "calls"), [(True, 12), (False, 1)])
def test_calls_for_a_thousand_files(sb: SbWorld, check_inputs: bool, calls: int) -> None:
    sb.run(submit(sb, 1000, check_inputs=check_inputs, wait_for_completion=False))
    assert sb.count(polls=True) == calls
    assert sb.effects()["tasks_created"] == 1


def test_files_by_a_listing_carry_their_metadata_along(sb: SbWorld) -> None:
    query = {"project": ARCHIVE, "name_pattern": "*.fastq.gz"}
    sb.run(submit(sb, inputs={"reads": query}, wait_for_completion=False))
    assert sb.count(polls=True) == 12


@pytest.mark.parametrize("batch_by", ["item", {"type": "ITEM"}])
def test_a_child_for_each_file(sb: SbWorld, batch_by: Any) -> None:
    assert len(sb.run(submit(sb, batch_by=batch_by))["task_ids"]) == 20


def test_a_large_batch_is_split_between_samples(sb: SbWorld) -> None:
    result = sb.run(submit(sb, max_children=4))
    assert len(result["batch_ids"]) == 3
    assert len(set(result["task_ids"])) == 10
    names = [sb.client.tasks.get(id_)["name"] for id_ in result["batch_ids"]]
    assert names == [f"salmon ({n} of 3)" for n in (1, 2, 3)]


@both
@pytest.mark.parametrize("parent_status", ["COMPLETED", "FAILED"])
def test_failed_children_are_named(sb: SbWorld, parent_status: str, deferrable: bool) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 2, "batch_parent_on_partial_failure": parent_status})
    with pytest.raises(RemoteWorkError) as caught:
        sb.run(submit(sb, deferrable=deferrable))
    assert len(caught.value.failures) == 2
    assert "S0001: FAILED" in str(caught.value)
    assert "S0002: FAILED" in str(caught.value)


@pytest.mark.parametrize("parent_status", ["COMPLETED", "FAILED"])
@pytest.mark.parametrize("policy", ["skip", 2, 0.2])
def test_failed_children_may_be_tolerated(sb: SbWorld, parent_status: str, policy: Any) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 2, "batch_parent_on_partial_failure": parent_status})
    result = sb.run(submit(sb, on_item_failure=policy))
    assert (result["status"], result["completed"], result["failed"]) == ("FAILED", 8, 2)
    assert len(result["task_ids"]) == len(result["output_file_ids"]) == 8


def test_a_retry_runs_only_the_failed_children(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 3})
    store = FakeStore()
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb), make_context(store))
    sb.sandbox.configure(sb={"batch_failed_children": 1})
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb), make_context(store, try_number=2))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    result = sb.run(submit(sb), make_context(store, try_number=3))
    assert (result["status"], result["completed"], result["failed"]) == ("COMPLETED", 10, 0)
    assert len(set(result["task_ids"])) == len(set(result["output_file_ids"])) == 10
    assert sb.effects()["tasks_created"] == 3
    assert sb.effects()["children_created"] == 10 + 3 + 1


@pytest.mark.parametrize("batch", [True, False])
def test_a_retry_starts_again_what_gave_nothing(sb: SbWorld, batch: bool) -> None:
    sb.sandbox.configure(sb={"fail_tasks": "salmon"})
    store = FakeStore()
    more = {} if batch else SINGLE
    with pytest.raises(RemoteWorkError):
        sb.run(submit(sb, **more), make_context(store))
    sb.sandbox.configure(sb={"fail_tasks": None})
    result = sb.run(submit(sb, **more), make_context(store, try_number=2))
    assert (result["status"], sb.effects()["tasks_created"]) == ("COMPLETED", 2)


def test_a_task_that_is_gone_is_started_again(sb: SbWorld) -> None:
    store = FakeStore()
    first = sb.run(submit(sb, **SINGLE, wait_for_completion=False), make_context(store))
    with sb.sandbox.app.lock:
        del sb.store.tasks[first["task_id"]]
    result = sb.run(submit(sb, **SINGLE), make_context(store, try_number=2))
    assert result["status"] == "COMPLETED"
    assert result["task_id"] != first["task_id"]


def test_files_without_the_criteria_are_refused(sb: SbWorld) -> None:
    ids = archive_ids(sb, 20)
    for id_ in ids[:3]:
        sb.store.nodes[id_].metadata = {}
    with pytest.raises(InvalidInputsError) as caught:
        sb.run(submit(sb))
    assert [problem.value for problem in caught.value.problems] == [sb.store.nodes[id_].name for id_ in ids[:3]] or [
        problem.value for problem in caught.value.problems
    ] == ids[:3]
    assert "tasks_created" not in sb.effects()


def test_inputs_that_the_app_has_not_are_refused(sb: SbWorld) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        sb.run(submit(sb, inputs={"reads": archive_ids(sb, 2), "raeds": 1, "thread": 2}))
    assert [problem.value for problem in caught.value.problems] == ["raeds", "thread"]
    assert "tasks_created" not in sb.effects()


def test_an_app_that_is_not_there(sb: SbWorld) -> None:
    with pytest.raises(Exception, match="6002"):
        sb.run(submit(sb, app=f"{APP}/99"))
    assert "tasks_created" not in sb.effects()


def test_a_refused_draft_is_removed(sb: SbWorld) -> None:
    with pytest.raises(RemoteWorkError, match="reads"):
        sb.run(submit(sb, **SINGLE, inputs={"threads": 2}))
    assert sb.effects()["tasks_deleted"] == 1
    assert list(sb.client.tasks.list(project=ARCHIVE)) == []


def test_inputs_of_all_kinds(sb: SbWorld) -> None:
    names = {"project": ARCHIVE, "names": ["S0001_R1.fastq.gz", "S0001_R2.fastq.gz"]}
    index = {"project": ARCHIVE, "names": "S0002_R1.fastq.gz"}
    inputs = {"reads": names, "transcriptome_index": index, "threads": {"value": 4}}
    result = sb.run(submit(sb, **SINGLE, inputs=inputs))
    sent = sb.client.tasks.get(result["task_id"], fields=("inputs",))["inputs"]
    assert [file["name"] for file in sent["reads"]] == names["names"]
    assert (sent["transcriptome_index"]["class"], sent["threads"]) == ("File", 4)


def test_text_that_a_template_left_is_read(sb: SbWorld) -> None:
    operator = submit(sb, **SINGLE, inputs={"reads": str(archive_ids(sb, 2))})
    assert sb.run(operator)["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "more",
    [
        {"name": " "},
        {"project": "no"},
        {"app": "labuser/app"},
        {"inputs": []},
        {"inputs": {"reads": ["6" * 24, "S0001.fastq.gz"]}},
        {"inputs": {"reads": ["6" * 24], "other": object()}},
        {"batch_input": None},
        {"batch_by": None},
        {"batch_by": []},
        {"batch_by": ["sample_id"]},
        {"batch_by": [f"metadata.k{n}" for n in range(101)]},
        {"batch_input": "other"},
        {"max_children": 0},
        {"execution_settings": "large"},
        {"output_location": {"x": object()}},
        {"check_inputs": "yes"},
    ],
)
def test_bad_input_is_refused_before_the_first_call(sb: SbWorld, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        sb.run(submit(sb, **more))
    assert sb.count(polls=True) == 0


@both
def test_time_over_aborts(sb: SbWorld, deferrable: bool) -> None:
    with pytest.raises(WaitTimeoutError):
        sb.run(submit(sb, timeout=60, deferrable=deferrable))
    assert sb.effects()["tasks_aborted_by_user"] == 1


def test_killed_worker_aborts(sb: SbWorld) -> None:
    operator = submit(sb, deferrable=True)
    with pytest.raises(TaskDeferred):
        operator.execute(make_context())
    operator.on_kill()
    assert sb.effects()["tasks_aborted_by_user"] == 1
    operator = submit(sb, deferrable=True, cancel_on_kill=False)
    with pytest.raises(TaskDeferred):
        operator.execute(make_context())
    operator.on_kill()
    assert sb.effects()["tasks_aborted_by_user"] == 1


def test_rerun_of_what_failed(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 3})
    first = sb.run(submit(sb, on_item_failure="skip"))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    mark = sb.mark()
    again = sb.run(SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=first))
    assert (again["status"], again["rerun"], again["completed"]) == ("COMPLETED", 3, 10)
    assert set(again["task_ids"]) > set(first["task_ids"])
    assert len(set(again["output_file_ids"])) == 10
    assert sb.calls(mark)["POST tasks"] == 1
    assert sb.effects()["children_created"] == 13
    nothing = sb.run(SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=again["batch_ids"]))
    assert (nothing["rerun"], nothing["batch_ids"], nothing["status"]) == (0, [], "COMPLETED")


def test_rerun_that_fails_leaves_the_rest_to_its_retry(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 4})
    first = sb.run(submit(sb, on_item_failure="skip"))
    sb.sandbox.configure(sb={"batch_failed_children": 1})
    store = FakeStore()
    again = SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=first["task_id"])
    with pytest.raises(RemoteWorkError):
        sb.run(again, make_context(store))
    sb.sandbox.configure(sb={"batch_failed_children": 0})
    again = SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=first["task_id"])
    result = sb.run(again, make_context(store, try_number=2))
    assert (result["rerun"], result["completed"], result["failed"]) == (4, 10, 0)
    assert sb.effects()["children_created"] == 10 + 4 + 1


def test_rerun_refuses_what_failed_altogether(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"batch_failed_children": 4})
    first = sb.run(submit(sb, on_item_failure="skip"))
    with pytest.raises(RemoteWorkError, match="more than 3 are not run again"):
        sb.run(SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=first, max_failed=3))
    running = sb.run(submit(sb, wait_for_completion=False, durable=False))
    with pytest.raises(RemoteWorkError, match="only tasks that have ended"):
        sb.run(SevenBridgesRerunFailedTasksOperator(task_id="again", tasks=running))


@both
def test_abort(sb: SbWorld, deferrable: bool) -> None:
    running = sb.run(submit(sb, wait_for_completion=False))["task_id"]
    done = sb.run(submit(sb, **SINGLE), make_context(run_id="other"))["task_id"]
    abort = SevenBridgesAbortTaskOperator(task_id="abort", tasks=[running, done], deferrable=deferrable)
    result = sb.run(abort)
    assert (result["aborted"], result["ended_before"]) in (([running], [done]), ([], [running, done]))
    with pytest.raises(RemoteWorkError):
        sb.run(SevenBridgesAbortTaskOperator(task_id="abort", tasks=["0" * 8 + "-0000-0000-0000-" + "0" * 12]))
    with pytest.raises(InvalidInputError):
        SevenBridgesAbortTaskOperator(task_id="abort", tasks=["salmon"])


def many(sb: SbWorld, count: int = 12, **more: Any) -> SevenBridgesSubmitTasksOperator:
    tasks = [{"name": f"salmon {n}", "inputs": {"reads": [id_]}} for n, id_ in enumerate(archive_ids(sb, count))]
    given = {"tasks": tasks, "project": ARCHIVE, "app": APP, "max_running": 5}
    return SevenBridgesSubmitTasksOperator(task_id="many", **{**given, **more})


@both
def test_many_tasks_but_few_at_once(sb: SbWorld, deferrable: bool) -> None:
    result = sb.run(many(sb, deferrable=deferrable))
    assert (result["status"], result["completed"], len(set(result["task_ids"]))) == ("COMPLETED", 12, 12)
    assert sb.calls()["POST tasks"] == 12
    tasks = list(sb.client.tasks.list(project=ARCHIVE, fields=("id", "created_time", "end_time")))
    moments = sorted([(t["end_time"], -1) for t in tasks] + [(t["created_time"], 1) for t in tasks])
    running = [sum(step for _, step in moments[: n + 1]) for n in range(len(moments))]
    assert max(running) == 5


@given(st.lists(st.sampled_from(["waits", "refused", "runs", "failed", "completed"]), max_size=40))
def test_room_is_waited_for_only_while_there_are_tasks_to_start(states: list[str]) -> None:
    task = SevenBridgesSubmitTasksOperator(
        task_id="many", project=ARCHIVE, app=APP, tasks=[{"name": "t", "inputs": {}}], max_running=5
    )
    known: dict[str, dict[str, Any]] = {
        "waits": {},
        "refused": {"failed": "why"},
        "runs": {"task": "id"},
        "failed": {"task": "id", "failed": "why"},
        "completed": {"task": "id", "files": []},
    }
    work = [{"name": f"t{n}", **known[state]} for n, state in enumerate(states)]
    carry = {"work": [{**one, "task": f"id{n}"} if "task" in one else one for n, one in enumerate(work)]}
    wait, running = task.waits_for(carry), states.count("runs")
    assert (wait is None) == (running == 0)
    if wait is not None:
        assert wait.may_stay == (running - 1 if "waits" in states else 0)


def test_one_of_many_fails_and_is_run_again_by_a_retry(sb: SbWorld) -> None:
    sb.sandbox.configure(sb={"fail_tasks": "salmon 3$"})
    store = FakeStore()
    with pytest.raises(RemoteWorkError) as caught:
        sb.run(many(sb), make_context(store))
    assert list(caught.value.failures) == ["salmon 3"]
    sb.sandbox.configure(sb={"fail_tasks": None})
    result = sb.run(many(sb), make_context(store, try_number=2))
    assert (result["completed"], result["failed"], sb.effects()["tasks_created"]) == (12, 0, 13)


def test_one_of_many_is_refused(sb: SbWorld) -> None:
    tasks = [{"name": f"t{n}", "inputs": {"reads": archive_ids(sb, 1)} if n else {}} for n in range(3)]
    result = sb.run(many(sb, tasks=tasks, on_item_failure="skip"))
    assert (result["completed"], list(result["failures"])) == (2, ["t0"])


def test_many_from_a_sheet(sb: SbWorld, tmp_path: Path) -> None:
    sheet = tmp_path / "tasks.csv"
    lines = [f"salmon S{n:04d},S{n:04d}_R1.fastq.gz; S{n:04d}_R2.fastq.gz" for n in range(1, 6)]
    sheet.write_text("name,reads\n" + "\n".join(lines))
    more = {"tasks": None, "sheet": str(sheet), "file_inputs": {"reads": "files"}, "common_inputs": {"threads": 2}}
    result = sb.run(many(sb, **more))
    assert result["completed"] == 5
    sent = sb.client.tasks.get(result["by_name"]["salmon S0003"], fields=("inputs",))["inputs"]
    assert ([file["name"] for file in sent["reads"]], sent["threads"]) == (
        ["S0003_R1.fastq.gz", "S0003_R2.fastq.gz"],
        2,
    )
    assert sb.calls()["GET files"] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"tasks": []},
        {"tasks": [{"name": "a"}]},
        {"tasks": [{"name": "a", "inputs": {}}, {"name": "a", "inputs": {}}]},
        {"tasks": [{"name": "a", "inputs": {}, "projct": "x"}]},
        {"app": None},
        {"max_running": 0},
        {"sheet": "x.csv"},
        {"file_inputs": {"reads": "list"}},
        {"common_inputs": 3},
    ],
)
def test_bad_lists_of_tasks(sb: SbWorld, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        sb.run(many(sb, **more))
    assert sb.count(polls=True) == 0


def test_a_refused_token_ends_it_at_once(sb: SbWorld) -> None:
    refusal = {"status": 401, "json": {"status": 401, "code": 90001, "message": "no"}}
    sb.sandbox.fault(service="sb", method="POST", path="/v2/tasks", action="status", times=None, **refusal)
    tasks = [{"name": f"task {n}", "inputs": {"reads": archive_ids(sb, 1)}} for n in range(20)]
    with pytest.raises(TokenRejectedError):
        sb.run(SevenBridgesSubmitTasksOperator(task_id="many", project=ARCHIVE, app=APP, tasks=tasks))
    assert sb.calls()["POST tasks"] == 1


@both
def test_a_retry_after_the_time_was_over_starts_the_task_again(sb: SbWorld, deferrable: bool) -> None:
    store, more = FakeStore(), {**SINGLE, "deferrable": deferrable}
    with pytest.raises(WaitTimeoutError):
        sb.run(submit(sb, **more, timeout=5.0), make_context(store))
    assert sb.run(submit(sb, **more), make_context(store, try_number=2))["status"] == "COMPLETED"
    assert sb.effects()["tasks_created"] == 2


def test_a_retry_starts_all_tasks_again_that_were_aborted(sb: SbWorld) -> None:
    def many(**more: Any) -> SevenBridgesSubmitTasksOperator:
        tasks = [{"name": f"task {n}", "inputs": {"reads": archive_ids(sb, 1)}} for n in range(3)]
        return SevenBridgesSubmitTasksOperator(task_id="many", project=ARCHIVE, app=APP, tasks=tasks, **more)

    store = FakeStore()
    with pytest.raises(WaitTimeoutError):
        sb.run(many(timeout=5.0), make_context(store))
    assert sb.run(many(), make_context(store, try_number=2))["completed"] == 3
    assert sb.effects()["tasks_created"] == 6
