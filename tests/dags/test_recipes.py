"""The eight recipes, run by Airflow against the sandbox: what they do, and what they cost."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.seven_bridges.seed import DEFAULT_SEED
from tests.dags.runs import Run, be_quick

SAMPLES = 60
FILES = 2 * SAMPLES
CHUNKS = 2
ARCHIVE, RESULTS, BUCKET = "labuser/fastq-archive", "labuser/rnaseq-results", "labuser/cohort_bucket"
LOOKS = ("POST bulk/storage/imports/get", "POST bulk/storage/exports/get", "POST bulk/tasks/get", "GET tasks")


@pytest.fixture(autouse=True)
def _few_files(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave so many files that one call does not hold them."""
    be_quick(sandbox, monkeypatch)
    seed: dict[str, Any] = copy.deepcopy(DEFAULT_SEED)
    for place in (*seed["projects"], *seed["volumes"]):
        if "fastq" in place:
            place["fastq"]["samples"] = SAMPLES
    sandbox.reset({"sb": seed})


def calls(sandbox: Sandbox, since: int = 0) -> dict[str, int]:
    """Return the requests but looks at running work, ids left out."""
    found: Counter[str] = Counter()
    for entry in sandbox.journal(since):
        parts = ["<id>" if len(part) in (24, 36) else part for part in entry["path"].split("/")[2:]]
        found[f"{entry['method']} {'/'.join(parts)}"] += 1
    return {call: number for call, number in found.items() if call not in LOOKS}


def effects(sandbox: Sandbox) -> dict[str, int]:
    return dict(sandbox.counters()["effects"].get("sb", {}))


def files_of(sandbox: Sandbox, project: str) -> list[Any]:
    return [node for node in sandbox.state.sb.store.nodes.values() if node.project == project and not node.is_folder]


def test_1_one_call_starts_a_child_for_each_sample(sandbox: Sandbox) -> None:
    run = Run("recipe_1_submit_tasks")
    assert run.state == "success"
    assert run.result("salmon")["completed"] == SAMPLES
    app = "GET apps/labuser/rnaseq-cohort/salmon-workflow/raw"
    assert calls(sandbox) == {"GET files": CHUNKS, app: 1, "POST tasks": 1}


@pytest.mark.parametrize(("failing", "state"), [(1, "success"), (2, "failed")])
def test_1_some_samples_may_fail(sandbox: Sandbox, failing: int, state: str) -> None:
    sandbox.configure(sb={"batch_failed_children": failing})
    run = Run("recipe_1_submit_tasks")
    assert run.state == state
    assert run.result("salmon")["failed"] == failing


def test_2_copies_are_made_once(sandbox: Sandbox) -> None:
    assert Run("recipe_2_copy_files").result("copy")["copied"] == FILES
    assert calls(sandbox) == {"GET files": CHUNKS + 1, "POST action/files/copy": CHUNKS}
    again = Run("recipe_2_copy_files")
    assert (again.state, again.result("copy")["skipped"]) == ("success", FILES)
    assert len(files_of(sandbox, RESULTS)) == effects(sandbox)["files_copied"] == FILES


def test_3_files_are_imported_once(sandbox: Sandbox) -> None:
    assert Run("recipe_3_import_files").result("import")["imported"] == FILES
    assert calls(sandbox) == {
        f"GET storage/volumes/{BUCKET}/list": CHUNKS,
        "POST bulk/storage/imports/create": CHUNKS,
    }
    again = Run("recipe_3_import_files")
    assert (again.state, again.result("import")["skipped"]) == ("success", FILES)
    assert effects(sandbox)["files_imported"] == FILES


def test_4_metadata_comes_from_the_names(sandbox: Sandbox) -> None:
    assert Run("recipe_4_set_metadata").result("label")["updated"] == FILES
    assert calls(sandbox) == {"GET files": CHUNKS, "POST bulk/files/edit": CHUNKS}
    metadata = {node.name: node.metadata for node in files_of(sandbox, ARCHIVE)}
    assert metadata["S0007_R2.fastq.gz"] == {"sample_id": "S0007", "paired_end": "2", "library_id": "S0007-lib1"}
    before = len(sandbox.journal())
    assert Run("recipe_4_set_metadata").result("label")["unchanged"] == FILES
    assert calls(sandbox, before) == {"GET files": CHUNKS}


def test_5_nothing_is_deleted_before_it_was_looked_at(sandbox: Sandbox) -> None:
    samples = ["S0001", "S0002"]
    assert len(Run("recipe_5_delete_files", sample=samples).result("delete")["file_ids"]) == 4
    assert effects(sandbox) == {}
    for deleted in (4, 0):
        run = Run("recipe_5_delete_files", sample=samples, preview=False)
        assert (run.state, run.result("delete")["deleted"]) == ("success", deleted)
    assert calls(sandbox) == {"GET files": 3, "POST bulk/files/delete": 1}
    assert len(files_of(sandbox, ARCHIVE)) == FILES - 4


def test_6_files_are_exported_and_stay(sandbox: Sandbox) -> None:
    run = Run("recipe_6_export_files")
    assert run.result("export")["exported"] == FILES
    assert calls(sandbox) == {"GET files": CHUNKS, "POST bulk/storage/exports/create": CHUNKS}
    volume = sandbox.state.sb.store.volumes[BUCKET]
    assert "archive/S0007/S0007_R2.fastq.gz" in volume.objects
    assert not any(node.is_alias for node in files_of(sandbox, ARCHIVE))
    before = len(sandbox.journal())
    again = Run("recipe_6_export_files")
    assert (again.state, again.result("export")["skipped"]) == ("success", FILES)
    assert effects(sandbox)["files_exported"] == FILES
    # A look at each sample's directory would have cost more.
    assert calls(sandbox, before) == {"GET files": CHUNKS, "POST bulk/storage/exports/create": CHUNKS}


def test_7_one_listing_serves_all_tasks(sandbox: Sandbox) -> None:
    run = Run("recipe_7_walk_results")
    assert run.result("summary") == {"samples": SAMPLES, "unpaired": [], "gigabytes": 181}
    assert calls(sandbox) == {"GET files": CHUNKS}


def test_8_a_project_is_found_by_name(sandbox: Sandbox) -> None:
    run = Run("recipe_8_find_project")
    assert run.state == "success"
    assert (run.result("project")["project"], run.result("files")["count"]) == (ARCHIVE, FILES)
    assert calls(sandbox) == {"GET projects": 1, "GET files": CHUNKS}
