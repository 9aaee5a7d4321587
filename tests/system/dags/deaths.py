"""Operators whose worker is killed, or stands still, at one exact point of their first try."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from airflow_src_provider.operators import durable
from airflow_src_provider.operators.src import actions, creation

# Reads of this sandbox lag behind by one second, not by up to a minute.
actions.READ_LAG = creation.READ_LAG = 5.0  # type: ignore[misc]
actions.LOOK_AGAIN = creation.LOOK_AGAIN = 1.0  # type: ignore[misc]
# Nothing that this sandbox has been told comes later than its answer.
durable.SETTLING = 5.0

#: POST requests that only read or set.
HARMLESS = ("get", "edit", "update", "delete")


def die(point: str) -> None:
    """End this process as a power cut would; with ``+`` the process that supervises it as well."""
    if "+" in point:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def stand_still(operator: Any) -> None:
    """Go on with what is at hand, without a heartbeat meanwhile, when another worker has done the same."""
    os.kill(os.getppid(), signal.SIGSTOP)
    try:
        until = time.monotonic() + 200.0
        while time.monotonic() < until:
            if any(task["name"] == operator.name for task in operator.client.tasks.list(project=operator.project)):
                break
            time.sleep(0.5)
    finally:
        os.kill(os.getppid(), signal.SIGCONT)


def arm(operator: Any, point: str) -> None:
    """Let the worker die.

    :param point: ``before N``, ``after N`` or ``stored N``: before the N-th effect is sent, when its answer is there,
        or when that is written down. ``stands N``: before the N-th effect it stands still until it has been replaced.
    """
    moment, number = point.rstrip("+").split()
    session = operator.client.session
    request, put = session.request, durable.Ledger.put
    effects = 0

    def counting_request(method: str, path: str, **kwargs: Any) -> Any:
        nonlocal effects
        effect = method == "POST" and not kwargs.get("safe") and path.strip("/").rpartition("/")[2] not in HARMLESS
        effects += effect
        if effect and moment == "before" and effects == int(number):
            die(point)
        if effect and moment == "stands" and effects == int(number):
            stand_still(operator)
        answer = request(method, path, **kwargs)
        if effect and moment == "after" and effects == int(number):
            die(point)
        return answer

    def counting_put(self: durable.Ledger, key: str, value: Any) -> None:
        put(self, key, value)
        if moment == "stored" and effects == int(number) and key != "announced":
            die(point)

    session.request = counting_request
    durable.Ledger.put = counting_put  # type: ignore[method-assign]


def mortal(operator_class: type) -> Any:
    """Return an operator class with a parameter ``dies``, the point of its death in the first try."""

    class Mortal(operator_class):  # type: ignore[misc]
        def __init__(self, *, dies: str = "", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.dies = dies

        def execute(self, context: Any) -> Any:
            if self.dies and context["ti"].try_number == 1:
                arm(self, self.dies)
            return super().execute(context)

    return Mortal
