"""Apps, tasks and batches of the sandbox's Seven Bridges half."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.sb_client import APP, ARCHIVE, BUCKET, COHORT, PUBLIC, RESULTS, Sb

same_sandbox = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def counters(task: dict[str, Any]) -> dict[str, int]:
    status = task["execution_status"]
    return {name: status[name] for name in ("queued", "running", "completed", "failed", "aborted")}


# Apps


def test_apps_and_their_revisions(sb: Sb) -> None:
    listed = sb.ok("GET", f"/apps?project={COHORT}")["items"]
    assert set(listed[0]) == {"href", "id", "name", "project"}
    latest = sb.ok("GET", f"/apps/{APP}?fields=id,revision,latest_revision")
    assert latest == {"id": f"{APP}/3", "revision": 3, "latest_revision": 3}
    assert sb.ok("GET", f"/apps/{APP}/1")["revision"] == 1
    assert sb.ok("GET", f"/apps/{APP}/1/raw")["sbg:id"] == f"{APP}/1"
    assert sb.refused("GET", f"/apps/{APP}/9") == (404, 6002)
    public = sb.ok("GET", "/apps?visibility=PUBLIC")["items"]
    assert [item["project"] for item in public] == [PUBLIC]


def test_an_app_is_copied_once(sb: Sb) -> None:
    path = f"/apps/{PUBLIC}/fastqc/actions/copy"
    copied = sb.ok("POST", path, {"project": RESULTS})
    assert (copied["project"], copied["copy_of"]) == (RESULTS, f"{PUBLIC}/fastqc/0")
    assert sb.refused("POST", path, {"project": RESULTS}) == (409, 6003)
    assert sb.ok("POST", path, {"project": RESULTS, "name": "other"})["name"] == "other"


# Drafts


def test_a_draft_is_made_edited_and_deleted(sb: Sb) -> None:
    reads = sb.ids(ARCHIVE, 2)
    draft = sb.ok("POST", "/tasks", sb.task_body(reads, description=None))
    assert (draft["status"], draft["app"], draft["errors"]) == ("DRAFT", f"{APP}/3", [])
    assert (draft["outputs"], draft["start_time"], draft["batch"]) == ({"quant": None}, None, False)
    path = f"/tasks/{draft['id']}"
    edited = sb.ok("PATCH", path, {"name": "new", "inputs": {"threads": 8}, "app": f"{APP}/1"})
    assert (edited["name"], edited["inputs"]["threads"], edited["app"]) == ("new", 8, f"{APP}/1")
    assert len(edited["inputs"]["reads"]) == 2
    assert sb.ok("PATCH", f"{path}/inputs", {"threads": 2})["threads"] == 2
    assert sb.ok("GET", f"{path}/inputs") == sb.task(draft["id"])["inputs"]
    assert sb.send("DELETE", path).status_code == 204
    assert sb.refused("GET", path) == (404, 7002)


def test_wrong_inputs_leave_a_draft_with_errors_behind(sb: Sb) -> None:
    cohort_file = sb.ids(COHORT, 1)[0]
    for inputs, culprit in (
        ({}, "reads"),
        ({"reads": {"class": "File", "path": sb.ids(ARCHIVE, 1)[0]}}, "reads"),
        ({"reads": [{"class": "File", "path": "0" * 24}]}, "reads"),
        ({"reads": [{"class": "File", "path": cohort_file}]}, "reads"),
        ({"reads": ["text"]}, "reads"),
    ):
        draft = sb.ok("POST", "/tasks?action=run", sb.task_body([]) | {"inputs": inputs})
        assert draft["status"] == "DRAFT"
        assert {error["input_id"] for error in draft["errors"]} == {culprit}
        assert draft["errors"][0]["type"].startswith("error/task_validation")
        assert sb.refused("POST", f"/tasks/{draft['id']}/actions/run") == (400, 7024)
    unknown = sb.task_body(sb.ids(ARCHIVE, 2))
    unknown["inputs"]["colour"] = "red"
    assert sb.ok("POST", "/tasks", unknown)["warnings"][0]["input_id"] == "colour"
    assert "tasks_started" not in sb.effects


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": " "}, (400, 90000)),
        ({"project": "labuser/none"}, (404, 3002)),
        ({"app": None}, (400, 7015)),
        ({"app": "nothing"}, (400, 6011)),
        ({"app": "labuser/rnaseq-cohort/none"}, (404, 6002)),
        ({"inputs": []}, (400, 7012)),
        ({"batch_input": "reads"}, (400, 7023)),
        ({"batch_by": {"type": "ITEM"}}, (400, 7023)),
        ({"batch_input": "", "batch_by": {"type": "ITEM"}}, (400, 7018)),
        ({"batch_input": "reads", "batch_by": {"type": "CRITERIA"}}, (400, 7019)),
        ({"batch_input": "reads", "batch_by": {"type": "colour"}}, (400, 7020)),
    ],
)
def test_tasks_are_checked_when_they_are_made(sb: Sb, change: dict[str, Any], error: tuple[int, int]) -> None:
    assert sb.refused("POST", "/tasks", sb.task_body(sb.ids(ARCHIVE, 2)) | change) == error
    assert sb.effects == {}


def test_wrong_actions_in_the_query(sb: Sb) -> None:
    single = sb.task_body(sb.ids(ARCHIVE, 2))
    assert sb.refused("POST", "/tasks?action=jump", single) == (400, 7009)
    assert sb.refused("POST", "/tasks?batch=false", single) == (400, 7021)
    assert sb.refused("POST", "/tasks?action=run&batch=False", single) == (400, 7022)
    unbatched = sb.ok("POST", "/tasks?action=run&batch=False", sb.batch_body(sb.ids(ARCHIVE, 2)))
    assert (unbatched["batch"], unbatched["status"]) == (False, "QUEUED")
    assert sb.ok("POST", "/tasks?run=true", single)["status"] == "QUEUED"


# A single task


def test_a_task_is_queued_runs_and_leaves_an_output(sb: Sb) -> None:
    reads = sb.ids(ARCHIVE, 2)
    task = sb.ok("POST", "/tasks?action=run", sb.task_body(reads))
    assert (task["status"], task["start_time"]) == ("QUEUED", None)
    sb.sandbox.advance(31)
    running = sb.task(task["id"])
    assert (running["status"], running["execution_status"]["steps_completed"]) == ("RUNNING", 1)
    assert sb.ok("GET", f"/tasks/{task['id']}/execution_details")["jobs"][0]["status"] == "RUNNING"
    sb.sandbox.advance(300)
    done = sb.task(task["id"])
    assert done["status"] == "COMPLETED"
    assert 190_000 < done["execution_status"]["running_duration"] < 290_000
    assert done["execution_status"]["queued_duration"] == 30_000
    assert done["price"]["amount"] > 0
    made = sb.ok("GET", f"/files/{done['outputs']['quant']['path']}")
    assert (made["name"], made["origin"]) == ("salmon.quant.sf", {"task": task["id"]})
    assert made["metadata"] == {"sample_id": "S0001"}
    assert [item["id"] for item in sb.files(ARCHIVE, **{"origin.task": task["id"]})] == [made["id"]]


def test_logs_lead_to_a_download(sb: Sb) -> None:
    sb.configure(instant=True)
    task = sb.ok("POST", "/tasks?action=run", sb.task_body(sb.ids(ARCHIVE, 2)))
    details = sb.ok("GET", f"/tasks/{task['id']}/execution_details")
    log = details["jobs"][0]["logs"]["job.err.log"]
    assert sb.session.get(sb.ok("GET", log)["url"], timeout=5).status_code == 200


def test_what_is_possible_in_each_state(sb: Sb) -> None:
    task = sb.ok("POST", "/tasks", sb.task_body(sb.ids(ARCHIVE, 2)))
    path = f"/tasks/{task['id']}"
    assert sb.refused("POST", f"{path}/actions/abort") == (400, 7011)
    assert sb.ok("POST", f"{path}/actions/run")["status"] == "QUEUED"
    for _ in range(2):
        assert sb.refused("POST", f"{path}/actions/run") == (403, 7007)
        assert sb.refused("DELETE", path) == (403, 7007)
        assert sb.refused("PATCH", path, {"description": "x"}) == (403, 7026)
        assert sb.refused("PATCH", f"{path}/inputs", {"threads": 1}) == (403, 7026)
        assert sb.ok("PATCH", path, {"name": "renamed"})["name"] == "renamed"
        sb.sandbox.advance(1000)
    assert sb.task(task["id"])["status"] == "COMPLETED"
    assert sb.refused("POST", f"{path}/actions/abort") == (400, 7011)


def test_an_abort_takes_a_moment(sb: Sb) -> None:
    task = sb.ok("POST", "/tasks?action=run", sb.task_body(sb.ids(ARCHIVE, 2)))
    sb.sandbox.advance(40)
    assert sb.ok("POST", f"/tasks/{task['id']}/actions/abort")["status"] == "ABORTING"
    sb.sandbox.advance(6)
    assert sb.task(task["id"])["status"] == "ABORTED"
    sb.sandbox.advance(1000)
    assert sb.task(task["id"])["outputs"] == {"quant": None}
    assert sb.sandbox.state.sb.runs.running == 0


def test_a_failed_task_and_its_clone(sb: Sb) -> None:
    sb.configure(instant=True, fail_tasks="salmon")
    failed = sb.ok("POST", "/tasks?action=run", sb.task_body(sb.ids(ARCHIVE, 2)))
    assert (failed["status"], failed["outputs"]["quant"]) == ("FAILED", None)
    sb.configure(fail_tasks=None)
    draft = sb.ok("POST", f"/tasks/{failed['id']}/actions/clone")
    assert (draft["status"], draft["inputs"]) == ("DRAFT", failed["inputs"])
    again = sb.ok("POST", f"/tasks/{failed['id']}/actions/clone?action=run")
    assert again["status"] == "COMPLETED"
    assert len({failed["id"], draft["id"], again["id"]}) == 3


def test_outputs_go_where_the_task_says(sb: Sb) -> None:
    sb.configure(instant=True)
    reads = sb.ids(ARCHIVE, 2)
    inside = sb.task_body(reads, output_location={"main_location": "/results/<task_name>"})
    task = sb.ok("POST", "/tasks?action=run", inside)
    made = sb.ok("GET", f"/files/{task['outputs']['quant']['path']}")
    folder = sb.ok("GET", f"/files/{made['parent']}")
    assert (folder["name"], sb.ok("GET", f"/files/{folder['parent']}")["name"]) == ("salmon", "results")
    outside = {"main_location": f"volumes://{BUCKET}/out/<task_id>", "main_location_alias": "/aliases"}
    task = sb.ok("POST", "/tasks?action=run", sb.task_body(reads, output_location=outside))
    made = sb.ok("GET", f"/files/{task['outputs']['quant']['path']}")
    assert made["storage"]["location"] == f"out/{task['id']}/salmon.quant.sf"
    assert sb.ok("GET", f"/storage/volumes/{BUCKET}/object", params={"location": made["storage"]["location"]})
    nowhere = {"main_location": "volumes://none/out"}
    assert sb.ok("POST", "/tasks?action=run", sb.task_body(reads, output_location=nowhere))["status"] == "FAILED"


# Batches


def test_a_batch_by_criteria_from_creation_to_its_end(sb: Sb) -> None:
    sb.configure(batch_failed_children=1)
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(sb.ids(ARCHIVE, 20)))
    assert (parent["status"], parent["batch"], sb.children(parent["id"])) == ("CREATING", True, [])
    assert parent["batch_by"] == {"type": "CRITERIA", "criteria": ["metadata.sample_id"]}
    sb.sandbox.advance(9)
    parent = sb.task(parent["id"])
    assert parent["status"] == "QUEUED"
    assert counters(parent) == {"queued": 10, "running": 0, "completed": 0, "failed": 0, "aborted": 0}
    children = sb.children(parent["id"])
    assert [child["batch_group"]["value"] for child in children] == [f"S{n:04d}" for n in range(1, 11)]
    assert children[0]["batch_group"]["fields"] == {"metadata.sample_id": "S0001"}
    assert all(child["parent"] == parent["id"] and len(child["inputs"]["reads"]) == 2 for child in children)
    sb.sandbox.advance(30)
    assert sb.task(parent["id"])["status"] == "RUNNING"
    assert 0 < counters(sb.task(parent["id"]))["running"] < 10
    sb.sandbox.advance(600)
    parent = sb.task(parent["id"])
    assert (parent["status"], counters(parent)["completed"], counters(parent)["failed"]) == ("COMPLETED", 9, 1)
    statuses = [child["status"] for child in sb.children(parent["id"])]
    assert statuses == ["FAILED"] + ["COMPLETED"] * 9
    assert sb.ok("GET", f"/tasks/{parent['id']}/execution_details")["jobs"] == []
    second = sb.children(parent["id"])[1]
    made = sb.ok("GET", f"/files/{second['outputs']['quant']['path']}")
    assert (made["name"], made["metadata"]) == ("S0002.quant.sf", {"sample_id": "S0002"})


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_the_parent_of_a_partly_failed_batch(sb: Sb, status: str) -> None:
    sb.configure(instant=True, fail_tasks="S0002", batch_parent_on_partial_failure=status)
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(sb.ids(ARCHIVE, 6)))
    assert parent["status"] == status
    assert counters(parent) == {"queued": 0, "running": 0, "completed": 2, "failed": 1, "aborted": 0}
    failed = sb.children(parent["id"], status="FAILED")
    assert [child["batch_group"]["value"] for child in failed] == ["S0002"]
    clone = sb.ok("POST", f"/tasks/{failed[0]['id']}/actions/clone")
    assert "parent" not in clone


def test_a_batch_by_item_has_a_child_per_file(sb: Sb) -> None:
    sb.configure(instant=True)
    body = sb.task_body(sb.ids(ARCHIVE, 3), batch_input="reads", batch_by={"type": "item"})
    parent = sb.ok("POST", "/tasks?action=run", body)
    children = sb.children(parent["id"])
    assert [len(child["inputs"]["reads"]) for child in children] == [1, 1, 1]
    assert children[0]["batch_group"]["value"] == "S0001_R1.fastq.gz"


def test_files_without_the_criterion(sb: Sb) -> None:
    sb.configure(instant=True)
    ids = sb.ids(ARCHIVE, 4)
    for file_id in ids[2:]:
        sb.ok("PUT", f"/files/{file_id}/metadata", {})
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(ids))
    assert [child["batch_group"]["value"] for child in sb.children(parent["id"])] == ["S0001", ""]
    sb.configure(missing_criterion="skip")
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(ids))
    assert [child["batch_group"]["value"] for child in sb.children(parent["id"])] == ["S0001"]


def test_two_criteria_group_by_both(sb: Sb) -> None:
    sb.configure(instant=True)
    body = sb.batch_body(sb.ids(ARCHIVE, 4))
    body["batch_by"]["criteria"].append("metadata.paired_end")
    parent = sb.ok("POST", "/tasks?action=run", body)
    values = [child["batch_group"]["value"] for child in sb.children(parent["id"])]
    assert values == ["S0001, 1", "S0001, 2", "S0002, 1", "S0002, 2"]


def test_children_can_appear_while_the_batch_is_being_created(sb: Sb) -> None:
    sb.configure(children_while_creating="growing", batch_creating_seconds=10.0)
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(sb.ids(ARCHIVE, 20)))
    sb.sandbox.advance(5.5)
    assert sb.task(parent["id"])["status"] == "CREATING"
    assert len(sb.children(parent["id"])) == 5
    sb.sandbox.advance(5)
    assert len(sb.children(parent["id"])) == 10


def test_a_batch_is_aborted_with_its_unfinished_children(sb: Sb) -> None:
    sb.configure(max_parallel_children=2)
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(sb.ids(ARCHIVE, 12)))
    sb.sandbox.advance(340)
    before = counters(sb.task(parent["id"]))
    assert before["completed"] >= 1
    assert before["running"] <= 2
    assert sb.ok("POST", f"/tasks/{parent['id']}/actions/abort")["status"] == "ABORTING"
    sb.sandbox.advance(10)
    after = sb.task(parent["id"])
    assert after["status"] == "ABORTED"
    assert counters(after)["completed"] == before["completed"]
    assert counters(after)["aborted"] == 6 - before["completed"]


def test_a_batch_can_be_aborted_before_it_has_children(sb: Sb) -> None:
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(sb.ids(ARCHIVE, 12)))
    sb.ok("POST", f"/tasks/{parent['id']}/actions/abort")
    sb.sandbox.advance(100)
    assert (sb.task(parent["id"])["status"], sb.children(parent["id"])) == ("ABORTED", [])


def test_batches_can_be_limited(sb: Sb) -> None:
    sb.configure(max_batch_children=5)
    draft = sb.ok("POST", "/tasks", sb.batch_body(sb.ids(ARCHIVE, 12)))
    assert sb.refused("POST", f"/tasks/{draft['id']}/actions/run") == (400, 90000)
    assert sb.task(draft["id"])["status"] == "DRAFT"


def test_a_default_batch_of_the_app_is_used_unless_it_is_switched_off(sb: Sb) -> None:
    app = {"id": "labuser/p/app", "inputs": {"reads": "File[]"}, "outputs": {"o": "{stem}.txt"}}
    app["batch"] = {"input": "reads", "by": {"type": "ITEM"}}
    files = [{"name": f"f{number}"} for number in range(3)]
    sb.sandbox.reset({"sb": {"projects": [{"id": "labuser/p", "name": "P", "files": files}], "apps": [app]}})
    sb.configure(instant=True)
    body = sb.task_body(sb.ids("labuser/p"), project="labuser/p", app="labuser/p/app")
    batch = sb.ok("POST", "/tasks?action=run", body)
    assert (batch["batch"], len(sb.children(batch["id"]))) == (True, 3)
    assert sb.ok("POST", "/tasks?action=run&batch=false", body)["batch"] is False
    assert sb.ok("POST", "/tasks?action=run", body | {"batch": False})["batch"] is False


def test_the_account_can_run_only_so_many_tasks(sb: Sb) -> None:
    sb.configure(instance_limit=2)
    tasks = [sb.ok("POST", "/tasks?action=run", sb.task_body(sb.ids(ARCHIVE, 2)))["id"] for _ in range(3)]
    sb.sandbox.advance(31)
    now = [sb.task(task_id) for task_id in tasks]
    assert [task["status"] for task in now] == ["RUNNING", "RUNNING", "QUEUED"]
    assert now[2]["execution_status"]["account_limit"] is True
    assert sb.ok("GET", "/rate_limit")["instance_limit"] == {"limit": 2, "remaining": 0}
    sb.sandbox.advance(300)
    assert [sb.task(task_id)["status"] for task_id in tasks] == ["COMPLETED", "COMPLETED", "RUNNING"]


@same_sandbox
@given(
    samples=st.integers(1, 12),
    parallel=st.one_of(st.none(), st.integers(1, 4)),
    failing=st.integers(0, 3),
    steps=st.lists(st.floats(0.5, 400), max_size=12),
    growing=st.booleans(),
)
def test_counters_always_add_up_and_every_batch_ends(
    sb: Sb, samples: int, parallel: int | None, failing: int, steps: list[float], growing: bool
) -> None:
    sb.reset()
    shown = "growing" if growing else "after"
    sb.configure(max_parallel_children=parallel, batch_failed_children=failing, children_while_creating=shown)
    parent = sb.ok("POST", "/tasks?action=run", sb.batch_body(sb.ids(ARCHIVE, samples * 2)))
    for step in steps:
        sb.sandbox.advance(step)
        now = sb.task(parent["id"])
        children = sb.children(parent["id"])
        assert sum(counters(now).values()) == len(children)
        assert len(children) == samples or now["status"] == "CREATING"
        assert counters(now)["running"] <= (parallel or samples)
    sb.sandbox.advance(100_000)
    now = sb.task(parent["id"])
    assert counters(now)["failed"] == min(failing, samples)
    assert counters(now)["completed"] == samples - min(failing, samples)
    assert now["status"] in ("COMPLETED", "FAILED")
    assert sb.sandbox.state.sb.runs.running == 0


# Lists


def test_tasks_are_filtered_and_ordered(sb: Sb) -> None:
    reads = sb.ids(ARCHIVE, 2)
    ids = []
    for name in ("b", "a", "c"):
        ids.append(sb.ok("POST", "/tasks", sb.task_body(reads, name=name))["id"])
        sb.sandbox.advance(100)
    sb.ok("POST", f"/tasks/{ids[2]}/actions/run")
    page = sb.ok("GET", "/tasks?limit=100")
    assert [item["id"] for item in page["items"]] == ids
    assert set(page["items"][0]) == {"href", "id", "name", "project"}
    ordered = sb.ok("GET", "/tasks?order_by=name&order=desc")["items"]
    assert [item["name"] for item in ordered] == ["c", "b", "a"]
    assert [item["name"] for item in sb.ok("GET", "/tasks?order=desc")["items"]] == ["b", "a", "c"]
    assert [item["id"] for item in sb.ok("GET", "/tasks?status=QUEUED")["items"]] == [ids[2]]
    assert sb.ok("GET", f"/tasks?project={RESULTS}")["items"] == []
    assert sb.ok("GET", "/tasks?batch=True")["items"] == []
    second = sb.task(ids[1])["created_time"]
    later = sb.ok("GET", "/tasks", params={"created_from": second})["items"]
    assert [item["id"] for item in later] == ids[1:]
    assert sb.refused("GET", "/tasks?created_from=yesterday") == (400, 90000)
    assert sb.refused("GET", "/tasks?order_by=colour") == (400, 90000)


def test_bulk_get_of_tasks(sb: Sb) -> None:
    task = sb.ok("POST", "/tasks", sb.task_body(sb.ids(ARCHIVE, 2)))
    asked = [task["id"], "00000000-0000-4000-8000-000000000000", "none"]
    items = sb.ok("POST", "/bulk/tasks/get?fields=resource.id,resource.status", {"task_ids": asked})["items"]
    assert items[0] == {"resource": {"id": task["id"], "status": "DRAFT"}}
    assert [item["error"]["code"] for item in items[1:]] == [7002, 7005]


def test_a_status_nobody_knows(sb: Sb) -> None:
    task = sb.ok("POST", "/tasks", sb.task_body(sb.ids(ARCHIVE, 2)))
    sb.sandbox.app.halves["sb"].edit("task", task["id"], {"status": "PONDERING"})
    assert sb.task(task["id"])["status"] == "PONDERING"
