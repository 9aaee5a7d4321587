"""The operators and sensors of SURF Research Cloud at work."""

from __future__ import annotations

import dataclasses

from airflow_src_provider.hooks.src import SrcHook
from airflow_src_provider.operators import src
from airflow_src_provider.sensors import src as src_sensors
from tests.faults.case import Case
from tests.faults.stage import Stage


def _add_boxes(stage: Stage) -> None:
    with stage.sandbox.app.lock:
        for number in range(3):
            stage.sandbox.state.src.world.add_workspace(f"node-{number}", status="paused")


def begin_to_resume(stage: Stage) -> None:
    SrcHook().client.workspaces.action(workspace(stage, "gpu-box"), "resume")


def take_all_gpus(stage: Stage) -> None:
    world = stage.sandbox.state.src.world
    size = world.by_name("gpu-box").size
    world.set_free(size, 0)
    stage.later(200.0, lambda: world.set_free(size, 1))


def add_wallet(stage: Stage) -> None:
    with stage.sandbox.app.lock:
        wallets = stage.sandbox.state.src.world.wallets
        first = next(iter(wallets.values()))
        other = dataclasses.replace(first, id="4d0b2a76-8e0a-4c3b-8f9e-1b5b7d3e6c44", name="A second wallet")
        wallets[other.id] = other


def workspace(stage: Stage, name: str) -> str:
    return str(stage.sandbox.state.src.world.by_name(name).id)


SRC_CASES = [
    Case("resume", "src", src.SrcResumeWorkspaceOperator, lambda _: {"workspace": "gpu-box"}),
    Case(
        "resume three",
        "src",
        src.SrcResumeWorkspaceOperator,
        lambda _: {"workspace": {"name": "node-*"}, "at_once": 2},
        prepare=_add_boxes,
    ),
    Case("pause", "src", src.SrcPauseWorkspaceOperator, lambda _: {"workspace": "login-box"}),
    Case("reboot", "src", src.SrcRebootWorkspaceOperator, lambda _: {"workspace": "login-box"}),
    Case("delete", "src", src.SrcDeleteWorkspaceOperator, lambda stage: {"workspace_id": workspace(stage, "gpu-box")}),
    Case(
        "rename and extend",
        "src",
        src.SrcUpdateWorkspaceOperator,
        lambda _: {"workspace": "login-box", "name": "front-box", "extend_by": 86400},
        lacks=("wait",),
    ),
    Case(
        "firewall",
        "src",
        src.SrcUpdateFirewallOperator,
        lambda _: {"workspace": "login-box", "add": "in tcp 8080 8080 0.0.0.0/0"},
    ),
    Case(
        "storages",
        "src",
        src.SrcUpdateStoragesOperator,
        lambda _: {"workspace": "login-box", "attach": "reference-data"},
    ),
    Case(
        "request",
        "src",
        src.SrcRequestOperator,
        lambda _: {"service": "user", "path": "users/self/"},
        lacks=("first", "wait"),
    ),
    Case(
        "effect",
        "src",
        src.SrcRequestOperator,
        lambda stage: {
            "service": "workspace",
            "path": f"workspaces/{workspace(stage, 'login-box')}/actions/pause/",
            "method": "POST",
            "data": {},
        },
        gives_up=True,
        lacks=("first", "wait"),
    ),
    Case(
        "list", "src", src.SrcListWorkspacesOperator, lambda _: {"workspace": {"mine": True}}, lacks=("first", "wait")
    ),
    Case(
        "wallet",
        "src",
        src.SrcChangeWalletOperator,
        lambda _: {"workspace": "login-box", "wallet": "A second wallet"},
        prepare=add_wallet,
        lacks=("wait",),
    ),
    Case(
        "create",
        "src",
        src.SrcCreateWorkspaceOperator,
        lambda _: {
            "name": "new-box",
            "collaboration": "Example Project",
            "wallet": "SRC account for Example Project",
            "catalog_item": "Jupyter Notebook",
            "size": "2 Core- 16 GB RAM",
            "lifetime": 86400,
        },
    ),
    Case(
        "workspace sensor",
        "src",
        src_sensors.SrcWorkspaceSensor,
        lambda stage: {"workspace_id": workspace(stage, "gpu-box")},
        prepare=begin_to_resume,
    ),
    Case(
        "capacity sensor",
        "src",
        src_sensors.SrcCapacitySensor,
        lambda _: {"workspace": "gpu-box"},
        prepare=take_all_gpus,
    ),
]
