"""Links to SURF Research Cloud."""

from __future__ import annotations

from airflow_src_provider.links.base import PortalLink

PORTAL = "https://portal.live.surfresearchcloud.nl/"


class SrcWorkspaceLink(PortalLink):
    """What runs on the workspace, or the portal when there is no single one with an address of its own."""

    name = "Research Cloud"
    xcom_key = "src_link"
