"""``if_exists="fail"``: what lies there and is somebody else's is an error, at a retry as well."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_src_provider.exceptions import RemoteWorkError
from tests.unit.fakes import FakeStore, make_context
from tests.unit.operators.seven_bridges.test_exactly_once import archive_ids
from tests.unit.operators.seven_bridges.test_transfers import export, import_
from tests.unit.sb_world import SbWorld

TAKEN = "910[78]"


def import_reads(sb: SbWorld, **more: Any) -> BaseOperator:
    return import_(pattern="S0001_*", **more)


def export_reads(sb: SbWorld, **more: Any) -> BaseOperator:
    return export(archive_ids(sb, 2), **more)


Make = Callable[..., BaseOperator]
every = pytest.mark.parametrize("make", [import_reads, export_reads])


@every
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_retry_fails_as_well(sb: SbWorld, make: Make, deferrable: bool) -> None:
    sb.run(make(sb))
    store = FakeStore()
    for number in (1, 2, 3):
        with pytest.raises(RemoteWorkError, match=TAKEN):
            sb.run(make(sb, if_exists="fail", deferrable=deferrable), make_context(store, try_number=number))
    # Sent by somebody else, and by the first try.
    assert sum(n for call, n in sb.calls().items() if call.endswith("create")) == 2


@every
def test_so_does_a_retry_whose_first_try_died_before_it_sent_anything(sb: SbWorld, make: Make) -> None:
    sb.run(make(sb))
    with pytest.raises(RemoteWorkError, match=TAKEN):
        sb.run(make(sb, if_exists="fail"), make_context(FakeStore(), try_number=2))


@every
def test_what_came_between_two_tries_is_not_taken_for_the_work_of_the_first(sb: SbWorld, make: Make) -> None:
    store = FakeStore()
    sb.sandbox.configure(sb={"fail_imports": "S0001", "fail_exports": "S0001"})
    with pytest.raises(RemoteWorkError):
        sb.run(make(sb, if_exists="fail"), make_context(store))
    sb.sandbox.configure(sb={"fail_imports": None, "fail_exports": None})
    sb.run(make(sb))
    with sb.sandbox.app.lock:
        # Another user's jobs are not listed.
        sb.store.jobs.clear()
    with pytest.raises(RemoteWorkError, match=TAKEN):
        sb.run(make(sb, if_exists="fail"), make_context(store, try_number=2))


@every
def test_what_the_first_try_did_is_its_own(sb: SbWorld, make: Make) -> None:
    store = FakeStore()
    sb.run(make(sb, if_exists="fail"), make_context(store))
    effects = sb.effects()
    for key in [key for key in store if key.endswith(".0") and not key.startswith("plan")]:
        del store[key]
    sb.sandbox.advance(3600)
    result = sb.run(make(sb, if_exists="fail"), make_context(store, try_number=2))
    assert (result["failed"], sb.effects()) == (0, effects)


@every
def test_what_another_task_of_the_run_did_is_not_its_own(sb: SbWorld, make: Make) -> None:
    """The first worker of the second task vanished, and then a request got lost before it arrived."""
    run = SimpleNamespace(start_date=datetime.fromtimestamp(sb.now() - 60, UTC))
    sb.run(make(sb), make_context(task_id="first", dag_run=run))
    sb.sandbox.advance(3600)
    sb.sandbox.fault(service="sb", method="POST", path="ports/create", action="close", when="before", times=1)
    with pytest.raises(RemoteWorkError, match=TAKEN):
        sb.run(make(sb, if_exists="fail"), make_context(task_id="second", dag_run=run, try_number=2))
