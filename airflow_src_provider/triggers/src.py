"""Triggers that wait for SURF Research Cloud."""

from __future__ import annotations

from typing import ClassVar

from airflow_src_provider.client.src.capacity import CapacityWait
from airflow_src_provider.client.src.waits import WorkspaceWait
from airflow_src_provider.client.waiting import Wait
from airflow_src_provider.triggers.base import WaitTrigger


class SrcWorkspaceTrigger(WaitTrigger):
    """Waits for one or many workspaces."""

    hook_path: ClassVar[str] = "airflow_src_provider.hooks.src.SrcHook"
    wait_class: ClassVar[type[Wait]] = WorkspaceWait


class SrcCapacityTrigger(WaitTrigger):
    """Waits until there is room for machines of some size."""

    hook_path: ClassVar[str] = "airflow_src_provider.hooks.src.SrcHook"
    wait_class: ClassVar[type[Wait]] = CapacityWait
