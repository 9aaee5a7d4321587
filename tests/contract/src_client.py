"""A bare HTTP client of the sandbox's SURF Research Cloud half, with a stepped clock, for its own tests."""

from dataclasses import asdict
from typing import Any

import requests

from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.src import SrcSwitches, World

CO = "7f1c2a9e-3b44-4d55-8e10-2a6d1c9b7e01"
SECOND_CO = "8a2d3b0f-4c55-4e66-9f21-3b7e2d0c8f12"
WALLET = "2b8f0e54-6c8e-4a1f-9d7c-9f3f5b1c4a22"
GPU_BOX = "0c5d2f1e-8b1a-4a57-9f0e-6e1f7a2b3c40"


class Src:
    """One user's view of a served sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.user = "researcher1"

    def reset(self) -> None:
        self.sandbox.reset()
        self.sandbox.configure(src=asdict(SrcSwitches()))
        self.user = "researcher1"

    @property
    def world(self) -> World:
        world: World = self.sandbox.state.src.world
        return world

    def configure(self, **switches: Any) -> None:
        self.sandbox.configure(src=switches)

    def plan(self, operation: str, **plan: Any) -> None:
        with self.sandbox.app.lock:
            self.world.plan(operation, **plan)

    def advance(self, seconds: float) -> None:
        self.sandbox.advance(seconds)

    def call(self, method: str, path: str, service: str = "workspace", **options: Any) -> requests.Response:
        token = options.pop("token", self.sandbox.tokens[self.user])
        headers = {"authorization": token} if token is not None else {}
        return self.session.request(
            method,
            f"{self.sandbox.src_urls[service]}{path}",
            headers=headers | options.pop("headers", {}),
            timeout=5,
            allow_redirects=False,
            **options,
        )

    def get(self, workspace_id: str) -> dict[str, Any]:
        response = self.call("GET", f"workspaces/{workspace_id}/")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def listing(self, **query: Any) -> list[dict[str, Any]]:
        response = self.call("GET", "workspaces/", params={"limit": 100, **query})
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["results"]
        return found

    def id_of(self, name: str) -> str:
        return self.world.by_name(name).id

    def act(self, workspace: str, action: str, body: Any = None) -> requests.Response:
        path = f"workspaces/{self.id_of(workspace)}/actions/{action}/"
        return self.call("POST", path, json={} if body is None else body)

    def delete(self, workspace: str) -> requests.Response:
        return self.call("DELETE", f"workspaces/{self.id_of(workspace)}/")

    def status(self, workspace: str) -> str:
        return str(self.get(self.id_of(workspace))["status"])

    def newest(self, workspace: str) -> dict[str, Any]:
        history = self.get(self.id_of(workspace))["workspace_actions"]
        newest: dict[str, Any] = max(history, key=lambda action: action["time_created"])
        return newest

    def order(self, kind: str = "Compute", name: str = "new-box", size: str = "", **meta: Any) -> dict[str, Any]:
        """A correct body of a creation, put together from names as a client would."""
        offering = self.world.find_offering(kind)
        sizes = [each for each in offering.flavours if each.category == "size"]
        flavours = [each for each in offering.flavours if each.category == "os"][:1]
        flavours += [each for each in sizes if each.name == size] if size else sizes[:1]
        resource = {"Compute": "VM", "Storage": "Storage-Volume", "Network": "Private-Network", "IP": "whatever"}
        end = {"end_time": self.iso_in(86400)} if kind == "Compute" else {}
        return end | {
            "co_id": CO,
            "wallet_id": WALLET,
            "name": name,
            "description": "made by a test",
            "meta": {
                "application_offering_id": offering.id,
                "application_name": offering.application_name,
                "application_icon": "",
                "application_type": kind,
                "subscription_tag": offering.subscription.tag,
                "subscription_name": offering.subscription.name,
                "subscription_group_id": offering.subscription.group_id,
                "subscription_resource_type": resource[kind],
                "co_name": "Example Project",
                "host_name": name,
                "flavours": [{"id": each.id, "name": each.name, "category": each.category} for each in flavours],
                "wallet_name": "SRC account for Example Project",
                "wallet_id": WALLET,
                **meta,
            },
        }

    def create(self, kind: str = "Compute", name: str = "new-box", **options: Any) -> requests.Response:
        return self.call("POST", "workspaces/", json=self.order(kind, name, **options))

    def iso_in(self, seconds: float) -> str:
        return self.sandbox.clock.iso(self.sandbox.clock.now() + seconds)
