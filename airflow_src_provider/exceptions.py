"""Everything that can go wrong, as types that callers can act on.

Two questions decide what a caller may do next, so every :class:`ApiError` answers them:

* ``retryable``: would the same request have a fair chance later?
* ``outcome_known``: is it certain whether the server acted on the request? Only then may an effect be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ResearchCloudError(Exception):
    """Base of every error that this package raises by itself."""


class InvalidInputError(ResearchCloudError, ValueError):
    """A parameter was refused before any request was sent.

    :param parameter: name of the parameter, as the user wrote it.
    :param value: the refused value; it is shortened in the message. Never pass a secret.
    :param allowed: what would have been accepted, in words.
    """

    def __init__(self, parameter: str, value: object, allowed: str) -> None:
        super().__init__(f"{parameter}={_shown(value)} is not usable: {allowed}")
        self.parameter = parameter
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.parameter, self.value, self.allowed)


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except Exception:
        # Nested too deeply, a number of too many digits, or an object that fails: still a refusal, not a crash.
        shown = f"<{type(value).__name__}>"
    return shown if len(shown) <= 200 else f"{shown[:197]}..."


class InvalidInputsError(InvalidInputError):
    """Several problems of one call, found together and reported together.

    :param problems: the single problems, in the order they were found; at least one.
    """

    def __init__(self, problems: Sequence[InvalidInputError]) -> None:
        first = problems[0]
        super().__init__(first.parameter, first.value, first.allowed)
        self.problems = list(problems)
        if len(self.problems) > 1:
            self.args = (f"{len(self.problems)} problems:\n" + "\n".join(f"- {problem}" for problem in self.problems),)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class ApiError(ResearchCloudError):
    """A request did not give the answer it was sent for.

    :param message: the server's own words, or what happened instead of an answer.
    :param service: which service was asked.
    :param method: HTTP method.
    :param path: path below the service's base URL, never with a token in it.
    :param status: HTTP status, ``None`` when there was no answer.
    :param code: the service's own error code, if it sent one.
    :param more_info: address of the service's explanation, if it sent one.
    :param request_id: the server's id of the request, for a support ticket.
    :param retry_after: seconds that the server asked to wait, if it said so.
    :param body: the parsed JSON object of the answer, if there was one.
    """

    retryable = False
    outcome_known = True

    def __init__(
        self,
        message: str,
        *,
        service: str = "",
        method: str = "",
        path: str = "",
        status: int | None = None,
        code: int | None = None,
        more_info: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        self.message = message
        self.service = service
        self.method = method
        self.path = path
        self.status = status
        self.code = code
        self.more_info = more_info
        self.request_id = request_id
        self.retry_after = retry_after
        self.body = body
        super().__init__(message)

    def __str__(self) -> str:
        asked = " ".join(part for part in (self.service, self.method, self.path) if part)
        answer = [] if self.status is None else [f"HTTP {self.status}"]
        if self.code is not None and self.code != self.status:
            answer.append(f"code {self.code}")
        head = ": ".join(part for part in (asked, ", ".join(answer)) if part)
        tail = [self.more_info] if self.more_info else []
        if self.request_id:
            tail.append(f"request id {self.request_id}")
        return (f"{head}: " if head else "") + self.message + (f" ({'; '.join(tail)})" if tail else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {k: v for k, v in self.__dict__.items() if k != "message"})


def _rebuild(cls: type[ApiError], message: str, attributes: dict[str, Any]) -> ApiError:
    error = cls(message)
    error.__dict__.update(attributes)
    return error


class BadRequestError(ApiError):
    """400, or any other 4xx without a type of its own: the same request will fail again."""


class TokenRejectedError(ApiError):
    """401, or the gateway's 403 about the key: the token is wrong, expired or revoked."""


class ForbiddenError(ApiError):
    """403: the token is good, but its owner may not do this."""


class NotFoundError(ApiError):
    """404: no such thing, or not visible to this token's owner."""


class ConflictError(ApiError):
    """409: it exists already, or its state does not allow this."""


class RateLimitError(ApiError):
    """429: the allowance of this token is used up. The request was certainly not processed."""

    retryable = True


class ServiceUnavailableError(ApiError):
    """503: the service takes no more work for the moment. The request was certainly not processed."""

    retryable = True


class MaintenanceError(ServiceUnavailableError):
    """503 with code 0: the platform is under maintenance, for minutes to hours."""


class ServerError(ApiError):
    """500, 502 or 504, for a request that may be repeated."""

    retryable = True


class ConnectFailedError(ApiError):
    """No connection came about, so nothing was sent."""

    retryable = True


class ConnectionLostError(ApiError):
    """The connection broke or timed out after a repeatable request was sent."""

    retryable = True


class BadAnswerError(ApiError):
    """A success status with a body that cannot be used: not JSON, cut off, or too large."""

    retryable = True


class OutcomeUnknownError(ApiError):
    """An effect was sent and the answer is missing or says nothing: look before sending it again."""

    outcome_known = False


class BudgetWaitError(ApiError):
    """Room in the request budget would come later than the caller was ready to wait. Nothing was sent."""

    retryable = True


class RemoteWorkError(ResearchCloudError):
    """Remote work ended, but not well: a failed task, import, export, resume, ...

    :param message: what failed, with the service's own reason.
    :param failures: reason by id, for every item that failed.
    """

    def __init__(self, message: str, failures: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.failures = failures or {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.failures)


class WaitTimeoutError(ResearchCloudError, TimeoutError):
    """The remote work was not done when the time given for it had passed."""


class SupersededError(ResearchCloudError):
    """Airflow takes no notes from this try of a task, as when another one has replaced it. Nothing more was sent."""


class KilledError(ResearchCloudError):
    """The task was told to end while it ran. Nothing more was started."""
