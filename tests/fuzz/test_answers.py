"""Answers of any shape, to every method of the clients and to whole tasks: a result, or an error that is ours."""

from __future__ import annotations

import inspect
import json
import signal
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.client.src import SrcClient
from airflow_src_provider.client.stores import MemoryStore
from airflow_src_provider.exceptions import ApiError, ResearchCloudError
from tests.faults.cases import CASES, Case, files, workspace
from tests.faults.stage import Stage
from tests.fuzz.conftest import LONGEST, TYPED, begin
from tests.fuzz.fuzzing import CHANCE, fuzzed, is_airflows
from tests.fuzz.values import FILE_ID, NAMES, TEXTS, UUID, bent, json_value
from tests.fuzz.wire import URL, Wire

CLIENTS = {"sb": SevenBridgesClient, "src": SrcClient}
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(TEXTS),
    st.sampled_from((10**400, -1, 1e300, "running", "COMPLETED", "2026-01-01T00:00:00Z", UUID, FILE_ID)),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)),
    max_leaves=15,
)
STATUSES = st.sampled_from(
    (200, 200, 200, 201, 202, 204, 206, 301, 304, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503)
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
            "Retry-After",
            "Date",
            "X-Request-Id",
            "Content-Type",
            "Location",
            "X-Total-Matching-Query",
        ]
    ),
    st.sampled_from(
        ("", "0", "-1", "soon", "1e999", "nan", "9" * 30, "²", "Thu, 01 Jan 1970 00:00:00 GMT", "a" * 5000)
    ),
    max_size=4,
)
RAW = st.one_of(
    ANYTHING.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20),
    st.sampled_from((b"", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"NaN", b"9" * 5000, b'"\\ud800"')),
)


def methods(client: Any) -> dict[str, Callable[..., Any]]:
    """Return what a client offers, by name."""
    return {
        f"{part}.{name}": method
        for part, resource in vars(client).items()
        if part != "session"
        for name, method in inspect.getmembers(resource, inspect.ismethod)
        if not name.startswith("_")
    }


NOWHERE: Any = None
ALL_METHODS = [(service, name) for service, client in CLIENTS.items() for name in methods(client(NOWHERE))]


def arguments(stage: Stage, service: str) -> dict[str, Any]:
    """Return what is right for a parameter of this name, or for one of a method."""
    if service == "src":
        id_ = workspace(stage, "gpu-box")
        return {
            "workspace_id": id_, "action": "resume", "actions": ["resume"], "wallet_id": UUID, "name": "gpu-box",
            "body": {"co_id": UUID, "wallet_id": UUID, "name": "x", "meta": {}}, "workspace_ids": [id_, UUID],
            "rules": [], "storage_ids": [], "co_id": UUID, "products": ["a"], "item_id": UUID,
            "workspaces.update.name": "new",
        }  # fmt: skip
    there = files(stage)
    task = {"project": "labuser/cohort", "app": "labuser/cohort/salmon", "name": "t", "inputs": {}}
    item = {
        "source": {"volume": "labuser/bucket", "location": "run1/S0001_R1.fastq.gz"},
        "destination": {"project": "a/b"},
    }
    export = {"source": {"file": FILE_ID}, "destination": {"volume": "a/b", "location": "c"}}
    return {
        "username": "labuser", "name": "a name", "project_id": "labuser/cohort", "changes": {"name": "new"},
        "file_id": there[0], "project": "labuser/cohort", "file_ids": there[:2], "folder_id": FILE_ID,
        "parent": FILE_ID, "metadata": {"a": "b"}, "names": ["S0001_R1.fastq.gz"], "tags": ["a"], "body": task,
        "volume_id": "labuser/bucket", "location": "run1/S0001_R1.fastq.gz", "item": item, "items": [item],
        "job_id": "j1", "job_ids": ["j1", "j2"], "copy_only": True, "task_id": UUID, "task_ids": [UUID], "inputs": {},
        "app_id": "labuser/cohort/salmon", "kind": "copy", "group_id": UUID, "tasks.children.parent": UUID,
        "projects.find.name": "Cohort", "files.edit_many.changes": [{"id": there[0], "metadata": {"a": "b"}}],
        "files.copy.project": "labuser/results",
        "files.update_many.changes": [{"id": there[0], "name": "a", "tags": [], "metadata": {}}],
        "files.list.project": "labuser/cohort", "files.walk.project": "labuser/cohort",
        "files.scroll.project": "labuser/cohort", "files.resolve_names.project": "labuser/cohort",
        "files.create_folder.project": "labuser/cohort",
        "async_jobs.copy.items": [{"file": there[0], "project": "a/b"}],
        "async_jobs.move.items": [{"file": there[0], "parent": FILE_ID}], "exports.create.item": export,
        "exports.create_chunk.items": [export], "exports.create_many.items": [export],
        "volumes.create.body": {"name": "v", "service": {"type": "s3", "bucket": "b"}},
    }  # fmt: skip


def bound(name: str, method: Callable[..., Any], known: dict[str, Any]) -> Callable[[], Any]:
    """Return a method with everything that it needs."""
    given = {}
    for parameter in inspect.signature(method).parameters.values():
        if (key := f"{name}.{parameter.name}") in known:
            given[parameter.name] = known[key]
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            given[parameter.name] = known[parameter.name]
    return partial(method, **given)


def client_of(service: str, stage: Stage, wire: Wire) -> Any:
    """Return a client on the wire, whose waits step the sandbox's clock."""
    budget = BudgetSettings(URL, 10**6, 60.0)
    names = ("workspace", "user", "wallet", "catalog")
    paths = {"workspace": "workspace", "user": "user", "wallet": "wallet", "catalog": "application-market"}
    urls = {"": f"{URL}/v2"} if service == "sb" else {name: f"{URL}/v1/{paths[name]}" for name in names}
    session = ApiSession(
        urls,
        stage.sandbox.tokens["labuser" if service == "sb" else "researcher1"],
        token_header="X-SBG-Auth-Token" if service == "sb" else "authorization",
        budget=Budget(budget, "t", store=MemoryStore(10**6, 60.0, stage.now), sleep=stage.sleep, clock=stage.now),
        sleep=stage.sleep,
        clock=stage.now,
        max_wait=300.0,
    )
    return CLIENTS[service](session)


def exhausted(call: Callable[[], Any]) -> Any:
    """Return a result, with all of what comes lazily."""
    result = call()
    return list(result) if isinstance(result, Iterator) else result


@pytest.fixture(scope="module")
def clients(stage: Stage, wire: Wire) -> dict[str, dict[str, Callable[[], Any]]]:
    stage.begin("sb")
    return {
        service: {
            name: bound(name, method, arguments(stage, service))
            for name, method in methods(client_of(service, stage, wire)).items()
        }
        for service in CLIENTS
    }


Clients = dict[str, dict[str, Callable[[], Any]]]


def try_call(call: Callable[[], Any], name: str) -> None:
    signal.alarm(LONGEST)
    try:
        json.dumps(exhausted(call), default=repr)
    except ResearchCloudError:
        pass
    except Exception as error:
        raise AssertionError(f"{name}: {error!r}") from error
    finally:
        signal.alarm(0)


def test_every_method_is_called_right(clients: Clients, stage: Stage) -> None:
    for called in clients.values():
        for call in called.values():
            try:
                exhausted(call)
            except ApiError:
                # That there is no such thing, say.
                continue


@fuzzed(
    200,
    method=st.sampled_from(ALL_METHODS),
    answers=st.lists(st.tuples(STATUSES, HEADERS, RAW), min_size=1, max_size=3),
)
def test_a_method_with_any_answer(
    method: tuple[str, str], answers: list[tuple[int, dict[str, str], bytes]], clients: Clients, wire: Wire
) -> None:
    service, name = method
    later = iter(answers)
    last = answers[-1]
    # A server that always says "there is more" is not asked for ever.
    wire.answer = lambda _: next(later, last)
    try:
        try_call(clients[service][name], name)
    finally:
        wire.answer = None
        wire.log.clear()


@fuzzed(150, method=st.sampled_from(ALL_METHODS), chance=CHANCE)
def test_a_method_with_an_answer_that_is_almost_right(
    method: tuple[str, str], chance: Random, clients: Clients, wire: Wire
) -> None:
    service, name = method
    at = chance.randrange(2)
    wire.log.clear()
    wire.bend = partial(bend, chance, at, at)
    try:
        try_call(clients[service][name], name)
    finally:
        wire.bend = None
        wire.log.clear()


def bend(chance: Random, first: int, last: int, number: int, body: bytes) -> bytes:
    """Bend the answers from the first to the last of these."""
    if not first <= number <= last:
        return body
    try:
        value = json.loads(body)
    except ValueError:
        return body
    return json.dumps(bent(chance, value, json_value)).encode()


@fuzzed(60, case=st.sampled_from(list(CASES.values())), deferrable=st.booleans(), chance=CHANCE)
def test_a_task_whose_answers_are_almost_right(
    case: Case, deferrable: bool, chance: Random, stage: Stage, wire: Wire
) -> None:
    begin(stage, wire, case)
    make = case.maker(stage, deferrable)
    first = chance.randrange(10)
    wire.bend = partial(bend, chance, first, first + chance.choice((0, 0, 3)))
    signal.alarm(LONGEST)
    try:
        outcome = stage.play(make, tries=2)
    finally:
        signal.alarm(0)
        wire.bend = None
    for error in outcome.errors:
        if not isinstance(error, TYPED) and not is_airflows(error):
            raise AssertionError(f"{case.name}: {error!r}") from error
