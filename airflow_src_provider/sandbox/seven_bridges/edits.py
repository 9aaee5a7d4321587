"""Changes from outside: what a colleague in the web pages, or somebody at the bucket, could do."""

from __future__ import annotations

from typing import Any

from .store import Store

_ALLOWED = {
    "file": {"name", "size", "metadata", "tags", "storage"},
    "task": {"name", "status", "message"},
    "volume": {"active", "access_mode"},
    "project": {"name", "category", "members", "settings"},
    "job": {"state", "error"},
}


def edit(store: Store, kind: str, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Set attributes of a file, task, volume, project or job, or write an object of a volume.

    ``{"deleted": true}`` removes a file, or an object. The key of an object is ``owner/volume/location``, and
    ``{"size": bytes}`` writes it.

    :raises KeyError: when there is no such kind or key.
    :raises ValueError: when a change is not possible.
    """
    if kind == "object":
        return _edit_object(store, key, changes)
    records: dict[str, dict[str, Any]] = {
        "file": store.nodes,
        "task": store.tasks,
        "volume": store.volumes,
        "project": store.projects,
        "job": store.jobs,
    }
    if kind not in records:
        raise KeyError(f"no kind {kind!r}; known: object, {', '.join(records)}")
    if key not in records[kind]:
        raise KeyError(f"no {kind} {key!r}")
    record = records[kind][key]
    if kind == "file" and changes == {"deleted": True}:
        store.remove_node(record)
        return {"deleted": key}
    if unknown := set(changes) - _ALLOWED[kind]:
        raise ValueError(f"cannot set {sorted(unknown)} of a {kind}; possible: {sorted(_ALLOWED[kind])}")
    if kind == "file" and "name" in changes:
        store.rename(record, changes.pop("name"))
    for name, value in changes.items():
        setattr(record, name, value)
    return {"changed": key}


def _edit_object(store: Store, key: str, changes: dict[str, Any]) -> dict[str, Any]:
    owner, _, rest = key.partition("/")
    name, _, location = rest.partition("/")
    volume = store.volumes.get(f"{owner}/{name}")
    if volume is None or not location:
        raise KeyError(f"no volume for {key!r}; an object's key is owner/volume/location")
    if changes == {"deleted": True}:
        if location not in volume.objects:
            raise KeyError(f"no object {key!r}")
        store.drop_object(volume, location)
        return {"deleted": key}
    if set(changes) != {"size"} or not isinstance(changes["size"], int):
        raise ValueError('an object takes {"size": bytes} or {"deleted": true}')
    store.put_object(volume, location, changes["size"])
    return {"changed": key}
