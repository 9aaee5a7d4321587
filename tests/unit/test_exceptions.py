"""Errors say what can be done next, survive a pickle, and name what was wrong with an input."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from airflow_src_provider import exceptions as exc

API_ERRORS = [kind for _, kind in inspect.getmembers(exc, inspect.isclass) if issubclass(kind, exc.ApiError)]


def test_every_error_is_ours() -> None:
    for _, kind in inspect.getmembers(exc, inspect.isclass):
        if kind.__module__ == exc.__name__:
            assert issubclass(kind, exc.ResearchCloudError)


@pytest.mark.parametrize("kind", API_ERRORS)
def test_an_api_error_survives_a_pickle_with_all_it_knows(kind: type[exc.ApiError]) -> None:
    error = kind(
        "words", service="S", method="GET", path="p", status=418, code=7, more_info="m", request_id="r",
        retry_after=1.5, body={"a": 1},
    )  # fmt: skip
    error.retryable = not kind.retryable
    error.add_note("a note")

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is kind
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


def test_the_types_answer_both_questions() -> None:
    retryable = {kind.__name__ for kind in API_ERRORS if kind.retryable}
    assert retryable == {
        "RateLimitError",
        "ServiceUnavailableError",
        "MaintenanceError",
        "ServerError",
        "ConnectFailedError",
        "ConnectionLostError",
        "BadAnswerError",
        "BudgetWaitError",
    }
    assert [kind.__name__ for kind in API_ERRORS if not kind.outcome_known] == ["OutcomeUnknownError"]


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({}, "words"),
        ({"service": "S", "method": "GET", "path": "p"}, "S GET p: words"),
        ({"status": 404, "code": 404}, "HTTP 404: words"),
        ({"status": 404, "code": 5002}, "HTTP 404, code 5002: words"),
        ({"status": 503, "code": 0}, "HTTP 503, code 0: words"),
        ({"more_info": "m", "request_id": "r"}, "words (m; request id r)"),
    ],
)
def test_an_api_error_reads_well(attributes: dict[str, Any], text: str) -> None:
    assert str(exc.ApiError("words", **attributes)) == text


def test_a_refused_input_names_parameter_value_and_what_is_allowed() -> None:
    error = exc.InvalidInputError("rate_limit", 0, "a whole number, 1 or more")
    assert str(error) == "rate_limit=0 is not usable: a whole number, 1 or more"
    assert isinstance(error, ValueError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_refused_input_is_shortened() -> None:
    assert len(str(exc.InvalidInputError("files", ["x" * 50] * 1000, "ids"))) < 250


def test_several_refused_inputs_are_told_together() -> None:
    problems = [exc.InvalidInputError("a", 1, "b"), exc.InvalidInputError("c", 2, "d")]
    error = exc.InvalidInputsError(problems)
    assert str(error) == "2 problems:\n- a=1 is not usable: b\n- c=2 is not usable: d"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(exc.InvalidInputsError(problems[:1])) == str(problems[0])


def test_failed_remote_work_survives_a_pickle() -> None:
    again = pickle.loads(pickle.dumps(exc.RemoteWorkError("two failed", {"a": "why"})))
    assert (str(again), again.failures) == ("two failed", {"a": "why"})


def test_a_wait_that_took_too_long_is_a_timeout() -> None:
    assert issubclass(exc.WaitTimeoutError, TimeoutError)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("not shown")


@pytest.mark.parametrize("value", [10**5000, Unshowable(), [Unshowable()]], ids=["number", "object", "list"])
def test_a_value_that_cannot_be_shown_is_refused_all_the_same(value: object) -> None:
    error = exc.InvalidInputError("name", value, "text")
    assert str(error) == f"name=<{type(value).__name__}> is not usable: text"
