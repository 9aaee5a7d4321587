"""CeleryExecutor on two hosts and two triggerers with one token: all of them count their requests together."""

from __future__ import annotations

import pytest

from scripts.accounts import peak
from tests.system.conftest import APART_LIMIT, NUMBERS, SHARED_LIMIT, SHARED_WINDOW, Measured
from tests.system.harness import HOSTS, Airflow, Component
from tests.system.runs import Run
from tests.system.services import REDIS, Ledger, Sandbox
from tests.system.stories import Stories, begins
from tests.system.waiting import SOAK, wait_until

pytestmark = pytest.mark.system

REPETITIONS = range(5 if SOAK else 1)
PATIENCE = 300.0
#: Of each run: a batch of five, the files copied and those imported.
CHILDREN, COPIED, IMPORTED = 5, 1000, 500


@pytest.fixture
def celery(airflow: Airflow) -> Airflow:
    if not airflow.workers:
        pytest.skip(f"CeleryExecutor needs Redis at {REDIS} and PostgreSQL, with SYSTEM_TESTS_DATABASE=postgresql")
    return airflow


def shared(airflow: Airflow, places: dict[str, Sandbox]) -> tuple[list[Run], Ledger]:
    sandbox = places["shared"]
    if not airflow.workers:
        return [], Ledger(sandbox)
    sandbox.reset_places()
    since = Ledger(sandbox)
    return [airflow.run("shared_token", number=number) for number in NUMBERS], since


def given(airflow: Airflow) -> dict[str, int]:
    """Return how many tasks, or parts of tasks, each worker was given so far."""
    return {worker.name: worker.log.read_text().count("Executing workload in Celery") for worker in airflow.workers}


def check(runs: list[Run], since: Ledger) -> str:
    """Check that everything was done once and nothing refused, and return figures."""
    effects, count = since.effects(), len(runs)
    assert effects["tasks_created"] == effects["tasks_started"] == count
    assert effects["children_created"] == CHILDREN * count
    assert effects["files_copied"] == COPIED * count
    assert effects["imports_created"] == effects["files_imported"] == IMPORTED * count
    sent = sorted(entry["time"] for entry in since.requests())
    busiest = peak(sent, SHARED_WINDOW)
    assert since.sandbox.refusals() == 0
    # More was wanted than is allowed: who counts apart is refused then.
    assert 0.5 * SHARED_LIMIT <= busiest <= SHARED_LIMIT < len(sent)
    return (
        f"{len(sent)} requests of {HOSTS} workers and {HOSTS} triggerers in {sent[-1] - sent[0]:.0f} s, none refused; "
        f"in the busiest {SHARED_WINDOW} s {busiest} of {SHARED_LIMIT}"
    )


@begins(shared)
@pytest.mark.parametrize("repetition", REPETITIONS)
def test_workers_and_triggerers_of_several_hosts_share_the_budget(
    stories: Stories, celery: Airflow, measured: Measured, repetition: int
) -> None:
    celery.both_triggerers()
    runs, since = stories(shared)
    for run in runs:
        run.succeeds(PATIENCE)
    measured(check(runs, since))
    assert all(number > 0 for number in given(celery).values())
    # A wait that is over at the first look needs no triggerer, so not every run has both.
    files = {triggerer for run in runs for triggerer in run.triggerers("import")}
    batches = {triggerer for run in runs for triggerer in run.triggerers("batch")}
    assert files
    assert batches
    assert not files & batches, "each triggerer has a part of the waits"


if SOAK:

    @pytest.mark.parametrize("worker", range(HOSTS))
    def test_a_host_that_dies_loses_nothing_and_does_nothing_twice(
        celery: Airflow, places: dict[str, Sandbox], measured: Measured, worker: int
    ) -> None:
        """Its tasks are missed after a while, and tried again elsewhere."""
        celery.both_triggerers()
        victim = celery.workers[worker]
        before = given(celery)[victim.name]
        runs, since = shared(celery, places)
        wait_until("the worker has begun", lambda: given(celery)[victim.name] > before + 1, PATIENCE)
        wait_until("the allowance is used up", lambda: len(since.requests()) >= SHARED_LIMIT, PATIENCE, every=0.1)
        Component.kill(victim)
        for run in runs:
            run.succeeds(PATIENCE)
        victim.start()
        measured("after the death of a worker: " + check(runs, since))
        tries = [task["try_number"] for run in runs for task in run.tasks()]
        assert max(tries) >= 2, "the worker died with something in its hands"


def test_hosts_that_count_apart_are_refused(celery: Airflow, places: dict[str, Sandbox]) -> None:
    """Without a common store each host uses the whole allowance: what the tests above would see."""
    sandbox = places["shared"]
    sandbox.set("/config", {"limit": APART_LIMIT})
    try:
        run = celery.run("counted_apart")
        wait_until("a request is refused", lambda: sandbox.refusals() > 0, PATIENCE)
        run.mark("failed")
    finally:
        sandbox.set("/config", {"limit": SHARED_LIMIT})
