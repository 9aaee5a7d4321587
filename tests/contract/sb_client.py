"""A bare HTTP client of the sandbox's Seven Bridges half, with a stepped clock, for its own tests."""

from __future__ import annotations

from typing import Any

import requests

from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.seven_bridges.switches import SevenBridgesSwitches

COHORT, RESULTS, ARCHIVE = "labuser/rnaseq-cohort", "labuser/rnaseq-results", "labuser/fastq-archive"
BUCKET, READ_ONLY = "labuser/cohort_bucket", "labuser/reference_bucket"
APP = "labuser/rnaseq-cohort/salmon-workflow"
PUBLIC = "sandbox-public/reference"


class Sb:
    """One user's view of a served sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.user = "labuser"

    def reset(self) -> None:
        self.user = "labuser"
        self.sandbox.reset({})
        self.sandbox.configure(sb=vars(SevenBridgesSwitches()))

    def configure(self, **switches: Any) -> None:
        self.sandbox.configure(sb=switches)

    @property
    def store(self) -> Any:
        return self.sandbox.state.sb.store

    @property
    def effects(self) -> dict[str, int]:
        return dict(self.sandbox.counters()["effects"].get("sb", {}))

    def send(self, method: str, path: str, json: Any = None, **more: Any) -> requests.Response:
        """The raw answer; ``path`` is relative to the base URL, or absolute."""
        url = path if path.startswith("http") else self.sandbox.sb_url + path
        headers = {"X-SBG-Auth-Token": self.sandbox.tokens[self.user]} | more.pop("headers", {})
        return self.session.request(method, url, json=json, headers=headers, timeout=10, **more)

    def ok(self, method: str, path: str, json: Any = None, **more: Any) -> Any:
        """The body of an answer that must be 200."""
        answer = self.send(method, path, json, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, json: Any = None, **more: Any) -> tuple[int, int]:
        """HTTP status and code of an answer that must be an error in the usual form."""
        answer = self.send(method, path, json, **more)
        body = answer.json()
        assert body["status"] == answer.status_code >= 400, answer.text
        assert body["message"]
        assert body["more_info"].endswith(f"#{body['code']}")
        return answer.status_code, body["code"]

    def files(self, project: str, **params: Any) -> list[dict[str, Any]]:
        """All files at the top of a project, complete."""
        found: list[dict[str, Any]] = []
        page = self.ok("GET", "/files", params={"project": project, "limit": 100, "fields": "_all"} | params)
        while True:
            found += page["items"]
            following = [link["href"] for link in page["links"] if link["rel"] == "next"]
            if not following:
                return found
            page = self.ok("GET", following[0])

    def ids(self, project: str, count: int = 100) -> list[str]:
        """Ids of the first files of a project."""
        page = self.ok("GET", "/files", params={"project": project, "limit": count})
        return [item["id"] for item in page["items"]]

    def import_job(self, location: str, **more: Any) -> dict[str, Any]:
        """Start one import from the bucket into the cohort project."""
        destination = more.pop("destination", {"project": COHORT})
        body = {"source": {"volume": BUCKET, "location": location}, "destination": destination} | more
        return dict(self.ok("POST", "/storage/imports", body))

    def import_state(self, job: dict[str, Any]) -> tuple[str, int | None]:
        """State of an import, and the code of its error."""
        now = self.ok("GET", f"/storage/imports/{job['id']}")
        return now["state"], now.get("error", {}).get("code")

    def export_body(self, file_id: str, location: str, volume: str = BUCKET, **more: Any) -> dict[str, Any]:
        """Body that starts an export."""
        return {"source": {"file": file_id}, "destination": {"volume": volume, "location": location}} | more

    def task_body(self, reads: list[str], **more: Any) -> dict[str, Any]:
        """Body that makes a task over files of the archive."""
        inputs = {"reads": [{"class": "File", "path": file_id} for file_id in reads]}
        return {"name": "salmon", "project": ARCHIVE, "app": APP, "inputs": inputs} | more

    def batch_body(self, reads: list[str], **more: Any) -> dict[str, Any]:
        """Body that makes a batch by sample."""
        by = {"type": "CRITERIA", "criteria": ["metadata.sample_id"]}
        return self.task_body(reads, batch_input="reads", batch_by=by, **more)

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as it is now."""
        return dict(self.ok("GET", f"/tasks/{task_id}"))

    def children(self, task_id: str, **params: Any) -> list[dict[str, Any]]:
        """Children of a batch, complete."""
        query = {"parent": task_id, "limit": 100, "fields": "_all"} | params
        return list(self.ok("GET", "/tasks", params=query)["items"])
