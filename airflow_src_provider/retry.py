"""When Airflow should run a failed task again: a ready-made retry policy for the errors of this package.

Use it with any operator of this package::

    from airflow_src_provider.retry import ResearchCloudRetryPolicy

    SevenBridgesSubmitTaskOperator(task_id="salmon", retries=3, retry_policy=ResearchCloudRetryPolicy(), …)

or for a whole DAG with ``default_args={"retries": 3, "retry_policy": ResearchCloudRetryPolicy()}``. Whoever wants other
rules can write them with Airflow's ``ExceptionRetryPolicy`` over :mod:`airflow_src_provider.exceptions`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_src_provider.client.waiting import NOT_NOW
from airflow_src_provider.exceptions import (
    ApiError,
    BadRequestError,
    ForbiddenError,
    InvalidInputError,
    MaintenanceError,
    TokenRejectedError,
)
from airflow_src_provider.remote import seconds

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

#: The same task with the same input and the same token fails again.
HOPELESS = (InvalidInputError, TokenRejectedError, ForbiddenError, BadRequestError)


class ResearchCloudRetryPolicy(RetryPolicy):
    """Retries what may pass, when it may have passed, and nothing that cannot.

    ==================================================  ==========================================================
    error                                               what happens
    ==================================================  ==========================================================
    rate limit, used-up budget, full queue              retry after the delay that the service or budget named, else
                                                        after ``busy_delay``
    maintenance                                         the same, else after ``maintenance_delay``
    refused token, missing right, bad input             fail now: a retry would fail as well
    everything else, also remote work that failed       as the task's ``retries`` and ``retry_delay`` say
    ==================================================  ==========================================================

    The number of retries stays that of the task. Airflow does not ask a policy about ``AirflowFailException``, with
    which sensors end when the work did not end well, nor about a sensor's time-out.

    :param busy_delay: seconds, or a ``timedelta``, when the service named no delay; default one minute.
    :param maintenance_delay: likewise during maintenance; default five minutes.
    :raises InvalidInputError: a delay that is none.
    """

    def __init__(self, *, busy_delay: float | timedelta = 60.0, maintenance_delay: float | timedelta = 300.0) -> None:
        self.busy_delay = seconds("busy_delay", busy_delay)
        self.maintenance_delay = seconds("maintenance_delay", maintenance_delay)

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failure; see the table.

        :param exception: what ended the task; its causes are looked at as well.
        """
        for error in _causes(exception):
            if isinstance(error, NOT_NOW):
                usual = self.maintenance_delay if isinstance(error, MaintenanceError) else self.busy_delay
                delay = usual if error.retry_after is None else error.retry_after
                return RetryDecision.retry(timedelta(seconds=delay), f"the service is busy: {error.message}")
            if isinstance(error, HOPELESS):
                reason = error.message if isinstance(error, ApiError) else str(error)
                return RetryDecision.fail(f"a retry would fail as well: {reason}")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"busy_delay": self.busy_delay, "maintenance_delay": self.maintenance_delay}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ResearchCloudRetryPolicy:
        """Make it again."""
        return cls(**data)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
