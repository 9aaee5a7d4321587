import os
import signal
from collections.abc import Iterator

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.faults.case import SEED
from tests.faults.stage import Stage

LONGEST = 60


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("FAULTS") == "all":
        from tests.faults import cells

        terminalreporter.section("the fault matrix")
        for line in cells.summary():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def fault_sandbox() -> Iterator[Sandbox]:
    with Sandbox(stepped=True, seed=SEED) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def stage(fault_sandbox: Sandbox) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        yield Stage(fault_sandbox, patch)


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise AssertionError(f"it hangs: not done after {LONGEST} s of real time")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
