"""One served sandbox for all tests of a file; each test starts from the seed and the defaults, at a stepped clock."""

from collections.abc import Iterator

import pytest

from airflow_src_provider.sandbox import Sandbox
from tests.contract.sb_client import Sb
from tests.contract.src_client import Src


@pytest.fixture(scope="module")
def _module_src() -> Iterator[Src]:
    with Sandbox(stepped=True) as sandbox:
        yield Src(sandbox)


@pytest.fixture
def served_src(_module_src: Src) -> Src:
    _module_src.reset()
    return _module_src


@pytest.fixture
def src(served_src: Src) -> Src:
    return served_src


@pytest.fixture(scope="module")
def _module_sb() -> Iterator[Sb]:
    with Sandbox(stepped=True) as sandbox:
        yield Sb(sandbox)


@pytest.fixture
def sb(_module_sb: Sb) -> Sb:
    _module_sb.reset()
    return _module_sb
