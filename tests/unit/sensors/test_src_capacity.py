"""Waiting for room."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.sensors.src import SrcCapacitySensor
from tests.unit.fakes import make_context
from tests.unit.src_world import NO_GPU, SrcWorld, src, src_sandbox

__all__ = ["src", "src_sandbox"]

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True])
BY_NAME = {
    "collaboration": "Example Project",
    "wallet": "SRC account for Example Project",
    "catalog_item": "Jupyter Notebook",
}


def sensor(**options: Any) -> SrcCapacitySensor:
    return SrcCapacitySensor(task_id="sensor", poke_interval=30, **options)


def set_flavour(src: SrcWorld, **values: Any) -> None:
    flavour = src.world.pick(src.world.flavours.values(), "name", "A10 - 2 GPU")
    for key, value in values.items():
        setattr(flavour, key, value)


def sense(src: SrcWorld, task: SrcCapacitySensor, monkeypatch: pytest.MonkeyPatch) -> Any:
    from types import SimpleNamespace

    from airflow.sdk.bases import sensor as airflow_sensor

    monkeypatch.setattr(airflow_sensor, "time", SimpleNamespace(monotonic=src.now, sleep=src.sleep))
    return src.run(task)


@BOTH_MODES
@pytest.mark.parametrize("options", [{**BY_NAME, "size": "A10 - 2 GPU"}, {"workspace": NO_GPU}])
def test_it_ends_when_there_is_room(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, deferrable: bool, options: dict[str, Any]
) -> None:
    src.world.later(300, lambda: set_flavour(src, free=1))
    started = src.now()
    result = sense(src, sensor(**options, deferrable=deferrable), monkeypatch)
    assert (result["size"], result["available"]) == ("A10 - 2 GPU", True)
    assert 300 <= src.now() - started <= 400


def test_a_size_that_is_free_needs_no_wait(src: SrcWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sense(src, sensor(**BY_NAME, size="A10 - 1 GPU"), monkeypatch)["available"]


@BOTH_MODES
def test_a_size_that_is_taken_out_of_the_catalog_fails(
    src: SrcWorld, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    src.world.later(100, lambda: set_flavour(src, status="disabled"))
    with pytest.raises(AirflowFailException, match="disabled"):
        sense(src, sensor(workspace=NO_GPU, deferrable=deferrable), monkeypatch)


@BOTH_MODES
def test_no_room_in_time(src: SrcWorld, monkeypatch: pytest.MonkeyPatch, deferrable: bool) -> None:
    with pytest.raises(AirflowSensorTimeout):
        sense(src, sensor(workspace=NO_GPU, deferrable=deferrable, timeout=100), monkeypatch)


BAD: list[dict[str, Any]] = [
    {},
    {"workspace": ""},
    {"workspace": "gpu-box", "size": "A10 - 1 GPU"},
    {**BY_NAME, "wallet": " "},
    {**BY_NAME, "size": 5},
    {**BY_NAME, "size": ""},
    {**BY_NAME, "cloud": None},
    {**BY_NAME, "cloud": 3},
    {"workspace": "gpu-box", "cloud": None},
    {"workspace": "gpu-box", "cloud": "SURF HPC Cloud cluster"},
]


@pytest.mark.parametrize("options", BAD)
def test_bad_input_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        sensor(**options)


def test_what_a_template_gives_is_checked_before_any_request(src: SrcWorld) -> None:
    task = sensor(**BY_NAME, size="{{ params.size }}")
    task.size = 5
    before = len(src.sandbox.journal())
    with pytest.raises(InvalidInputError, match="size=5"):
        task.execute(make_context())
    assert len(src.sandbox.journal()) == before
