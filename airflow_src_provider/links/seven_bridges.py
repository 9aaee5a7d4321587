"""Links to the portal of a Seven Bridges platform."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow_src_provider.links.base import PortalLink

PORTALS = {
    "cgc-api.sbgenomics.com": "https://cgc.sbgenomics.com",
    "api.sbgenomics.com": "https://igor.sbgenomics.com",
    "eu-api.sbgenomics.com": "https://eu.sbgenomics.com",
    "api.sevenbridges.cn": "https://platform.sevenbridges.cn",
    "cavatica-api.sbgenomics.com": "https://cavatica.sbgenomics.com",
    "api.sb.biodatacatalyst.nhlbi.nih.gov": "https://platform.sb.biodatacatalyst.nhlbi.nih.gov",
}


class SevenBridgesLink(PortalLink):
    """The page of the task, or of the project's files, that an operator worked on."""

    name = "Seven Bridges"
    xcom_key = "seven_bridges_link"


def portal_page(base_url: str, project: str, task_id: str | None = None) -> str:
    """Return the address of a page, empty for a platform whose portal is not known.

    :param base_url: base URL of the API.
    :param project: ``owner/short-name``.
    :param task_id: the task; without it, the files of the project.
    """
    portal = PORTALS.get(urlsplit(base_url).hostname or "")
    if not portal or not project:
        return ""
    page = f"tasks/{quote(task_id)}" if task_id else "files/"
    return f"{portal}/u/{quote(project)}/{page}"
