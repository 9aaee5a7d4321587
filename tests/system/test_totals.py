"""What holds of all stories together; after the other tests, when nothing goes on any more."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.statsd_server import StatsdServer
from tests.system.harness import Airflow
from tests.system.services import Sandbox
from tests.system.waiting import SOAK

pytestmark = pytest.mark.system

NAMES = {"src": "surf_research_cloud", "sb": "seven_bridges"}
#: Whoever is killed between a request and its answer does not count it any more.
KILLED_IN_BETWEEN = 40 if SOAK else 10


def test_airflows_metrics_count_what_was_asked_of_the_services(
    airflow: Airflow, places: dict[str, Sandbox], statsd: StatsdServer
) -> None:
    if not any(sandbox.journal() for sandbox in places.values()):
        airflow.run("lost").succeeds(240)
    sent = Counter(entry["service"] for sandbox in places.values() for entry in sandbox.journal())
    sent["sb"] -= sum(sandbox.own_requests for sandbox in places.values())
    requests = [line for line in statsd.lines() if line.name.endswith(".requests")]
    assert {line.process for line in requests} >= {"scheduler", "triggerer"}, "tasks and triggers are measured"
    counted = Counter(line.tags["service"] for line in requests)
    for half, service in NAMES.items():
        assert 0 <= sent[half] - counted[service] <= KILLED_IN_BETWEEN, f"{counted} of {sent}"
