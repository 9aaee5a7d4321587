"""Stand-ins for what Airflow hands to a running task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class FakeStore(dict[str, Any]):
    """A task state store: survives tries and clears, as Airflow's does."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        assert value is not None
        self[key] = value


def make_context(
    store: FakeStore | None = None,
    *,
    try_number: int = 1,
    max_tries: int = 2,
    retries: int = 2,
    task_id: str = "task",
    run_id: str = "run",
    map_index: int = -1,
    **more: Any,
) -> Any:
    """Return a context; a user's clear raises ``max_tries``, an automatic retry only ``try_number``."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="dag",
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        try_number=try_number,
        max_tries=max_tries,
        xcom_push=pushed.__setitem__,
        pushed=pushed,
    )
    task = SimpleNamespace(task_id=task_id, retries=retries)
    return {"ti": ti, "task": task, "task_state_store": FakeStore() if store is None else store, **more}
