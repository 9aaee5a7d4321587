"""Operators for the Cancer Genomics Cloud and the other Seven Bridges platforms."""

from airflow_src_provider.operators.seven_bridges.copies import SevenBridgesCopyFilesOperator
from airflow_src_provider.operators.seven_bridges.exports import SevenBridgesExportFilesOperator
from airflow_src_provider.operators.seven_bridges.imports import SevenBridgesImportFilesOperator
from airflow_src_provider.operators.seven_bridges.metadata import SevenBridgesUpdateMetadataOperator
from airflow_src_provider.operators.seven_bridges.tasks import SevenBridgesSubmitTaskOperator

__all__ = [
    "SevenBridgesCopyFilesOperator",
    "SevenBridgesExportFilesOperator",
    "SevenBridgesImportFilesOperator",
    "SevenBridgesSubmitTaskOperator",
    "SevenBridgesUpdateMetadataOperator",
]
