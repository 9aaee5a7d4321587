import signal
from collections.abc import Iterator

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.faults.cases import SEED
from tests.faults.stage import Stage

LONGEST = 20


@pytest.fixture(scope="session")
def fault_sandbox() -> Iterator[Sandbox]:
    with Sandbox(stepped=True, seed=SEED) as sandbox:
        yield sandbox


@pytest.fixture
def stage(fault_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    def give_up(*_: object) -> None:
        raise AssertionError(f"it hangs: not done after {LONGEST} s of real time")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    try:
        yield Stage(fault_sandbox, monkeypatch)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
