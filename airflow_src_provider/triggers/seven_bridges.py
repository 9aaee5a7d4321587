"""Waits of the Seven Bridges operators and sensors in the triggerer."""

from __future__ import annotations

from typing import ClassVar

from airflow_src_provider.client.seven_bridges import waits
from airflow_src_provider.client.waiting import Wait
from airflow_src_provider.triggers.base import WaitTrigger


class _SevenBridgesTrigger(WaitTrigger):
    hook_path = "airflow_src_provider.hooks.seven_bridges.SevenBridgesHook"


class SevenBridgesImportTrigger(_SevenBridgesTrigger):
    """Waits for import jobs."""

    wait_class: ClassVar[type[Wait]] = waits.ImportWait


class SevenBridgesExportTrigger(_SevenBridgesTrigger):
    """Waits for export jobs."""

    wait_class: ClassVar[type[Wait]] = waits.ExportWait


class SevenBridgesTaskTrigger(_SevenBridgesTrigger):
    """Waits for tasks and batches."""

    wait_class: ClassVar[type[Wait]] = waits.TaskWait


class SevenBridgesTaskEndTrigger(_SevenBridgesTrigger):
    """Waits until tasks have ended, in whatever way."""

    wait_class: ClassVar[type[Wait]] = waits.TaskEndWait


class SevenBridgesAsyncJobTrigger(_SevenBridgesTrigger):
    """Waits for async jobs on files."""

    wait_class: ClassVar[type[Wait]] = waits.AsyncJobWait
