"""``docs/deployment.md`` lists exactly what there is: options, metrics, and lines of the log."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import airflow_src_provider
from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.metrics import REASONS, Meter, Metric, WaitedFor
from airflow_src_provider.get_provider_info import get_provider_info
from tests.unit.client.server import SteppedClock
from tests.unit.client.sessions import new_budget

PACKAGE = Path(airflow_src_provider.__file__).parent
DOCS = PACKAGE.parent / "docs"
PAGE = (DOCS / "deployment.md").read_text()


def rows(section: str) -> list[list[str]]:
    """Return the cells of the first table of a section, without its head."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    table = re.findall(r"(?:^\|.*\n)+", text, re.M)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_options_are_those_of_the_provider() -> None:
    config: Any = get_provider_info()["config"]
    ((section, declared),) = config.items()
    assert f"`[{section}]`" in PAGE
    listed = {name.strip("`"): default.strip("`") for name, default, _ in rows("Options")}
    assert listed == {name: option["default"] or "empty" for name, option in declared["options"].items()}


class Recorder:
    """Notes which metric of which kind has which tags, and their values."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[str, set[str]]] = {}
        self.values: dict[str, set[str]] = {}

    def _note(self, metric: Metric, kind: str, tags: Mapping[str, str]) -> None:
        assert self.seen.setdefault(metric, (kind, set(tags))) == (kind, set(tags)), "always the same tags"
        self.values.setdefault(metric, set()).update(tags.values())

    def count(self, metric: Metric, tags: Mapping[str, str]) -> None:
        self._note(metric, "counter", tags)

    def time(self, metric: Metric, seconds: float, tags: Mapping[str, str]) -> None:
        self._note(metric, "timer", tags)

    def level(self, metric: Metric, value: float) -> None:
        self._note(metric, "gauge", {})


def everything() -> Recorder:
    """Have everything measured that can be."""
    recorder, clock = Recorder(), SteppedClock()
    meter = Meter(recorder, clock, aside=lambda do: do())
    for status in (200, 404, 429, 503, None):
        meter.answered("GET", status, 1.0)
    for reason in WaitedFor:
        meter.waited(1.0, reason)
    meter.postponed()
    for kind in REASONS:
        meter.again(kind("so"))
    meter.again(exc.RateLimitError("so"))
    meter.look_at(new_budget(clock))
    return recorder


def test_the_metrics_are_those_that_are_measured() -> None:
    recorder = everything()
    assert set(recorder.seen) == set(Metric)
    listed = {name.strip("`"): (kind, set(re.findall(r"`(\w+)`", tags))) for name, kind, tags, _ in rows("Metrics")}
    assert listed == recorder.seen


def test_the_values_of_the_tags_are_named() -> None:
    meanings = {name.strip("`"): meaning for name, _, _, meaning in rows("Metrics")}
    values = everything().values
    assert values[Metric.RETRIES] == set(REASONS.values())
    for metric in (Metric.RETRIES, Metric.BUDGET_WAIT):
        assert set(re.findall(r"`(\w+)`", meanings[metric])) == values[metric]


def texts() -> set[str]:
    """Return every text of the package's code."""
    return {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_lines_of_the_log_are_written_by_the_code() -> None:
    known = texts()
    looked_for = [fragment for cell, *_ in rows("Logs") for fragment in re.findall(r"`(.*?)`", cell)]
    assert len(looked_for) > 5
    assert [fragment for fragment in looked_for if not any(fragment in text for text in known)] == []


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        text = page.read_text()
        for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            there = (page.parent / file if file else page).read_text()
            titles = re.findall(r"^#+ (.*)$", there, re.M)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert not anchor or anchor in anchors, f"{page.name}: {target}"
