"""What the file operators read and wrote, in the words of OpenLineage.

One dataset for each place, not for each of a thousand files: a project, a folder, or what lies below a prefix of a
volume.
Names are the platform's own ids, the namespace is its address. Only loaded when Airflow collects lineage,
which needs the extra ``openlineage``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def volume_place(volume: str, prefix: str = "") -> str:
    """Return the name of what lies below a prefix of a volume."""
    return f"volumes/{volume}/{prefix}".rstrip("/")


def project_place(project: Any = None, parent: Any = None) -> list[str]:
    """Return the name of a project or folder as a list; empty when neither is known."""
    if isinstance(project, str) and project:
        return [f"projects/{project}"]
    return [f"folders/{parent}"] if isinstance(parent, str) and parent else []


def selection_places(files: Any) -> list[str]:
    """Return where chosen files lie, as far as the choice says so; ids alone do not."""
    if not isinstance(files, dict):
        return []
    return project_place(files.get("project"), files.get("parent"))


def facets(base_url: str, inputs: Iterable[str], outputs: Iterable[str]) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task that read and wrote these places."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    namespace = f"sevenbridges://{urlsplit(base_url).netloc}"
    return OperatorLineage(
        inputs=[Dataset(namespace=namespace, name=name) for name in inputs],
        outputs=[Dataset(namespace=namespace, name=name) for name in outputs],
    )
