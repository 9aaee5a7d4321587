"""The vendor's own Python client runs unchanged against the sandbox, and costs what it costs live.

The call counts are those of the eight cases of the vendor's page about its rate limit: the naive way of each case,
and the way the page recommends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sevenbridges as sbg
from sevenbridges.errors import TaskValidationError, TooManyRequests
from sevenbridges.http.error_handlers import rate_limit_sleeper

from airflow_src_provider.sandbox import Sandbox

SOURCE, TARGET = "labuser/fastq-archive", "labuser/rnaseq-cohort"
APP = "labuser/rnaseq-cohort/salmon-workflow"
BUCKET = "labuser/cohort_bucket"


def seed_of(samples: int, project: str = SOURCE) -> dict[str, Any]:
    """A world whose ``project`` and bucket hold two files of each sample."""
    apps = {"id": APP, "inputs": {"reads": "File[]", "threads": "int?"}, "outputs": {"quant": "{stem}.quant.sf"}}
    projects = [{"id": name, "name": name} for name in (SOURCE, TARGET)]
    for entry in projects:
        if entry["id"] == project:
            entry["fastq"] = {"samples": samples, "metadata": True}  # type: ignore[assignment]
    bucket = {"id": BUCKET, "fastq": {"samples": samples, "prefix": "run1/"}}
    return {"sb": {"projects": projects, "volumes": [bucket], "apps": [apps]}}


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    yield served
    served.reset({})
    served.configure(sb={"limits": False, "limit": 1000, "instant": False})


@pytest.fixture
def api(sandbox: Sandbox) -> sbg.Api:
    return sbg.Api(url=sandbox.sb_url, token=sandbox.tokens["labuser"], debug=True, advance_access=True)


def calls(sandbox: Sandbox) -> int:
    return int(sandbox.counters()["requests"].get("sb", 0))


def files_of(api: sbg.Api, project: str, limit: int | None = 100) -> list[Any]:
    return list(api.files.query(project=project, limit=limit).all())


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), 100):
        yield items[start : start + 100]


def effects(sandbox: Sandbox) -> dict[str, int]:
    return dict(sandbox.counters()["effects"]["sb"])


# The naive way, one object at a time. The counts grow with N, so 60 files tell as much as 1000.


def naive_submit(api: sbg.Api, ids: list[str]) -> None:
    for number, file_id in enumerate(ids):
        reads = [sbg.models.file.File(id=file_id, type="file", api=api)]
        api.tasks.create(name=f"task {number}", project=SOURCE, app=APP, inputs={"reads": reads}, run=True)


def naive_copy(api: sbg.Api, ids: list[str]) -> None:
    for file_id in ids:
        api.files.get(file_id).copy(TARGET)


def naive_import(api: sbg.Api, ids: list[str]) -> None:
    volume = sbg.models.volume.Volume(id=BUCKET, api=api)
    for number in range(len(ids)):
        location = f"run1/S{number // 2 + 1:04d}_R{number % 2 + 1}.fastq.gz"
        api.imports.submit_import(volume=volume, location=location, project=TARGET)


def naive_metadata(api: sbg.Api, ids: list[str]) -> None:
    for file in files_of(api, SOURCE, limit=None):
        file.metadata["library"] = "lib-1"
        file.save()


def naive_delete(api: sbg.Api, ids: list[str]) -> None:
    for file_id in ids:
        api.files.get(file_id).delete()


def naive_export(api: sbg.Api, ids: list[str]) -> None:
    for file_id in ids:
        file = api.files.get(file_id)
        api.exports.submit_export(file=file, volume=BUCKET, location=f"out/{file.name}", copy_only=True)


@pytest.mark.parametrize(
    ("way", "cost", "effect"),
    [
        (naive_submit, 60, "tasks_started"),
        (naive_copy, 120, "files_copied"),
        (naive_import, 60, "imports_created"),
        (naive_metadata, 3 + 120, "files_edited"),
        (naive_delete, 120, "files_deleted"),
        (naive_export, 120, "exports_created"),
    ],
)
def test_the_naive_way_costs_calls_in_proportion(
    sandbox: Sandbox, api: sbg.Api, way: Callable[[sbg.Api, list[str]], None], cost: int, effect: str
) -> None:
    sandbox.reset(seed_of(30))
    ids = [node.id for node in sandbox.state.sb.store.walk(root_of(sandbox, SOURCE))]
    way(api, ids)
    assert calls(sandbox) == cost
    assert effects(sandbox)[effect] == 60


def root_of(sandbox: Sandbox, project: str) -> Any:
    store = sandbox.state.sb.store
    return store.nodes[store.projects[project].root]


# The recommended way, with the full 1000 files.


def submit_as_batch(api: sbg.Api) -> None:
    reads = files_of(api, SOURCE)
    by = {"type": "CRITERIA", "criteria": ["metadata.sample_id"]}
    api.tasks.create(
        name="cohort", project=SOURCE, app=APP, inputs={"reads": reads}, batch_input="reads", batch_by=by, run=True
    )


def copy_in_bulk(api: sbg.Api) -> None:
    for part in chunks(files_of(api, SOURCE)):
        done = api.actions.bulk_copy_files(files=[file.id for file in part], destination_project=TARGET)
        assert {entry["status"] for entry in done.values()} == {"OK"}


def import_in_bulk(api: sbg.Api) -> None:
    volume = api.volumes.get(BUCKET)
    objects = list(volume.list(prefix="run1/", limit=100).all())
    for part in chunks(objects):
        wanted = [{"volume": volume, "location": entry.location, "project": TARGET} for entry in part]
        assert all(record.valid for record in api.imports.bulk_submit(imports=wanted))


def edit_in_bulk(api: sbg.Api) -> None:
    for part in chunks(files_of(api, SOURCE)):
        for file in part:
            file.metadata["library"] = "lib-1"
        assert all(record.valid for record in api.files.bulk_edit(files=part))


def delete_in_bulk(api: sbg.Api) -> None:
    for part in chunks(files_of(api, SOURCE)):
        assert all(record.valid for record in api.files.bulk_delete(files=part))


def export_in_bulk(api: sbg.Api) -> None:
    for part in chunks(files_of(api, SOURCE)):
        wanted = [{"file": file, "volume": BUCKET, "location": f"out/{file.name}"} for file in part]
        assert all(record.valid for record in api.exports.bulk_submit(exports=wanted, copy_only=True))


@pytest.mark.parametrize(
    ("way", "cost", "effect", "count"),
    [
        (submit_as_batch, 12, "tasks_started", 1),
        (copy_in_bulk, 21, "files_copied", 1000),
        (import_in_bulk, 22, "imports_created", 1000),
        (edit_in_bulk, 21, "files_edited", 1000),
        (delete_in_bulk, 21, "files_deleted", 1000),
        (export_in_bulk, 21, "exports_created", 1000),
    ],
)
def test_the_recommended_way_handles_a_thousand_files_in_a_few_calls(
    sandbox: Sandbox, api: sbg.Api, way: Callable[[sbg.Api], None], cost: int, effect: str, count: int
) -> None:
    sandbox.reset(seed_of(500))
    way(api)
    assert calls(sandbox) == cost
    assert effects(sandbox)[effect] == count


def test_a_batch_of_known_files_is_one_call(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(500))
    ids = [node.id for node in sandbox.state.sb.store.walk(root_of(sandbox, SOURCE))]
    reads = [sbg.models.file.File(id=file_id, type="file", api=api) for file_id in ids]
    by = {"type": "CRITERIA", "criteria": ["metadata.sample_id"]}
    task = api.tasks.create(
        name="cohort", project=SOURCE, app=APP, inputs={"reads": reads}, batch_input="reads", batch_by=by, run=True
    )
    assert (task.status, calls(sandbox)) == ("CREATING", 1)


@pytest.mark.parametrize(("limit", "cost"), [(None, 21), (100, 11)])
def test_walking_results(sandbox: Sandbox, api: sbg.Api, limit: int | None, cost: int) -> None:
    sandbox.reset(seed_of(500))
    names = [file.name for file in files_of(api, SOURCE, limit)]
    assert len(set(names)) == 1000
    assert calls(sandbox) == cost


def find_by_walking(api: sbg.Api, limit: int | None) -> list[str]:
    return [project.id for project in api.projects.query(limit=limit).all() if project.name == "Cohort 0777"]


def test_finding_one_project_among_a_thousand(sandbox: Sandbox, api: sbg.Api) -> None:
    projects = [{"id": f"labuser/cohort-{n:04d}", "name": f"Cohort {n:04d}"} for n in range(1000)]
    for limit, cost in ((None, 21), (100, 11)):
        sandbox.reset({"sb": {"projects": projects}})
        assert find_by_walking(api, limit) == ["labuser/cohort-0777"]
        assert calls(sandbox) == cost
    sandbox.reset({"sb": {"projects": projects}})
    assert [project.id for project in api.projects.query(name="cohort 0777")] == ["labuser/cohort-0777"]
    assert calls(sandbox) == 1
    assert [project.name for project in api.projects.query(name="cohort 0777").all()] == ["Cohort 0777"]
    assert calls(sandbox) == 1 + 2


# Polling, per round


def test_polling_a_thousand_jobs_in_bulk_takes_ten_calls(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(500))
    sandbox.configure(sb={"instant": True})
    import_in_bulk(api)
    jobs = [job.id for job in api.imports.query(limit=100).all()]
    before = calls(sandbox)
    done = [record.resource for part in chunks(jobs) for record in api.imports.bulk_get(imports=part)]
    assert {job.state for job in done} == {"COMPLETED"}
    assert calls(sandbox) == before + 10
    assert done[0].result.size > 0
    assert calls(sandbox) == before + 10


def test_polling_a_batch_of_many_children(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(500))
    sandbox.configure(sb={"instant": True})
    submit_as_batch(api)
    parent = api.tasks.query(project=SOURCE, batch=True)[0]
    before = calls(sandbox)
    counted = api.tasks.get(parent.id)
    assert counted.execution_status.completed == 500
    assert calls(sandbox) == before + 1
    children = list(counted.get_batch_children(limit=100).all())
    assert {child.status for child in children} == {"COMPLETED"}
    assert children[0].batch_group.value == "S0001"
    assert calls(sandbox) == before + 1 + 6


# The rest of the client


def test_files_and_folders(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(2))
    file = api.files.query(project=SOURCE, names=["S0001_R1.fastq.gz"])[0]
    assert file.metadata["sample_id"] == "S0001"
    folder = api.files.create_folder(name="results", project=TARGET)
    copied = file.copy_to_folder(parent=folder, name="first.fastq.gz")
    assert (copied.parent, copied.project) == (folder.id, TARGET)
    assert [found.name for found in folder.list_files()] == ["first.fastq.gz"]
    copied.tags = ["raw"]
    copied.name = "renamed.fastq.gz"
    copied.save()
    assert api.files.get(copied.id).tags == ["raw"]
    assert b"renamed.fastq.gz" in b"".join(copied.stream())
    missing = api.files.bulk_get(files=["0" * 24, copied.id])
    assert [record.valid for record in missing] == [False, True]
    assert missing[0].error.code == 5002


def test_scrolling(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(20))
    names = [file.name for file in api.files.query(project=SOURCE, cont_token="init", limit=10).all()]
    assert len(set(names)) == 40


def test_asynchronous_jobs(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(1))
    sandbox.configure(sb={"instant": True})
    file = files_of(api, SOURCE)[0]
    job = api.async_jobs.file_bulk_copy(files=[{"file": file.id, "project": TARGET, "name": "new.fastq.gz"}])
    assert (job.state, job.type, job.completed_files) == ("FINISHED", "COPY", 1)
    assert api.async_jobs.get_file_copy_job(job.id).get_result()[0].resource.name == "new.fastq.gz"
    assert [found.id for found in api.async_jobs.list_file_jobs()] == [job.id]


def test_a_task_from_draft_to_logs(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset(seed_of(1))
    sandbox.configure(sb={"instant": True})
    reads = files_of(api, SOURCE)
    with pytest.raises(TaskValidationError) as caught:
        api.tasks.create(name="no reads", project=SOURCE, app=APP, inputs={"threads": 4}, run=True)
    assert caught.value.task.status == "DRAFT"
    assert caught.value.task.errors[0]["input_id"] == "reads"
    task = api.tasks.create(name="one", project=SOURCE, app=APP, inputs={"reads": reads})
    assert task.status == "DRAFT"
    task.name = "one, renamed"
    task.save()
    task.run()
    assert (task.status, task.name) == ("COMPLETED", "one, renamed")
    assert task.outputs["quant"].name == "one_renamed.quant.sf"
    assert task.get_execution_details().jobs[0].status == "COMPLETED"
    assert [record.resource.status for record in api.tasks.bulk_get(tasks=[task])] == ["COMPLETED"]
    assert task.clone(run=False).status == "DRAFT"
    made = api.files.query(project=SOURCE, origin={"task": task.id})
    assert [file.name for file in made] == ["one_renamed.quant.sf"]


def test_projects_volumes_apps_and_account(sandbox: Sandbox, api: sbg.Api) -> None:
    sandbox.reset()
    group = api.billing_groups.query()[0]
    project = api.projects.create(name="New cohort", billing_group=group.id)
    assert project.id == "labuser/new-cohort"
    project.add_member("guest", permissions={"read": True, "copy": False})
    assert {member.username for member in project.get_members()} == {"labuser", "guest"}
    project.delete()
    assert api.projects.query(name="New cohort").total == 0
    volume = api.volumes.create_s3_volume("new_bucket", "lab-new", "key-id", "not-shown", "RW")
    assert "secret_access_key" not in volume.service["credentials"]
    assert [found.prefix for found in api.volumes.get(BUCKET).list().prefixes] == ["run1/"]
    app = api.apps.query(project=TARGET)[0]
    assert (app.id, app.revision) == (APP, 3)
    public = api.apps.query(visibility="PUBLIC")[0]
    assert public.copy(project=TARGET).id == "labuser/rnaseq-cohort/fastqc"
    assert api.users.me().username == "labuser"
    assert (api.limit, api.remaining) == (1000, 1000)


def test_the_sleeper_of_the_client_waits_for_the_reset(sandbox: Sandbox) -> None:
    sandbox.configure(sb={"limits": True, "limit": 3, "window": 1.0})
    token = sandbox.tokens["labuser"]
    patient = sbg.Api(url=sandbox.sb_url, token=token, debug=True, error_handlers=[rate_limit_sleeper])
    hasty = sbg.Api(url=sandbox.sb_url, token=token, debug=True)
    for _ in range(3):
        patient.users.me()
    with pytest.raises(TooManyRequests) as caught:
        hasty.users.me()
    assert caught.value.code == 1000
    assert patient.users.me().username == "labuser"
    sandbox.configure(sb={"window": 300.0})
