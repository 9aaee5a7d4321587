import importlib
import signal
from collections.abc import Iterator

import pytest
from airflow.sdk.exceptions import AirflowException
from requests.adapters import HTTPAdapter

from airflow_src_provider.exceptions import ResearchCloudError
from airflow_src_provider.sandbox import Sandbox
from tests.faults.cases import SEED as PLANTED
from tests.faults.cases import Case
from tests.faults.stage import Stage
from tests.fuzz import fuzzing
from tests.fuzz.wire import Wire

#: Real seconds for one example; what takes longer hangs.
LONGEST = 120
TYPED = (ResearchCloudError, AirflowException)
_begun: list[tuple[Stage, Case]] = []


def begin(stage: Stage, wire: Wire, case: Case) -> None:
    """Start the world of a case, unless it is untouched."""
    if wire.log or _begun != [(stage, case)]:
        case.begin(stage)
        _begun[:] = [(stage, case)]
    wire.log.clear()


def pytest_report_header() -> str | None:
    if not fuzzing.EXAMPLES:
        return None
    return f"fuzz: FUZZ_EXAMPLES={fuzzing.EXAMPLES} FUZZ_SEED={fuzzing.SEED}"


@pytest.fixture(scope="module")
def wire() -> Wire:
    """The way to a sandbox that stands still, without any network."""
    return Wire(Sandbox(stepped=True, seed=PLANTED))


@pytest.fixture(scope="module")
def stage(wire: Wire) -> Iterator[Stage]:
    """Where whole tasks run against the sandbox."""
    importlib.import_module("airflow.providers.openlineage.extractors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", lambda _, request, **options: wire.send(request))
        yield Stage(wire.sandbox, patch)


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise AssertionError(f"it hangs: not done after {LONGEST} s of real time")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
