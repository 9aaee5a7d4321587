"""Operators for SURF Research Cloud."""

from airflow_src_provider.operators.src.changes import (
    SrcChangeWalletOperator,
    SrcUpdateFirewallOperator,
    SrcUpdateStoragesOperator,
    SrcUpdateWorkspaceOperator,
)
from airflow_src_provider.operators.src.create import SrcCreateWorkspaceOperator
from airflow_src_provider.operators.src.group import WorkspaceBox, src_workspace
from airflow_src_provider.operators.src.lifecycle import (
    SrcDeleteWorkspaceOperator,
    SrcPauseWorkspaceOperator,
    SrcRebootWorkspaceOperator,
    SrcResumeWorkspaceOperator,
)
from airflow_src_provider.operators.src.listing import SrcListWorkspacesOperator
from airflow_src_provider.operators.src.request import SrcRequestOperator

__all__ = [
    "SrcChangeWalletOperator",
    "SrcCreateWorkspaceOperator",
    "SrcDeleteWorkspaceOperator",
    "SrcListWorkspacesOperator",
    "SrcPauseWorkspaceOperator",
    "SrcRebootWorkspaceOperator",
    "SrcRequestOperator",
    "SrcResumeWorkspaceOperator",
    "SrcUpdateFirewallOperator",
    "SrcUpdateStoragesOperator",
    "SrcUpdateWorkspaceOperator",
    "WorkspaceBox",
    "src_workspace",
]
