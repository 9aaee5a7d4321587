"""Any other call of the API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow_src_provider.checks import Checks, check_json
from airflow_src_provider.exceptions import (
    InvalidInputError,
    OutcomeUnknownError,
    RemoteWorkError,
    ResearchCloudError,
    SupersededError,
)
from airflow_src_provider.operators.seven_bridges.base import SevenBridgesOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.http import ApiResponse, ApiSession

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_ANSWER = 256 * 1024


class SevenBridgesRequestOperator(SevenBridgesOperator):
    """Send any request to the API, through the same budget, retries and redaction as all others. One call.

    A ``POST`` is taken for an effect that must not happen twice: it is sent once per run, and when its answer was lost
    the task fails and says so, because only a person can know where to look. ``repeatable`` lifts that.

    :param method: ``GET`` (default), ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
    :param path: path below the base URL, such as ``/files``; no address of another server.
    :param query: query parameters.
    :param json: body.
    :param repeatable: whether the request may be sent again; default: everything but ``POST``.
    :param response_filter: function of the parsed answer; its result is the XCom. Must be given when the answer is
        larger than 256 KiB.
    :return: the parsed answer, or what ``response_filter`` makes of it.
    :raises InvalidInputError: bad parameters, a body that is not JSON, an answer too large for an XCom.
    :raises RemoteWorkError: the answer was lost, and the request may not be repeated.
    :raises ApiError: the platform refused the request.
    """

    template_fields: Sequence[str] = (*SevenBridgesOperator.template_fields, "method", "path", "query", "json")

    def __init__(
        self,
        *,
        path: str,
        method: str = "GET",
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        repeatable: bool | None = None,
        response_filter: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.method = method
        self.query = query
        self.json = json
        self.repeatable = repeatable
        self.response_filter = response_filter
        self.check()

    def checks(self, check: Checks) -> None:
        """Check the parameters."""
        super().checks(check)
        check.choice(self.method, "method", METHODS)
        check(_check_path, self.path, "path")
        check(check_json, self.json, "json")
        if self.repeatable is not None:
            check.flag(self.repeatable, "repeatable")
        check(_check_function, self.response_filter, "response_filter")

    def work(self, context: Context) -> Any:
        """Send the request."""
        self.check()
        repeatable = self.method != "POST" if self.repeatable is None else self.repeatable
        if repeatable:
            response = self._send(True)
            return self._shown(response.json(), len(response.body))
        ledger = self.ledger(context)
        if (record := ledger.get("answer")) is not None:
            self.log.info("An earlier try has sent it; this is its answer.")
            return self._shown(record["value"], record["size"])
        if ledger.get("sending"):
            raise RemoteWorkError(f"an earlier try may have sent {self.method} {self.path}; clear the task to send it")
        ledger.put("sending", True)
        try:
            response = self._send(False)
        except OutcomeUnknownError as error:
            raise RemoteWorkError(f"whether it was done is not known; look, then clear the task: {error}") from error
        except SupersededError:
            # Mostly nobody takes a note, but Airflow may only have been away for a moment.
            with contextlib.suppress(Exception):
                ledger.put("sending", None)
            raise
        except ResearchCloudError:
            ledger.put("sending", None)
            raise
        # Recorded before anything can fail that a retry would take for a reason to send it again.
        if (size := len(response.body)) <= MAX_ANSWER:
            ledger.put("answer", {"value": response.json(), "size": size})
        return self._shown(response.json(), size)

    def _send(self, safe: bool) -> ApiResponse:
        session: ApiSession = self.client.session
        return session.request(self.method, self.path, params=self.query, json=self.json, safe=safe)

    def _shown(self, body: Any, size: int) -> Any:
        if self.response_filter is not None:
            return self.response_filter(body)
        if size > MAX_ANSWER:
            allowed = "a function that makes a small value of the answer, which is too large for an XCom"
            raise InvalidInputError("response_filter", None, allowed)
        return body


def _check_path(value: Any, parameter: str) -> None:
    if not isinstance(value, str) or not value.strip() or "://" in value or "?" in value:
        raise InvalidInputError(
            parameter, value, "a path below the base URL, such as /files, with its parameters in query"
        )


def _check_function(value: Any, parameter: str) -> None:
    if value is not None and not callable(value):
        raise InvalidInputError(parameter, value, "a function of the parsed answer, or None")
