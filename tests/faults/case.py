"""A case: one task at work on a small piece of the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import BaseOperator

from airflow_src_provider.sensors.base import RemoteSensor
from tests.faults.stage import Stage

SAMPLES = 3
SEED = {
    "sb": {
        "projects": [
            {"id": "labuser/cohort", "name": "Cohort", "fastq": {"samples": SAMPLES, "metadata": True}},
            {"id": "labuser/results", "name": "Results"},
        ],
        "volumes": [
            {
                "id": "labuser/bucket",
                "service": {"type": "s3", "bucket": "lab", "prefix": "", "endpoint": "s3.amazonaws.com"},
                "fastq": {"samples": SAMPLES, "prefix": "run1/"},
            }
        ],
        "apps": [
            {
                "id": "labuser/cohort/salmon",
                "name": "Salmon",
                "step": "salmon",
                "inputs": {"reads": "File[]"},
                "outputs": {"quant": "{stem}.quant.sf"},
            }
        ],
    }
}
LIMIT = 3600.0


@dataclass(frozen=True)
class Case:
    """A task, and what has to be there before it."""

    name: str
    service: str
    operator: type[BaseOperator]
    options: Callable[[Stage], dict[str, Any]]
    prepare: Callable[[Stage], None] = lambda stage: None
    switches: dict[str, Any] = field(default_factory=dict)
    #: Requests it does not have: one before the one that acts (``first``), one after it (``wait``).
    lacks: tuple[str, ...] = ()
    #: Whether it gives up, and says so, rather than guess whether something happened.
    gives_up: bool = False

    def maker(self, stage: Stage, deferrable: bool, interval: float = 30.0) -> Callable[[], BaseOperator]:
        """Return what builds the task, as each leg of it does anew.

        :param interval: seconds between looks.
        """
        between = "poke_interval" if issubclass(self.operator, RemoteSensor) else "poll_interval"
        options = {between: interval, "timeout": LIMIT, **self.options(stage)}
        return lambda: self.operator(task_id="task", deferrable=deferrable, **options)

    def begin(self, stage: Stage, **connection: Any) -> None:
        """Start the world in which the task runs."""
        self.plant(stage, **connection)
        self.prepare(stage)

    def plant(self, stage: Stage, **connection: Any) -> None:
        """Start the world, without what has to be there before the task."""
        stage.begin(self.service, self.switches, **connection)
