"""What the Seven Bridges half keeps: plain records, times in epoch seconds, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

RIGHTS = ("read", "copy", "write", "execute", "admin")
TERMINAL = frozenset({"COMPLETED", "FAILED", "ABORTED"})


@dataclass
class Project:
    """A project; ``root`` is the id of its top folder."""

    id: str
    name: str
    owner: str
    root: str
    created: float
    modified: float
    billing_group: str
    description: str = ""
    category: str = "PRIVATE"
    tags: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    members: dict[str, dict[str, bool]] = field(default_factory=dict)


@dataclass
class Node:
    """A file or a folder; ``parent`` is None only for the top folder of a project."""

    id: str
    name: str
    kind: Literal["file", "folder"]
    project: str
    parent: str | None
    created: float
    modified: float
    size: int = 0
    storage: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder."""
        return self.kind == "folder"

    @property
    def is_alias(self) -> bool:
        """Whether the bytes lie on a volume."""
        return self.storage.get("type") == "VOLUME"


@dataclass
class Volume:
    """A bucket; ``objects`` is the size in bytes by location relative to the volume's prefix."""

    id: str
    name: str
    owner: str
    created: float
    modified: float
    access_mode: str = "RW"
    description: str = ""
    service: dict[str, Any] = field(default_factory=dict)
    active: bool = True
    objects: dict[str, int] = field(default_factory=dict)
    members: dict[str, dict[str, bool]] = field(default_factory=dict)


@dataclass
class Transfer:
    """An import or export job."""

    id: str
    kind: Literal["imports", "exports"]
    user: str
    source: dict[str, Any]
    destination: dict[str, Any]
    started: float
    project: str
    volume: str
    overwrite: bool = False
    autorename: bool = False
    preserve_folders: bool = True
    copy_only: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    state: str = "PENDING"
    finished: float | None = None
    result: Node | None = None
    error: dict[str, Any] | None = None


@dataclass
class AsyncJob:
    """An asynchronous copy, move or deletion of files."""

    id: str
    kind: Literal["copy", "move", "delete"]
    user: str
    items: list[dict[str, Any]]
    state: str = "SUBMITTED"
    total: int = 0
    completed: int = 0
    failed: int = 0
    started: float | None = None
    finished: float | None = None
    result: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class App:
    """A workflow or tool; ``revisions`` holds the CWL of revision n at index n."""

    id: str
    name: str
    project: str
    revisions: list[dict[str, Any]]
    copy_of: str | None = None

    @property
    def latest(self) -> int:
        """Newest revision number."""
        return len(self.revisions) - 1


@dataclass
class Task:
    """A task: single, batch parent (``batch``) or child of a batch (``parent``)."""

    id: str
    name: str
    project: str
    app: str
    user: str
    created: float
    description: str = ""
    status: str = "DRAFT"
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    batch: bool = False
    batch_input: str | None = None
    batch_by: dict[str, Any] | None = None
    parent: str | None = None
    batch_group: dict[str, Any] | None = None
    children: list[str] = field(default_factory=list)
    use_interruptible: bool = True
    execution_settings: dict[str, Any] = field(default_factory=dict)
    output_location: dict[str, Any] = field(default_factory=dict)
    origin_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    queued: float | None = None
    start: float | None = None
    end: float | None = None
    waiting_for_machine: bool = False
    message: str = "Draft"
    log: str | None = None

    @property
    def terminal(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL
