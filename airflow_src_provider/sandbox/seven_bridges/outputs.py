"""Files that a task leaves behind, and where they go."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

from .area import mapping
from .errors import ApiError
from .model import Node, Task, Volume
from .task_forms import files_in, shared_metadata

if TYPE_CHECKING:
    from .half import SevenBridgesHalf

_ON_VOLUME = "volumes://"


def write_outputs(half: SevenBridgesHalf, task: Task, moment: float) -> None:
    """Make one file per output of the app and note it in the task.

    Files inherit the metadata that all input files of the batched input (or of all inputs) share. They go to the top
    of the project unless ``output_location`` says otherwise: a path in the project, or ``volumes://volume/path``.
    """
    store = half.store
    app_id, _, revision = task.app.rpartition("/")
    raw = store.apps[app_id].revisions[int(revision)]
    parent = store.tasks.get(task.parent or "")
    varied: Any = task.inputs if parent is None else task.inputs.get(parent.batch_input or "")
    nodes = [store.nodes[file_id] for file_id in files_in(varied) if file_id in store.nodes]
    label = (task.batch_group or {}).get("value") or task.name
    stem = re.sub(r"[^\w.-]+", "_", label).strip("_") or "result"
    for port in raw.get("outputs", []):
        name = str(port.get("sbg:file", "{stem}." + port["id"])).format(stem=stem)
        node = _placed(half, task, port["id"], name, moment)
        node.metadata = shared_metadata(nodes)
        node.origin = {"task": task.id}
        node.size = 100_000 + zlib.crc32(name.encode()) % 5_000_000
        if node.is_alias:
            store.put_object(store.volumes[node.storage["volume"]], node.storage["location"], node.size)
        store.add_node(node)
        task.outputs[port["id"]] = {"class": "File", "path": node.id, "name": node.name}


def check_location(location: dict[str, Any]) -> None:
    """Refuse an ``output_location`` whose parts have the wrong types."""
    nodes = mapping(location.get("nodes_location") or {}, 90000, "nodes_location")
    for part in (location, *(mapping(node, 90000, "a node's location") for node in nodes.values())):
        for key in ("main_location", "main_location_alias", "output_location", "output_location_alias"):
            if not isinstance(part.get(key), str | None):
                raise ApiError(90000, f"{key} is text")


def _placed(half: SevenBridgesHalf, task: Task, port: str, name: str, moment: float) -> Node:
    """A file with its folder, name and storage, not yet in the store."""
    store = half.store
    place, alias = task.output_location.get("main_location"), task.output_location.get("main_location_alias")
    if task.output_location.get("nodes_override"):
        own = (task.output_location.get("nodes_location") or {}).get(port, {})
        place, alias = own.get("output_location", place), own.get("output_location_alias", alias)
    path = _filled(task, place or "")
    root = store.nodes[store.projects[task.project].root]
    storage: dict[str, Any] = {"type": "PLATFORM", "hosted_on_locations": ["aws:us-east-1"]}
    if path.startswith(_ON_VOLUME):
        volume, prefix = _volume_of(half, path[len(_ON_VOLUME) :])
        storage = {"type": "VOLUME", "volume": volume.id, "location": "/".join(filter(None, (prefix, name)))}
        path = _filled(task, alias or "")
    folder = store.folder_at(root, path, moment)
    free = store.free_name(folder.id, name)
    return Node(store.new_file_id(), free, "file", task.project, folder.id, moment, moment, storage=storage)


def _filled(task: Task, path: str) -> str:
    values = {"task_id": task.id, "task_name": task.name, "project_id": task.project, "project": task.project}
    return re.sub(r"<(\w+)>", lambda found: values.get(found[1], found[0]), path)


def _volume_of(half: SevenBridgesHalf, path: str) -> tuple[Volume, str]:
    for volume in half.store.volumes.values():
        for known in (volume.id, volume.name):
            if path == known or path.startswith(f"{known}/"):
                return volume, path[len(known) :].strip("/")
    raise KeyError(path)
