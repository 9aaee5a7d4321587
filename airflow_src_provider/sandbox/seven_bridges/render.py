"""The JSON forms of files, projects, volumes and jobs. ``base`` is the base URL that links begin with."""

from __future__ import annotations

from typing import Any

from ..clock import Clock
from .model import RIGHTS, AsyncJob, Node, Project, Transfer, Volume

THIN_PROJECT = ("href", "id", "name")
THIN_FILE = ("href", "id", "name", "project", "parent", "type")
THIN_VOLUME = ("href", "id", "name")
THIN_JOB = ("href", "id", "state")
THIN_ASYNC = ("href", "id", "type", "state")


def project_json(base: str, project: Project, user: str) -> dict[str, Any]:
    """A project with all its fields ("Get details of a project")."""
    own = project.members.get(user) or {right: right in ("read", "copy") for right in RIGHTS}
    return {
        "href": f"{base}/projects/{project.id}",
        "id": project.id,
        "name": project.name,
        "type": "v2",
        "description": project.description,
        "tags": project.tags,
        "settings": project.settings,
        "permissions": own,
        "root_folder": project.root,
        "billing_group": project.billing_group,
        "created_by": project.owner,
        "category": project.category,
        "created_on": Clock.iso(project.created),
        "modified_on": Clock.iso(project.modified),
    }


def node_json(base: str, node: Node) -> dict[str, Any]:
    """A file or folder with all its fields ("Get file details"); a folder has no size, storage, tags or metadata."""
    shown: dict[str, Any] = {
        "href": f"{base}/files/{node.id}",
        "id": node.id,
        "name": node.name,
        "project": node.project,
        "parent": node.parent,
        "type": node.kind,
        "created_on": Clock.iso(node.created),
        "modified_on": Clock.iso(node.modified),
    }
    if not node.is_folder:
        shown |= {
            "size": node.size,
            "storage": node.storage,
            "origin": node.origin,
            "tags": node.tags,
            "metadata": node.metadata,
        }
    return shown


def volume_json(base: str, volume: Volume) -> dict[str, Any]:
    """A volume with all its fields ("Get details of a volume"); secrets are never part of ``service``."""
    return {
        "href": f"{base}/storage/volumes/{volume.id}",
        "id": volume.id,
        "name": volume.name,
        "description": volume.description,
        "access_mode": volume.access_mode,
        "service": volume.service,
        "created_on": Clock.iso(volume.created),
        "modified_on": Clock.iso(volume.modified),
        "active": volume.active,
    }


def object_json(base: str, volume: Volume, location: str) -> dict[str, Any]:
    """An object on a volume ("List the contents of a volume")."""
    return {
        "href": f"{base}/storage/volumes/{volume.id}/object?location={location}",
        "location": location,
        "volume": volume.id,
        "type": volume.service.get("type", "s3"),
        "metadata": {},
    }


def transfer_json(base: str, job: Transfer) -> dict[str, Any]:
    """An import or export job ("Get details of an import job", "Get details of an export job")."""
    shown: dict[str, Any] = {
        "href": f"{base}/storage/{job.kind}/{job.id}",
        "id": job.id,
        "state": job.state,
        "overwrite": job.overwrite,
        "source": job.source,
        "destination": job.destination,
        "started_on": Clock.iso(job.started),
    }
    if job.kind == "imports":
        shown["autorename"] = job.autorename
    else:
        shown["properties"] = job.properties
    if job.finished is not None:
        shown["finished_on"] = Clock.iso(job.finished)
    if job.result is not None:
        shown["result"] = node_json(base, job.result)
    if job.error is not None:
        shown["error"] = job.error
    return shown


def async_json(base: str, job: AsyncJob) -> dict[str, Any]:
    """An asynchronous job ("Get details of a copy job"); counters and times are missing until it is resolved."""
    shown: dict[str, Any] = {
        "href": f"{base}/async/files/{job.kind}/{job.id}",
        "id": job.id,
        "type": job.kind.upper(),
        "state": job.state,
    }
    if job.started is not None:
        shown |= {
            "total_files": job.total,
            "completed_files": job.completed,
            "failed_files": job.failed,
            "started_on": Clock.iso(job.started),
        }
    if job.finished is not None:
        shown |= {"finished_on": Clock.iso(job.finished), "result": job.result}
    return shown
