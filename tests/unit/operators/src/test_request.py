"""Any other request: the same session, and what must not be repeated is sent once."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_src_provider.exceptions import ForbiddenError, InvalidInputError, OutcomeUnknownError, RemoteWorkError
from airflow_src_provider.operators.src import SrcRequestOperator
from tests.unit.fakes import FakeStore, make_context
from tests.unit.src_world import CO, GPU_BOX, SrcWorld

PAUSE = {"service": "workspace", "method": "POST", "path": f"workspaces/{GPU_BOX}/actions/resume/", "data": {}}


def request(**options: Any) -> SrcRequestOperator:
    return SrcRequestOperator(task_id="request", **options)


def test_it_returns_the_answer(src: SrcWorld) -> None:
    result = src.run(request(service="user", path="users/self/"))
    assert (result["status"], result["answer"]["username"], result["api_calls"]) == (200, "researcher1", 1)


def test_a_list_in_the_query_repeats_its_name(src: SrcWorld) -> None:
    query = {"co": CO, "product": ["daphne-compute", "daphne-gpu"], "limit": 1}
    result = src.run(request(service="catalog", path="catalog_items/offerings/", query=query))
    assert len(result["answer"]["results"]) == 1
    assert "product=daphne-compute&product=daphne-gpu" in src.sandbox.journal()[-1]["query"]


def test_an_answer_that_is_text(src: SrcWorld) -> None:
    result = src.run(request(service="workspace", path=f"workspaces/{GPU_BOX}/logs/"))
    assert "PLAY RECAP" in result["answer"]


def test_a_large_answer_is_left_out(src: SrcWorld) -> None:
    src.world.add_workspaces(60)
    result = src.run(request(service="workspace", path="workspaces/", query={"limit": 100}))
    assert result["answer"] is None


def test_an_effect_is_sent_once_and_its_answer_kept(src: SrcWorld) -> None:
    store = FakeStore()
    first = src.run(request(**PAUSE), make_context(store))
    again = src.run(request(**PAUSE), make_context(store, try_number=2))
    assert again["answer"] == first["answer"]
    assert src.effects("gpu-box") == {"resume": 1}


def test_an_effect_that_nobody_knows_of_is_not_sent_again(src: SrcWorld) -> None:
    store = FakeStore()
    src.sandbox.fault(service="src", method="POST", action="close", when="after")
    with pytest.raises(OutcomeUnknownError):
        src.run(request(**PAUSE), make_context(store))
    with pytest.raises(RemoteWorkError, match="may have been sent"):
        src.run(request(**PAUSE), make_context(store, try_number=2))
    assert src.effects("gpu-box") == {"resume": 1}


def test_an_effect_that_was_certainly_refused_is_sent_again(src: SrcWorld) -> None:
    store = FakeStore()
    with pytest.raises(ForbiddenError):
        src.run(request(**PAUSE, src_conn_id="src_other"), make_context(store))
    assert src.run(request(**PAUSE), make_context(store, try_number=2))["status"] == 200


BAD: list[tuple[dict[str, Any], str]] = [
    ({"service": "storage"}, "one of workspace"),
    ({"method": "get"}, "one of GET"),
    ({"path": ""}, "not empty"),
    ({"path": "https://elsewhere.example/"}, "below the service's base URL"),
    ({"query": "limit=1"}, "a dict"),
    ({"data": {1, 2}}, "JSON"),
    ({"safe": "yes"}, "True, False"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_refused_before_the_first_call(src: SrcWorld, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        src.run(request(**({"service": "user", "path": "users/self/"} | options)))
    assert src.sandbox.journal() == []


def test_a_request_that_could_not_be_sent_was_not_sent(src: SrcWorld) -> None:
    store = FakeStore()
    with pytest.raises(InvalidInputError, match="without host"):
        src.run(request(**{**PAUSE, "path": "workspaces/?x=1"}), make_context(store))
    with pytest.raises(InvalidInputError, match="without host"):
        src.run(request(**{**PAUSE, "path": "workspaces/?x=1"}), make_context(store, try_number=2))
