"""Files, folders, bulk calls and asynchronous jobs of the sandbox's Seven Bridges half."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.sb_client import ARCHIVE, BUCKET, COHORT, PUBLIC, RESULTS, Sb

same_sandbox = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def folder(sb: Sb, name: str, **place: str) -> str:
    return str(sb.ok("POST", "/files", {"name": name, "type": "folder"} | place)["id"])


def names(found: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in found]


# Listings


def test_filters_or_within_and_between(sb: Sb) -> None:
    two = sb.ok("GET", f"/files?project={ARCHIVE}&name=S0001_R1.fastq.gz&name=S0002_R1.fastq.gz&name=none")
    assert names(two["items"]) == ["S0001_R1.fastq.gz", "S0002_R1.fastq.gz"]
    assert sb.ok("GET", f"/files?project={ARCHIVE}&name=s0001_r1.fastq.gz")["items"] == []
    query = "metadata.sample_id=S0003&metadata.sample_id=S0004&metadata.paired_end=2"
    assert names(sb.ok("GET", f"/files?project={ARCHIVE}&{query}")["items"]) == [
        "S0003_R2.fastq.gz",
        "S0004_R2.fastq.gz",
    ]
    file_id = sb.ids(ARCHIVE, 1)[0]
    sb.ok("PUT", f"/files/{file_id}/tags", ["raw", "checked"])
    assert [item["id"] for item in sb.ok("GET", f"/files?project={ARCHIVE}&tag=raw&tag=x")["items"]] == [file_id]


def test_a_hundred_names_in_one_call(sb: Sb) -> None:
    wanted = [f"S{number:04d}_R1.fastq.gz" for number in range(1, 101)]
    page = sb.ok("GET", "/files", params={"project": ARCHIVE, "name": wanted, "limit": 100, "fields": "id,name"})
    assert sorted(names(page["items"])) == wanted


def test_a_listing_shows_one_level(sb: Sb) -> None:
    inner = folder(sb, "inner", project=RESULTS)
    file_id = sb.ids(ARCHIVE, 1)[0]
    sb.ok("POST", f"/files/{file_id}/actions/copy", {"parent": inner})
    assert names(sb.ok("GET", f"/files?project={RESULTS}")["items"]) == ["inner"]
    assert names(sb.ok("GET", f"/files?parent={inner}")["items"]) == ["S0001_R1.fastq.gz"]
    assert names(sb.ok("GET", f"/files/{inner}/list")["items"]) == ["S0001_R1.fastq.gz"]
    root = sb.ok("GET", f"/projects/{RESULTS}")["root_folder"]
    assert names(sb.ok("GET", f"/files?parent={root}")["items"]) == ["inner"]
    deep = f"/files?project={RESULTS}&metadata.sample_id=S0001"
    assert sb.ok("GET", deep)["items"] == []
    sb.configure(filters_recursive=True)
    assert names(sb.ok("GET", deep)["items"]) == ["S0001_R1.fastq.gz"]


def test_scrolling_and_its_tokens(sb: Sb) -> None:
    page = sb.ok("GET", f"/files/scroll?project={ARCHIVE}&token=init&limit=100&fields=id")
    ids = [item["id"] for item in page["items"]]
    while page["links"]:
        page = sb.ok("GET", page["links"][0]["href"])
        ids += [item["id"] for item in page["items"]]
    assert len(set(ids)) == len(ids) == 1000
    assert sb.refused("GET", f"/files/scroll?project={ARCHIVE}&token=%25%25") == (400, 57000)
    assert sb.refused("GET", f"/files/scroll?project={ARCHIVE}") == (400, 57000)
    assert sb.refused("GET", f"/files/scroll?project={ARCHIVE}&token=init&offset=5") == (400, 57001)


# One file


def test_metadata_patch_merges_put_overwrites_and_the_file_patch_replaces(sb: Sb) -> None:
    path = f"/files/{sb.ids(ARCHIVE, 1)[0]}"
    start = {"sample_id": "S0001", "paired_end": "1"}
    assert sb.ok("PATCH", f"{path}/metadata", {"library": "l1"}) == start | {"library": "l1"}
    assert sb.ok("PATCH", f"{path}/metadata", {"library": None}) == start
    assert sb.ok("PUT", f"{path}/metadata", {"a": "b"}) == {"a": "b"}
    changed = sb.ok("PATCH", path, {"metadata": {"c": "d"}, "tags": ["t"], "name": "new.gz"})
    assert (changed["metadata"], changed["tags"], changed["name"]) == ({"c": "d"}, ["t"], "new.gz")
    assert sb.ok("GET", f"{path}/metadata") == {"c": "d"}
    assert sb.ok("PATCH", path, {"name": "newer.gz"})["metadata"] == {"c": "d"}


@pytest.mark.parametrize(
    "metadata", [{"k": 1}, {"k": ["a"]}, {"k" * 101: "v"}, {"k": "é" * 151}, {f"k{n}": "v" for n in range(1001)}, []]
)
def test_metadata_beyond_its_bounds_is_refused(sb: Sb, metadata: Any) -> None:
    path = f"/files/{sb.ids(ARCHIVE, 1)[0]}"
    assert sb.refused("PATCH", f"{path}/metadata", metadata) == (400, 5006)
    assert sb.ok("GET", f"{path}/metadata") == {"sample_id": "S0001", "paired_end": "1"}


def test_copies_are_new_files_with_free_names(sb: Sb) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    made = [sb.ok("POST", f"/files/{file_id}/actions/copy", {"project": RESULTS}) for _ in range(3)]
    assert names(made) == ["S0001_R1.fastq.gz", "1_S0001_R1.fastq.gz", "2_S0001_R1.fastq.gz"]
    assert len({item["id"] for item in made} | {file_id}) == 4
    assert made[0]["metadata"]["sample_id"] == "S0001"
    assert sb.ok("POST", f"/files/{file_id}/actions/copy", {"project": RESULTS, "name": "n"})["name"] == "n"


def test_moves_keep_the_id_inside_one_project(sb: Sb) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    inner = folder(sb, "inner", project=ARCHIVE)
    moved = sb.ok("POST", f"/files/{file_id}/actions/move", {"parent": inner, "name": "m"})
    assert (moved["id"], moved["parent"], moved["name"]) == (file_id, inner, "m")
    other = folder(sb, "other", project=RESULTS)
    assert sb.refused("POST", f"/files/{file_id}/actions/move", {"parent": other}) == (400, 5015)


def test_folders_have_their_own_refusals(sb: Sb) -> None:
    inner = folder(sb, "inner", project=RESULTS)
    file_id = sb.ids(ARCHIVE, 1)[0]
    new = {"name": "inner", "type": "FOLDER", "project": RESULTS}
    assert sb.refused("POST", "/files", new) == (409, 5030)
    assert sb.refused("POST", "/files", new | {"name": "__x"}) == (400, 5024)
    assert sb.refused("POST", "/files", new | {"type": "file"}) == (400, 5012)
    assert sb.refused("POST", "/files", {"name": "x", "type": "folder"}) == (400, 5029)
    assert sb.refused("POST", "/files", {"name": "x", "type": "folder", "parent": file_id}) == (400, 5022)
    assert sb.refused("PATCH", f"/files/{inner}/metadata", {"a": "b"}) == (400, 5027)
    assert sb.refused("POST", f"/files/{inner}/actions/copy", {"project": COHORT}) == (400, 5018)
    sb.ok("POST", f"/files/{file_id}/actions/copy", {"parent": inner})
    assert sb.refused("DELETE", f"/files/{inner}") == (400, 5021)
    assert set(sb.ok("GET", f"/files/{inner}")) & {"size", "storage", "metadata", "tags"} == set()


def test_downloads(sb: Sb) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    url = sb.ok("GET", f"/files/{file_id}/download_info")["url"]
    assert "S0001_R1.fastq.gz" in sb.session.get(url, timeout=5).text
    sb.ok("POST", "/storage/exports", sb.export_body(file_id, "out/x"))
    sb.sandbox.advance(60)
    sb.ok("PATCH", f"/storage/volumes/{BUCKET}", {"active": False})
    assert sb.refused("GET", f"/files/{file_id}/download_info") == (409, 5034)


# Bulk


def test_bulk_answers_keep_the_order_and_hide_the_ids_of_errors(sb: Sb) -> None:
    good = sb.ids(ARCHIVE, 3)
    asked = [good[2], "0" * 24, good[0], good[0]]
    items = sb.ok("POST", "/bulk/files/get", {"file_ids": asked})["items"]
    assert [item.get("resource", {}).get("id") for item in items] == [good[2], None, good[0], good[0]]
    assert set(items[1]) == {"error"}
    assert (items[1]["error"]["status"], items[1]["error"]["code"]) == (404, 5002)
    assert items[0]["resource"] == sb.ok("GET", f"/files/{good[2]}")
    sb.configure(bulk_error_ids=True)
    assert sb.ok("POST", "/bulk/files/get", {"file_ids": asked})["items"][1]["id"] == "0" * 24
    sb.configure(bulk_duplicates="refuse")
    assert sb.refused("POST", "/bulk/files/get", {"file_ids": asked}) == (400, 90000)


def test_bulk_answers_can_be_shuffled(sb: Sb) -> None:
    ids = sb.ids(ARCHIVE, 50)
    sb.configure(shuffle_bulk=True)
    answered = [item["resource"]["id"] for item in sb.ok("POST", "/bulk/files/get", {"file_ids": ids})["items"]]
    assert answered != ids
    assert sorted(answered) == ids


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/bulk/files/get", "file_ids"),
        ("/bulk/files/delete", "file_ids"),
        ("/bulk/files/edit", "items"),
        ("/bulk/files/update", "items"),
        ("/bulk/storage/imports/create", "items"),
        ("/bulk/storage/imports/get", "import_ids"),
        ("/bulk/storage/exports/create", "items"),
        ("/bulk/storage/exports/get", "export_ids"),
        ("/bulk/tasks/get", "task_ids"),
    ],
)
def test_bulk_calls_take_one_to_a_hundred(sb: Sb, path: str, key: str) -> None:
    for body in ({key: []}, {}, {key: ["x"] * 101}):
        assert sb.refused("POST", path, body) == (400, 90000)
    assert "error" in sb.ok("POST", path, {key: ["x"] * 100})["items"][99]
    sb.configure(allow_empty_bulk=True)
    assert sb.ok("POST", path, {key: []}) == {"items": []}
    assert sb.effects == {}


def test_edit_merges_and_update_erases(sb: Sb) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    sb.ok("PUT", f"/files/{file_id}/tags", ["keep"])
    edit = {"items": [{"id": file_id, "metadata": {"library": "l1"}}]}
    edited = sb.ok("POST", "/bulk/files/edit", edit)["items"][0]["resource"]
    assert edited["metadata"] == {"sample_id": "S0001", "paired_end": "1", "library": "l1"}
    assert (edited["name"], edited["tags"]) == ("S0001_R1.fastq.gz", ["keep"])
    update = {"items": [{"id": file_id, "name": "only.gz", "metadata": {"library": "l2"}}]}
    updated = sb.ok("POST", "/bulk/files/update", update)["items"][0]["resource"]
    assert (updated["name"], updated["tags"], updated["metadata"]) == ("only.gz", [], {"library": "l2"})
    nameless = {"items": [{"id": file_id, "tags": ["x"]}]}
    assert sb.ok("POST", "/bulk/files/update", nameless)["items"][0]["error"]["code"] == 5024


def test_either_key_names_a_file_in_bulk_edits(sb: Sb) -> None:
    one, two = sb.ids(ARCHIVE, 2)
    body = {"items": [{"id": one, "tags": ["a"]}, {"file_id": two, "tags": ["a"]}, {"tags": ["a"]}]}
    items = sb.ok("POST", "/bulk/files/edit", body)["items"]
    assert ["resource" in item for item in items] == [True, True, False]
    assert items[2]["error"]["code"] == 5004
    sb.configure(bulk_id_key="id")
    assert sb.ok("POST", "/bulk/files/edit", body)["items"][1]["error"]["code"] == 5004


def test_a_bulk_edit_that_is_refused_changes_nothing(sb: Sb) -> None:
    one, two = sb.ids(ARCHIVE, 2)
    body = {"items": [{"id": one, "name": "S0001_R2.fastq.gz", "tags": ["x"], "metadata": {"a": "b"}}]}
    assert sb.ok("POST", "/bulk/files/edit", body)["items"][0]["error"]["code"] == 5003
    body["items"][0] |= {"name": "fine", "metadata": {"a": 5}}
    assert sb.ok("POST", "/bulk/files/edit", body)["items"][0]["error"]["code"] == 5006
    unchanged = sb.ok("GET", f"/files/{one}")
    assert (unchanged["name"], unchanged["tags"]) == ("S0001_R1.fastq.gz", [])
    assert sb.ok("GET", f"/files/{two}")["name"] == "S0001_R2.fastq.gz"


def test_bulk_delete_answers_with_what_was_there(sb: Sb) -> None:
    one, inner = sb.ids(ARCHIVE, 1)[0], folder(sb, "inner", project=ARCHIVE)
    items = sb.ok("POST", "/bulk/files/delete", {"file_ids": [one, one, inner]})["items"]
    assert items[0]["resource"]["name"] == "S0001_R1.fastq.gz"
    assert [item["error"]["code"] for item in items[1:]] == [5002, 5021]
    assert sb.effects["files_deleted"] == 1


def test_files_can_be_made_to_fail_by_name(sb: Sb) -> None:
    sb.configure(fail_files=r"^S0001_", fail_copies=r"_R2")
    ids = sb.ids(ARCHIVE, 4)
    items = sb.ok("POST", "/bulk/files/get", {"file_ids": ids})["items"]
    assert ["error" in item for item in items] == [True, True, False, False]
    done = sb.ok("POST", "/action/files/copy", {"project": RESULTS, "file_ids": ids})
    assert [entry["status"] for entry in done.values()] == ["FAILED", "FAILED", "OK", "FAILED"]
    assert [entry.get("code") for entry in done.values()] == [5000, 5000, None, 5007]


def test_the_bulk_copy_is_a_map_and_repeating_it_makes_duplicates(sb: Sb) -> None:
    ids = sb.ids(ARCHIVE, 2)
    body = {"project": RESULTS, "file_ids": [*ids, "0" * 24]}
    first = sb.ok("POST", "/action/files/copy", body)
    assert list(first) == body["file_ids"]
    assert first[ids[0]]["status"] == "OK"
    assert first[ids[0]]["new_file_name"] == "S0001_R1.fastq.gz"
    assert first["0" * 24] == {"status": "FAILED", "message": "no such file", "code": 5002}
    second = sb.ok("POST", "/action/files/copy", body)
    assert second[ids[0]]["new_file_name"] == "1_S0001_R1.fastq.gz"
    assert len(sb.files(RESULTS)) == 4
    assert sb.effects["files_copied"] == 4
    assert sb.refused("POST", "/action/files/copy", {"project": "labuser/none", "file_ids": ids}) == (404, 3002)
    assert sb.refused("POST", "/action/files/copy", {"project": RESULTS, "file_ids": ids * 51}) == (400, 90000)


def test_the_bulk_copy_can_take_its_time(sb: Sb) -> None:
    sb.configure(copy_seconds_per_file=0.01)
    answer = sb.send("POST", "/action/files/copy", {"project": RESULTS, "file_ids": sb.ids(ARCHIVE, 20)})
    assert answer.elapsed.total_seconds() >= 0.2


def test_public_files_can_be_copied_but_not_changed(sb: Sb) -> None:
    file_id = sb.ids(PUBLIC)[0]
    assert sb.ok("POST", "/action/files/copy", {"project": RESULTS, "file_ids": [file_id]})[file_id]["status"] == "OK"
    assert sb.refused("PUT", f"/files/{file_id}/tags", ["x"]) == (403, 5011)


@same_sandbox
@given(data=st.data())
def test_copies_renames_and_deletes_never_share_a_name(sb: Sb, data: st.DataObject) -> None:
    sb.reset()
    sources = sb.ids(ARCHIVE, 3)
    for _ in range(data.draw(st.integers(1, 12))):
        present = sb.files(RESULTS)
        action = data.draw(st.sampled_from(["copy", "rename", "delete"] if present else ["copy"]))
        if action == "copy":
            sb.ok("POST", "/action/files/copy", {"project": RESULTS, "file_ids": [data.draw(st.sampled_from(sources))]})
            continue
        chosen = data.draw(st.sampled_from(present))["id"]
        if action == "delete":
            sb.ok("POST", "/bulk/files/delete", {"file_ids": [chosen]})
        else:
            name = data.draw(st.sampled_from(["a", "b", "1_S0001_R1.fastq.gz"]))
            sb.ok("POST", "/bulk/files/edit", {"items": [{"id": chosen, "name": name}]})
    found = sb.files(RESULTS)
    assert len(set(names(found))) == len(found)
    for item in found:
        assert [same["id"] for same in sb.files(RESULTS, name=item["name"])] == [item["id"]]


# Asynchronous jobs


def test_an_asynchronous_copy_goes_through_its_states(sb: Sb) -> None:
    ids = sb.ids(ARCHIVE, 3)
    items = [{"file": file_id, "project": RESULTS, "name": f"n{n}"} for n, file_id in enumerate(ids)]
    items.append({"file": "0" * 24, "project": RESULTS})
    job = sb.ok("POST", "/async/files/copy", {"items": items})
    assert (job["state"], job["type"]) == ("SUBMITTED", "COPY")
    assert set(job) & {"result", "completed_files", "started_on"} == set()
    seen = [job["state"]]
    for _ in range(40):
        sb.sandbox.advance(0.1)
        job = sb.ok("GET", job["href"])
        if job["state"] != seen[-1]:
            seen.append(job["state"])
    assert seen == ["SUBMITTED", "RESOLVING", "RUNNING", "FINISHED"]
    assert (job["total_files"], job["completed_files"], job["failed_files"]) == (4, 3, 1)
    assert names([item["resource"] for item in job["result"][:3]]) == ["n0", "n1", "n2"]
    assert job["result"][3]["error"]["code"] == 5002
    assert sb.refused("GET", f"/async/files/move/{job['id']}") == (404, 57039)


def test_asynchronous_jobs_take_whole_folders(sb: Sb) -> None:
    sb.configure(instant=True)
    outer = folder(sb, "outer", project=ARCHIVE)
    inner = folder(sb, "inner", parent=outer)
    for file_id in sb.ids(ARCHIVE, 2):
        sb.ok("POST", f"/files/{file_id}/actions/move", {"parent": inner})
    job = sb.ok("POST", "/async/files/copy", {"items": [{"file": outer, "project": RESULTS}]})
    assert (job["total_files"], job["completed_files"]) == (2, 2)
    copied = sb.ok("GET", f"/files?project={RESULTS}")["items"]
    assert names(copied) == ["outer"]
    assert copied[0]["id"] != outer
    into_itself = sb.ok("POST", "/async/files/move", {"items": [{"file": outer, "parent": inner}]})
    assert into_itself["result"][0]["error"]["code"] == 57016
    gone = sb.ok("POST", "/async/files/delete", {"items": [{"file": outer}]})
    assert (gone["failed_files"], gone["completed_files"]) == (0, 2)
    assert len(sb.files(ARCHIVE)) == 998


def test_a_moved_file_keeps_its_id_and_a_moved_folder_joins_its_namesake(sb: Sb) -> None:
    sb.configure(instant=True)
    file_id = sb.ids(ARCHIVE, 1)[0]
    here, there = folder(sb, "same", project=ARCHIVE), folder(sb, "same", project=RESULTS)
    sb.ok("POST", f"/files/{file_id}/actions/move", {"parent": here})
    job = sb.ok("POST", "/async/files/move", {"items": [{"file": here, "project": RESULTS}]})
    assert job["result"][0]["resource"]["id"] == there
    moved = sb.ok("GET", f"/files/{file_id}")
    assert (moved["project"], moved["parent"]) == (RESULTS, there)
    assert sb.refused("GET", f"/files/{here}") == (404, 5002)


@pytest.mark.parametrize(
    ("kind", "items"),
    [
        ("copy", []),
        ("copy", [{"project": RESULTS}]),
        ("copy", [{"file": "x"}]),
        ("copy", [{"file": "x", "project": RESULTS}] * 2),
        ("move", [{"file": "x", "project": RESULTS, "parent": "y"}]),
        ("delete", [{"file": "x"}] * 2),
        ("delete", [{"file": str(number)} for number in range(101)]),
    ],
)
def test_asynchronous_jobs_are_checked_when_they_are_made(sb: Sb, kind: str, items: list[Any]) -> None:
    status, code = sb.refused("POST", f"/async/files/{kind}", {"items": items})
    assert status == 400
    assert 57002 <= code <= 57038
    assert sb.ok("GET", "/async/files")["items"] == []
