"""Volumes, imports and exports of the sandbox's Seven Bridges half."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.sb_client import ARCHIVE, BUCKET, COHORT, PUBLIC, READ_ONLY, RESULTS, Sb

FIRST = "run1/S0001_R1.fastq.gz"


def to(project: str, name: str) -> dict[str, Any]:
    return {"destination": {"project": project, "name": name}}


# Volumes


def test_a_volume_is_listed_level_by_level(sb: Sb) -> None:
    top = sb.ok("GET", f"/storage/volumes/{BUCKET}/list")
    assert (top["items"], [entry["prefix"] for entry in top["prefixes"]]) == ([], ["run1/"])
    page = sb.ok("GET", top["prefixes"][0]["href"])
    assert len(page["items"]) == 50
    assert page["items"][0] == {
        "href": f"{sb.sandbox.sb_url}/storage/volumes/{BUCKET}/object?location={FIRST}",
        "location": FIRST,
        "volume": BUCKET,
        "type": "s3",
        "metadata": {},
    }
    assert list(page["links"][0]) == ["next"]
    assert sb.ok("GET", page["items"][0]["href"]) == page["items"][0]


def test_pages_of_a_volume_have_tokens_and_no_total(sb: Sb) -> None:
    seen: list[str] = []
    url = f"/storage/volumes/{BUCKET}/list?prefix=run1/&limit=100&fields=location"
    pages = 0
    while url:
        answer = sb.send("GET", url)
        assert "X-Total-Matching-Query" not in answer.headers
        body = answer.json()
        seen += [item["location"] for item in body["items"]]
        url = body["links"][0]["next"] if body["links"] else ""
        pages += 1
    assert (pages, len(seen)) == (10, 1000)
    assert seen == sorted(set(seen))
    listing = f"/storage/volumes/{BUCKET}/list?continuation_token="
    assert sb.refused("GET", listing + "%25") == (400, 57000)
    assert sb.refused("GET", listing + "b3RoZXI6OmE=") == (400, 57001)
    assert sb.refused("GET", f"/storage/volumes/{BUCKET}/object?location=none") == (404, 9105)


def test_a_volume_is_deactivated_before_it_is_deleted(sb: Sb) -> None:
    path = f"/storage/volumes/{BUCKET}"
    assert sb.refused("DELETE", path) == (400, 9011)
    assert sb.ok("PATCH", path, {"active": False})["active"] is False
    assert sb.refused("GET", f"{path}/list") == (409, 9069)
    assert sb.send("DELETE", path).status_code == 204
    assert sb.refused("GET", path) == (404, 9007)


def test_new_volumes(sb: Sb) -> None:
    service = {"type": "s3", "bucket": "b", "credentials": {"access_key_id": "id", "secret_access_key": "x"}}
    made = sb.ok("POST", "/storage/volumes", {"name": "mine", "service": service})
    assert (made["id"], made["access_mode"], made["active"]) == ("labuser/mine", "RW", True)
    assert made["service"]["credentials"] == {"access_key_id": "id"}
    for body, error in (
        ({"name": "mine", "service": service}, (409, 9010)),
        ({"name": "not ok", "service": service}, (400, 9013)),
        ({"name": "other", "service": {"type": "ftp", "bucket": "b"}}, (400, 9014)),
        ({"name": "other", "service": service, "access_mode": "WO"}, (400, 9015)),
    ):
        assert sb.refused("POST", "/storage/volumes", body) == error


# Imports


def test_an_import_goes_from_pending_to_an_alias(sb: Sb) -> None:
    job = sb.import_job(FIRST)
    assert job["state"] == "PENDING"
    assert job["destination"]["name"] == "S0001_R1.fastq.gz"
    assert "result" not in job
    sb.sandbox.advance(0.5)
    assert sb.import_state(job) == ("RUNNING", None)
    sb.sandbox.advance(1)
    done = sb.ok("GET", job["href"])
    assert done["state"] == "COMPLETED"
    assert done["result"]["storage"] == {"type": "VOLUME", "volume": BUCKET, "location": FIRST}
    assert (done["result"]["origin"], done["result"]["metadata"]) == ({}, {})
    assert sb.ok("GET", f"/files/{done['result']['id']}") == done["result"]
    assert done["finished_on"] >= done["started_on"]


def test_an_instant_import_is_done_in_its_first_answer(sb: Sb) -> None:
    sb.configure(instant=True)
    job = sb.import_job(FIRST)
    assert (job["state"], job["result"]["name"]) == ("COMPLETED", "S0001_R1.fastq.gz")


def test_imports_fail_inside_the_job(sb: Sb) -> None:
    sb.configure(instant=True, fail_imports="S0009")
    missing = sb.import_job("run1/none.fastq.gz")
    assert (missing["state"], missing["error"]["code"], missing["error"]["status"]) == ("FAILED", 9105, 404)
    sb.import_job(FIRST)
    assert sb.import_job(FIRST)["error"]["code"] == 9108
    assert sb.import_job("run1/S0009_R1.fastq.gz")["error"]["code"] == 9100
    assert sb.send("GET", missing["href"]).status_code == 200
    sb.configure(failed_job_http=True)
    echoed = sb.send("GET", missing["href"])
    assert (echoed.status_code, echoed.json()["id"], echoed.json()["state"]) == (404, missing["id"], "FAILED")


def test_overwrite_replaces_and_autorename_steps_aside(sb: Sb) -> None:
    sb.configure(instant=True)
    first = sb.import_job(FIRST)["result"]
    again = sb.import_job(FIRST, overwrite=True)["result"]
    assert again["name"] == first["name"]
    assert again["id"] != first["id"]
    assert sb.refused("GET", f"/files/{first['id']}") == (404, 5002)
    assert sb.import_job(FIRST, autorename=True)["result"]["name"] == "1_S0001_R1.fastq.gz"


def test_a_folder_is_imported_with_or_without_its_structure(sb: Sb) -> None:
    sb.configure(instant=True)
    for location in ("run2/a.txt", "run2/deep/b.txt"):
        sb.sandbox.app.halves["sb"].edit("object", f"{BUCKET}/{location}", {"size": 5})
    whole = sb.import_job("run2/")["result"]
    assert (whole["type"], whole["name"]) == ("folder", "run2")
    assert "size" not in whole
    inside = {item["name"]: item["type"] for item in sb.ok("GET", f"/files?parent={whole['id']}")["items"]}
    assert inside == {"a.txt": "file", "deep": "folder"}
    more = {"destination": {"project": COHORT, "name": "flat"}, "preserve_folder_structure": False}
    flat = sb.import_job("run2/", **more)["result"]
    assert {item["name"] for item in sb.ok("GET", f"/files?parent={flat['id']}")["items"]} == {"a.txt", "b.txt"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source": {"volume": "labuser/none", "location": FIRST}}, (404, 9007)),
        ({"source": {"volume": BUCKET, "location": ""}}, (400, 9018)),
        ({"source": {"volume": BUCKET, "location": "/"}}, (400, 9018)),
        ({"source": "x"}, (400, 9011)),
        ({"destination": {}}, (400, 9011)),
        ({"destination": {"project": COHORT, "parent": "x"}}, (400, 9011)),
        ({"destination": {"project": "labuser/none"}}, (400, 9012)),
        ({"destination": {"parent": "none"}}, (404, 9009)),
        ({"destination": {"project": PUBLIC}}, (403, 9003)),
        ({"preserve_folder_structure": True}, (400, 9011)),
    ],
)
def test_imports_are_checked_when_they_are_made(sb: Sb, change: dict[str, Any], error: tuple[int, int]) -> None:
    body = {"source": {"volume": BUCKET, "location": FIRST}, "destination": {"project": COHORT}}
    assert sb.refused("POST", "/storage/imports", body | change) == error
    assert sb.effects == {}


def test_bulk_imports_have_two_levels_of_errors(sb: Sb) -> None:
    source = {"volume": BUCKET, "location": FIRST}
    items = [
        {"source": source, "destination": {"project": COHORT}},
        {"source": source | {"volume": "labuser/none"}, "destination": {"project": COHORT}},
        {"source": source | {"location": "none"}, "destination": {"project": COHORT}},
    ]
    made = sb.ok("POST", "/bulk/storage/imports/create", {"items": items})["items"]
    assert ["resource" in item for item in made] == [True, False, True]
    assert made[1]["error"]["code"] == 9007
    sb.sandbox.advance(60)
    ids = [item["resource"]["id"] for item in (made[0], made[2])]
    got = sb.ok("POST", "/bulk/storage/imports/get", {"import_ids": [*ids, "none"]})["items"]
    assert [item.get("resource", {}).get("state") for item in got] == ["COMPLETED", "FAILED", None]
    assert got[1]["resource"]["error"]["code"] == 9105
    assert got[2]["error"]["code"] == 9008


def test_imports_are_listed_by_project_volume_and_state(sb: Sb) -> None:
    done = sb.import_job(FIRST)
    sb.sandbox.advance(60)
    new = sb.import_job("run1/S0002_R1.fastq.gz", destination={"project": RESULTS})
    listing = "/storage/imports?limit=100"
    assert [item["id"] for item in sb.ok("GET", listing)["items"]] == [done["id"], new["id"]]
    assert set(sb.ok("GET", listing)["items"][0]) == {"href", "id", "state"}
    open_jobs = sb.ok("GET", f"{listing}&state=PENDING&state=RUNNING")["items"]
    assert [item["id"] for item in open_jobs] == [new["id"]]
    assert [item["id"] for item in sb.ok("GET", f"{listing}&project={COHORT}")["items"]] == [done["id"]]
    assert sb.ok("GET", f"{listing}&volume={READ_ONLY}")["items"] == []
    sb.user = "guest"
    assert sb.ok("GET", listing)["items"] == []
    assert sb.refused("GET", f"/storage/imports/{new['id']}") == (403, 9005)


def test_jobs_can_be_forgotten_after_a_while(sb: Sb) -> None:
    sb.configure(job_retention_seconds=100.0)
    job = sb.import_job(FIRST)
    sb.sandbox.advance(60)
    assert sb.import_state(job)[0] == "COMPLETED"
    sb.sandbox.advance(60)
    assert sb.refused("GET", f"/storage/imports/{job['id']}") == (404, 9008)


def test_states_come_at_their_own_time_however_rarely_one_asks(sb: Sb) -> None:
    jobs = [sb.import_job(FIRST, autorename=True)]
    sb.sandbox.advance(10)
    jobs.append(sb.import_job(FIRST, autorename=True))
    sb.sandbox.advance(86_400)
    first, second = (sb.ok("GET", job["href"]) for job in jobs)
    assert first["finished_on"] < second["finished_on"] < sb.sandbox.clock.iso(sb.sandbox.clock.now() - 80_000)


# Exports


def test_an_export_leaves_an_alias_unless_it_only_copies(sb: Sb) -> None:
    sb.configure(instant=True)
    kept, moved = sb.ids(ARCHIVE, 2)
    done = sb.ok("POST", "/storage/exports?copy_only=True", sb.export_body(kept, "out/kept"))
    assert (done["state"], done["properties"]) == ("COMPLETED", {"sse_algorithm": "AES256"})
    assert sb.ok("GET", f"/files/{kept}")["storage"]["type"] == "PLATFORM"
    sb.ok("POST", "/storage/exports", sb.export_body(moved, "out/moved"))
    alias = sb.ok("GET", f"/files/{moved}")["storage"]
    assert alias == {"type": "VOLUME", "volume": BUCKET, "location": "out/moved"}
    assert sb.refused("POST", "/storage/exports", sb.export_body(moved, "out/again")) == (403, 9006)
    assert sb.ok("GET", f"/storage/volumes/{BUCKET}/object?location=out/kept")["location"] == "out/kept"
    assert sb.effects["files_exported"] == 2


def test_copy_only_of_a_bulk_call_holds_for_all_of_it(sb: Sb) -> None:
    sb.configure(instant=True)
    ids = sb.ids(ARCHIVE, 3)
    items = [sb.export_body(file_id, f"out/{file_id}") for file_id in ids]
    made = sb.ok("POST", "/bulk/storage/exports/create?copy_only=True", {"items": items[:2]})["items"]
    assert [item["resource"]["state"] for item in made] == ["COMPLETED"] * 2
    sb.ok("POST", "/bulk/storage/exports/create?copy_only=False", {"items": items[2:]})
    kinds = [sb.ok("GET", f"/files/{file_id}")["storage"]["type"] for file_id in ids]
    assert kinds == ["PLATFORM", "PLATFORM", "VOLUME"]
    got = sb.ok("POST", "/bulk/storage/exports/get", {"export_ids": [item["resource"]["id"] for item in made]})
    assert [item["resource"]["source"]["file"] for item in got["items"]] == ids[:2]


def test_exports_fail_inside_the_job(sb: Sb) -> None:
    sb.configure(instant=True, fail_exports="S0002_R2")
    ids = sb.ids(ARCHIVE, 4)
    path = "/storage/exports?copy_only=true"
    assert sb.ok("POST", path, sb.export_body(ids[0], "out/x"))["state"] == "COMPLETED"
    taken = sb.ok("POST", path, sb.export_body(ids[1], "out/x"))
    assert (taken["state"], taken["error"]["code"], taken["error"]["status"]) == ("FAILED", 9107, 409)
    assert sb.ok("POST", path, sb.export_body(ids[1], "out/x", overwrite=True))["state"] == "COMPLETED"
    assert sb.ok("POST", path, sb.export_body(ids[3], "out/y"))["error"]["code"] == 9100
    sb.configure(instant=False)
    late = sb.ok("POST", path, sb.export_body(ids[2], "out/z"))
    sb.ok("POST", "/bulk/files/delete", {"file_ids": [ids[2]]})
    sb.sandbox.advance(60)
    assert sb.ok("GET", late["href"])["error"]["code"] == 9106


def test_what_cannot_be_exported(sb: Sb) -> None:
    sb.configure(instant=True)
    file_id = sb.ids(ARCHIVE, 1)[0]
    alias = sb.import_job(FIRST)["result"]["id"]
    root = sb.ok("GET", f"/projects/{COHORT}")["root_folder"]
    for body, error in (
        (sb.export_body(alias, "out/x"), (403, 9006)),
        (sb.export_body(root, "out/x"), (403, 9006)),
        (sb.export_body(sb.ids(PUBLIC)[0], "out/x"), (403, 9006)),
        (sb.export_body("0" * 24, "out/x"), (404, 9009)),
        (sb.export_body(file_id, "out/x", READ_ONLY), (403, 9026)),
        (sb.export_body(file_id, "out/x", "labuser/none"), (404, 9007)),
        (sb.export_body(file_id, "out/"), (400, 9072)),
        (sb.export_body(file_id, ""), (400, 9011)),
        (sb.export_body(file_id, "out/x", properties={"sse_algorithm": "ROT13"}), (400, 9021)),
    ):
        assert sb.refused("POST", "/storage/exports", body) == error
    cloud = {"name": "google", "service": {"type": "gcs", "bucket": "b"}}
    sb.ok("POST", "/storage/volumes", cloud)
    assert sb.refused("POST", "/storage/exports", sb.export_body(file_id, "x", "labuser/google")) == (403, 9027)


def test_exports_are_listed_by_volume_and_state(sb: Sb) -> None:
    file_id = sb.ids(ARCHIVE, 1)[0]
    job = sb.ok("POST", "/storage/exports", sb.export_body(file_id, "out/x"))
    found = sb.ok("GET", f"/storage/exports?volume={BUCKET}&state=PENDING&fields=_all")["items"]
    assert [item["id"] for item in found] == [job["id"]]
    assert found[0]["destination"] == {"volume": BUCKET, "location": "out/x"}
    assert sb.ok("GET", "/storage/exports?state=COMPLETED")["items"] == []
    assert sb.refused("GET", f"/storage/imports/{job['id']}") == (404, 9008)
