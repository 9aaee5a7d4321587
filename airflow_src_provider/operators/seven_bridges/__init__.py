"""Operators for the Cancer Genomics Cloud and the other Seven Bridges platforms."""

from airflow_src_provider.operators.seven_bridges.copies import SevenBridgesCopyFilesOperator
from airflow_src_provider.operators.seven_bridges.deletes import SevenBridgesDeleteFilesOperator
from airflow_src_provider.operators.seven_bridges.exports import SevenBridgesExportFilesOperator
from airflow_src_provider.operators.seven_bridges.finds import SevenBridgesFindFilesOperator
from airflow_src_provider.operators.seven_bridges.imports import SevenBridgesImportFilesOperator
from airflow_src_provider.operators.seven_bridges.many_tasks import SevenBridgesSubmitTasksOperator
from airflow_src_provider.operators.seven_bridges.metadata import SevenBridgesUpdateMetadataOperator
from airflow_src_provider.operators.seven_bridges.projects import SevenBridgesCreateProjectOperator
from airflow_src_provider.operators.seven_bridges.requests import SevenBridgesRequestOperator
from airflow_src_provider.operators.seven_bridges.reruns import (
    SevenBridgesAbortTaskOperator,
    SevenBridgesRerunFailedTasksOperator,
)
from airflow_src_provider.operators.seven_bridges.tasks import SevenBridgesSubmitTaskOperator

__all__ = [
    "SevenBridgesAbortTaskOperator",
    "SevenBridgesCopyFilesOperator",
    "SevenBridgesCreateProjectOperator",
    "SevenBridgesDeleteFilesOperator",
    "SevenBridgesExportFilesOperator",
    "SevenBridgesFindFilesOperator",
    "SevenBridgesImportFilesOperator",
    "SevenBridgesRequestOperator",
    "SevenBridgesRerunFailedTasksOperator",
    "SevenBridgesSubmitTaskOperator",
    "SevenBridgesSubmitTasksOperator",
    "SevenBridgesUpdateMetadataOperator",
]
