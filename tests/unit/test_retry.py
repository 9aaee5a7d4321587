"""The exported retry policy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_src_provider import exceptions as exc
from airflow_src_provider.retry import ResearchCloudRetryPolicy

AGAIN, FAIL, DEFAULT = RetryAction.RETRY, RetryAction.FAIL, RetryAction.DEFAULT


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (exc.RateLimitError("too many", status=429, retry_after=17.0), AGAIN, 17),
        (exc.RateLimitError("too many", status=429), AGAIN, 60),
        (exc.BudgetWaitError("used up", retry_after=200.0), AGAIN, 200),
        (exc.ServiceUnavailableError("queue full", status=503), AGAIN, 60),
        (exc.MaintenanceError("under maintenance", status=503, code=0), AGAIN, 300),
        (exc.MaintenanceError("under maintenance", status=503, code=0, retry_after=0.0), AGAIN, 0),
        (exc.TokenRejectedError("unknown token", status=401), FAIL, None),
        (exc.ForbiddenError("not yours", status=403), FAIL, None),
        (exc.BadRequestError("no", status=400), FAIL, None),
        (exc.InvalidInputError("size", 0, "1 or more"), FAIL, None),
        (exc.InvalidInputsError([exc.InvalidInputError("size", 0, "1 or more")]), FAIL, None),
        (exc.NotFoundError("not there yet", status=404), DEFAULT, None),
        (exc.ServerError("oops", status=500), DEFAULT, None),
        (exc.OutcomeUnknownError("who knows"), DEFAULT, None),
        (exc.RemoteWorkError("3 of 5 failed"), DEFAULT, None),
        (exc.WaitTimeoutError("over"), DEFAULT, None),
        (KeyError("surprise"), DEFAULT, None),
    ],
)
def test_what_may_pass_is_tried_again_and_what_cannot_is_not(
    error: Exception, action: RetryAction, delay: float | None
) -> None:
    decision = ResearchCloudRetryPolicy().evaluate(error, 1, 3)
    assert decision.action is action
    assert decision.retry_delay == (None if delay is None else timedelta(seconds=delay))
    assert bool(decision.reason) == (action is not DEFAULT)


def test_the_cause_decides_too() -> None:
    wrapped = RuntimeError("raised by somebody's own operator")
    wrapped.__cause__ = exc.TokenRejectedError("unknown token", status=401)
    assert ResearchCloudRetryPolicy().evaluate(wrapped, 1, 3).action is FAIL


def test_causes_that_go_in_a_circle_come_to_an_end() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert ResearchCloudRetryPolicy().evaluate(first, 1, 3).action is DEFAULT


def test_delays_are_a_choice_and_travel() -> None:
    policy = ResearchCloudRetryPolicy(busy_delay=timedelta(minutes=2), maintenance_delay=900)
    again = ResearchCloudRetryPolicy.deserialize(policy.serialize())
    for one in (policy, again):
        busy = one.evaluate(exc.ServiceUnavailableError("queue full"), 1, 3)
        maintenance = one.evaluate(exc.MaintenanceError("down"), 1, 3)
        assert [busy.retry_delay, maintenance.retry_delay] == [timedelta(minutes=2), timedelta(minutes=15)]


@pytest.mark.parametrize("value", [0, -1, "60", None, float("nan"), True])
@pytest.mark.parametrize("name", ["busy_delay", "maintenance_delay"])
def test_a_delay_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(exc.InvalidInputError, match=name):
        ResearchCloudRetryPolicy(**{name: value})


def test_a_dag_with_the_policy_can_be_serialized() -> None:
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    from airflow_src_provider.operators.src import SrcPauseWorkspaceOperator

    with DAG("policy", schedule=None) as dag:
        SrcPauseWorkspaceOperator(task_id="pause", workspace="box", retry_policy=ResearchCloudRetryPolicy())
    assert "policy" in str(DagSerialization.to_dict(dag))
