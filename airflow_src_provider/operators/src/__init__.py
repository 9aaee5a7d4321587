"""Operators for SURF Research Cloud."""

from airflow_src_provider.operators.src.lifecycle import (
    SrcDeleteWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcRebootWorkspaceOperator,
    SrcResumeWorkspaceOperator,
)

__all__ = [
    "SrcDeleteWorkspaceOperator",
    "SrcPauseWorkspaceOperator",
    "SrcRebootWorkspaceOperator",
    "SrcResumeWorkspaceOperator",
]
