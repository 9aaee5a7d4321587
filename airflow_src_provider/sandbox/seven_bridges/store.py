"""All state of the Seven Bridges half, and the indexes that keep large cohorts fast."""

from __future__ import annotations

import bisect
import random
import uuid
from collections.abc import Iterator
from typing import Any

from ..agenda import Agenda
from .model import (
    RIGHTS,
    App,
    AsyncJob,
    Node,
    Project,
    Task,
    Transfer,
    Volume,
)

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Store:
    """Records by id. Files are also found by folder, by folder and name, and by the task that made them."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}
        self.billing: dict[str, dict[str, Any]] = {}
        self.projects: dict[str, Project] = {}
        self.volumes: dict[str, Volume] = {}
        self.apps: dict[str, App] = {}
        self.tasks: dict[str, Task] = {}
        self.jobs: dict[str, Transfer] = {}
        self.async_jobs: dict[str, AsyncJob] = {}
        self.nodes: dict[str, Node] = {}
        self.logs: dict[str, Node] = {}
        self.agenda = Agenda()
        self.random = random.Random(20260304)
        self._counter = 0
        self._children: dict[str, dict[str, Node]] = {}
        self._names: dict[str, dict[str, Node]] = {}
        self._made_by: dict[str, dict[str, Node]] = {}
        self._sorted: dict[str, list[str]] = {}

    def new_file_id(self) -> str:
        """24 hex digits."""
        self._counter += 1
        return f"65a1f0c2e4b0a77e{self._counter:08x}"

    def new_task_id(self) -> str:
        """A UUID."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_job_id(self) -> str:
        """32 letters and digits."""
        return "".join(self.random.choices(_LETTERS, k=32))

    def new_async_id(self) -> str:
        """Decimal digits."""
        return str(56001 + len(self.async_jobs))

    def may(self, user: str, holder: Project | Volume, right: str) -> bool:
        """Whether ``user`` has ``right`` on a project or volume; public projects can be read and copied by all."""
        if isinstance(holder, Project) and holder.category == "PUBLIC" and right in ("read", "copy"):
            return True
        return bool(holder.members.get(user, {}).get(right))

    def add_project(
        self,
        project_id: str,
        name: str,
        moment: float,
        billing_group: str,
        settings: dict[str, Any] | None = None,
        category: str = "PRIVATE",
    ) -> Project:
        """A new project with its top folder; the owner has all rights."""
        owner = project_id.split("/")[0]
        root = Node(self.new_file_id(), name, "folder", project_id, None, moment, moment)
        self.nodes[root.id] = root
        project = Project(project_id, name, owner, root.id, moment, moment, billing_group, category=category)
        project.settings = {
            "locked": False,
            "controlled": False,
            "use_interruptible_instances": True,
            "use_memoization": False,
            "use_elastic_disk": False,
            "location": "aws:us-east-1",
            "intermediate_files": {"retention": "LIMITED", "duration": 24},
        } | (settings or {})
        project.members[owner] = dict.fromkeys(RIGHTS, True)
        self.projects[project_id] = project
        return project

    def add_node(self, node: Node) -> Node:
        """Put a file or folder into its folder. The name must be free."""
        self.nodes[node.id] = node
        self._link(node)
        return node

    def _link(self, node: Node) -> None:
        assert node.parent is not None
        self._children.setdefault(node.parent, {})[node.id] = node
        self._names.setdefault(node.parent, {})[node.name] = node
        if task := node.origin.get("task"):
            self._made_by.setdefault(task, {})[node.id] = node

    def _unlink(self, node: Node) -> None:
        assert node.parent is not None
        self._children[node.parent].pop(node.id, None)
        self._names[node.parent].pop(node.name, None)
        if task := node.origin.get("task"):
            self._made_by[task].pop(node.id, None)

    def remove_node(self, node: Node) -> int:
        """Delete a file, or a folder with everything in it; returns the number of files that are gone."""
        gone = 0 if node.is_folder else 1
        for child in list(self.children(node.id)):
            gone += self.remove_node(child)
        self._unlink(node)
        del self.nodes[node.id]
        return gone

    def rename(self, node: Node, name: str) -> None:
        """Give a file a new name in the same folder; its place in listings stays."""
        names = self._names[node.parent or ""]
        names.pop(node.name, None)
        node.name = name
        names[name] = node

    def move_node(self, node: Node, parent: Node, name: str) -> None:
        """Put a file or folder into another folder."""
        self._unlink(node)
        node.parent, node.name = parent.id, name
        for inner in self.walk(node):
            inner.project = parent.project
        node.project = parent.project
        self._link(node)

    def children(self, folder: str) -> list[Node]:
        """What lies directly in a folder, in order of creation."""
        return list(self._children.get(folder, {}).values())

    def walk(self, folder: Node) -> Iterator[Node]:
        """Everything below a folder."""
        for child in self.children(folder.id):
            yield child
            if child.is_folder:
                yield from self.walk(child)

    def named(self, folder: str, name: str) -> Node | None:
        """The file or folder of that name in a folder."""
        return self._names.get(folder, {}).get(name)

    def made_by(self, task: str) -> list[Node]:
        """Files that a task made."""
        return list(self._made_by.get(task, {}).values())

    def free_name(self, folder: str, name: str) -> str:
        """``name``, or the first of ``1_name``, ``2_name``, … that is free in the folder."""
        names = self._names.get(folder, {})
        if name not in names:
            return name
        number = 1
        while f"{number}_{name}" in names:
            number += 1
        return f"{number}_{name}"

    def folder_at(self, root: Node, path: str, moment: float) -> Node:
        """The folder at ``path`` below ``root``; missing folders are made, files in the way are stepped aside of."""
        folder = root
        for part in (piece for piece in path.split("/") if piece):
            found = self.named(folder.id, part)
            if found is None or not found.is_folder:
                name = self.free_name(folder.id, part)
                made = Node(self.new_file_id(), name, "folder", root.project, folder.id, moment, moment)
                found = self.add_node(made)
            folder = found
        return folder

    def put_object(self, volume: Volume, location: str, size: int) -> None:
        """Write an object to a volume."""
        if location not in volume.objects:
            self._sorted.pop(volume.id, None)
        volume.objects[location] = size

    def drop_object(self, volume: Volume, location: str) -> None:
        """Remove an object from a volume, as somebody outside the platform would."""
        del volume.objects[location]
        self._sorted.pop(volume.id, None)

    def locations(self, volume: Volume, prefix: str) -> list[str]:
        """Locations that begin with ``prefix``, sorted."""
        if volume.id not in self._sorted:
            self._sorted[volume.id] = sorted(volume.objects)
        ordered = self._sorted[volume.id]
        first = bisect.bisect_left(ordered, prefix)
        last = bisect.bisect_left(ordered, prefix + "\U0010ffff")
        return ordered[first:last]
