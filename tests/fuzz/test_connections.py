"""Connections with anything in any field: usable, or refused in plain words that show no credential."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from hypothesis import strategies as st

from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.hooks.base import COMMON_FIELDS, ResearchCloudHook
from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.hooks.src import SrcHook
from tests.fuzz.fuzzing import fuzzed
from tests.fuzz.values import TEXTS

HOOKS: tuple[type[ResearchCloudHook], ...] = (SevenBridgesHook, SrcHook)
#: Planted where it does not belong, in the forms that people have at hand.
SECRET = "pl4nted-0123456789abcdef"
CREDENTIALS = (
    SECRET, f"Bearer {SECRET}", f" {SECRET}\n", f"https://user:{SECRET}@host.example/",
    f"https://host.example/{SECRET}", f"https://{SECRET}/", f"https://host.example/?token={SECRET}",
    f"https://host.example/#{SECRET}", f"{SECRET}.example", f"redis://:{SECRET}@localhost:6379/0",
    f"http://{SECRET}@proxy.example:3128", f"user:{SECRET}", f"token={SECRET}", f"ftp://{SECRET}",
    f"{SECRET}\r\nX-Evil: 1", SECRET.upper(), f"/path/{SECRET}", f"2027-01-31{SECRET}",
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(TEXTS), st.sampled_from(CREDENTIALS),
        st.sampled_from((0, -1, 1e308, 10**30, 2**63, "1", "0.5", "yes", "no", "1e999", "nan", "2027-01-31")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(TEXTS), st.sampled_from(CREDENTIALS)), inner, max_size=3),
    ),
    max_leaves=4,
)  # fmt: skip
FIELD_TEXTS = st.one_of(st.none(), st.sampled_from(TEXTS), st.sampled_from(CREDENTIALS), st.text(max_size=10))
HOSTS = st.one_of(FIELD_TEXTS, st.sampled_from(("https://api.sbgenomics.com/v2", "http://localhost:1/v1", "localhost")))


def fields_of(hook: type[ResearchCloudHook]) -> list[str]:
    return sorted(COMMON_FIELDS | hook.own_fields)


@st.composite
def connections(draw: st.DrawFn, hook: type[ResearchCloudHook]) -> dict[str, Any]:
    names = st.one_of(st.sampled_from(fields_of(hook)), st.sampled_from(fields_of(hook)), st.sampled_from(TEXTS))
    extra: Any = draw(st.dictionaries(st.one_of(names, st.sampled_from(CREDENTIALS)), JSON_VALUES, max_size=4))
    how = draw(st.integers(0, 9))
    raw: str | None = json.dumps(extra)
    if how == 0:
        raw = draw(st.one_of(st.sampled_from(CREDENTIALS), st.sampled_from(TEXTS)))
    elif how == 1:
        raw = json.dumps(draw(JSON_VALUES))
    elif how == 2:
        raw = json.dumps(extra)[: draw(st.integers(0, 40))]
    return {
        "login": draw(FIELD_TEXTS),
        "password": draw(st.one_of(st.sampled_from(("an-honest-token", "x" * 20)), FIELD_TEXTS)),
        "host": draw(st.one_of(st.none(), HOSTS)),
        "schema": draw(st.one_of(st.none(), FIELD_TEXTS)),
        "port": draw(st.one_of(st.none(), st.sampled_from((0, 1, 443, -1, 65536, 10**20)))),
        "extra": raw,
    }


class Shown(logging.Handler):
    """Everything that a person may see."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def shown() -> Iterator[Shown]:
    handler = Shown()
    log = logging.getLogger("airflow_src_provider")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


@pytest.mark.parametrize("hook", HOOKS)
@fuzzed(60, data=st.data())
def test_any_connection_is_used_or_refused_without_showing_a_credential(
    hook: type[ResearchCloudHook], data: st.DataObject, shown: Shown
) -> None:
    given = data.draw(connections(hook))
    connection = SimpleNamespace(conn_id="c", conn_type=hook.conn_type, **given)
    made = hook("c")
    made.get_connection = lambda _: connection  # type: ignore[method-assign, assignment]
    shown.lines.clear()
    try:
        made.session.close()
        text = ""
    except InvalidInputError as error:
        text = f"{error} {error!r} {error.value!r}"
        for problem in getattr(error, "problems", []):
            text += f" {problem.value!r}"
    for line in [text, *shown.lines]:
        assert SECRET not in line.lower(), line


def test_the_stand_in_has_what_a_connection_has() -> None:
    real = Connection(conn_id="c", conn_type="t", host="h", login="l", password="p", schema="s", port=1, extra="{}")
    assert all(hasattr(real, name) for name in ("host", "login", "password", "schema", "port", "extra"))
