"""No body, however odd, makes the sandbox's Seven Bridges half stumble: it answers or refuses in its own form."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.sb_client import APP, ARCHIVE, BUCKET, COHORT, RESULTS, Sb

KEYS = [
    "id",
    "name",
    "project",
    "parent",
    "file",
    "file_ids",
    "items",
    "source",
    "destination",
    "volume",
    "location",
    "properties",
    "overwrite",
    "metadata",
    "tags",
    "task_ids",
    "import_ids",
    "export_ids",
    "app",
    "inputs",
    "reads",
    "class",
    "path",
    "batch_input",
    "batch_by",
    "type",
    "criteria",
    "settings",
    "output_location",
    "execution_settings",
    "service",
    "billing_group",
    "username",
    "permissions",
    "active",
    "size",
    "description",
]
VALUES = (APP, ARCHIVE, BUCKET, COHORT, RESULTS, "run1/", "run1/S0001_R1.fastq.gz", "reads", "File", "ITEM", "CRITERIA")
leaves = st.one_of(st.none(), st.booleans(), st.integers(-2, 200), st.text(max_size=5), st.sampled_from(VALUES))


def nested(known: tuple[str, ...]) -> st.SearchStrategy[Any]:
    leaf = leaves | st.sampled_from(known)
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        max_leaves=12,
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_bodies_are_answered_in_the_services_form(sb: Sb, data: st.DataObject) -> None:
    sb.reset()
    sb.configure(instant=True, limits=False)
    reads = sb.ids(ARCHIVE, 2)
    task = sb.ok("POST", "/tasks", sb.task_body(reads))["id"]
    folder = sb.ok("POST", "/files", {"name": "f", "type": "folder", "project": ARCHIVE})["id"]
    known = (*reads, task, folder)
    places = {"id": data.draw(st.sampled_from(known)), "owner": "labuser", "revision": "1", "user": "guest"}
    places |= {"name": "rnaseq-cohort", "project": "rnaseq-cohort", "app": "salmon-workflow"}
    routes = [route for route in sb.sandbox.state.sb.routes() if not (route.methods or set()) <= {"GET", "HEAD"}]
    route = data.draw(st.sampled_from(routes))
    method = next(iter(route.methods or ()))
    path = route.path.removeprefix("/v2")
    if path.startswith("/storage/volumes"):
        places["name"] = "cohort_bucket"
    body = data.draw(st.dictionaries(st.sampled_from(KEYS), nested(known), max_size=6) | nested(known))
    answer = sb.send(method, path.format(**places), body)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["message"]
    assert sb.send("GET", "/user").status_code == 200
