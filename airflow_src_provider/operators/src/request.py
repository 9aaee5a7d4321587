"""Any request to SURF Research Cloud that no other operator makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.checks import check_json
from airflow_src_provider.client.src import validate
from airflow_src_provider.exceptions import InvalidInputError, RemoteWorkError, ResearchCloudError
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.operators.src.base import SrcOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

SERVICES = ("workspace", "user", "wallet", "catalog")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_ANSWER = 48_000


class SrcRequestOperator(SrcOperator):
    """Send one request to a service, with the same token, request budget, retries and redaction as all others.

    For what the services offer and this package has no operator for, such as secrets, members and usage. A request that
    must not be repeated is sent once per task run: when an earlier try may have sent it, and nobody can tell, the task
    fails and says so.

    XCom: ``status`` (HTTP) and ``answer``: the JSON of the answer, or its text; one of more than 48,000 characters is
    left out.

    Wiki page: "Research Cloud API - First Steps".

    :param service: ``workspace``, ``user``, ``wallet`` or ``catalog``.
    :param path: path below the service's base URL, such as ``users/self/``; the slash at its end belongs to it.
    :param method: ``GET`` (default), ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
    :param query: query parameters by name; a list repeats its name.
    :param data: body, sent as JSON.
    :param safe: whether it may be sent again when it is not known what became of it; default: all but ``POST``.

    :raises ApiError: the service refused, see :mod:`airflow_src_provider.exceptions`.
    :raises RemoteWorkError: an earlier try may have sent it already.
    """

    template_fields: Sequence[str] = (*SrcOperator.template_fields, "service", "path", "method", "query", "data")
    template_fields_renderers: ClassVar[dict[str, str]] = {"query": "json", "data": "json"}

    def __init__(
        self,
        *,
        service: str,
        path: str,
        method: str = "GET",
        query: Mapping[str, Any] | None = None,
        data: Any = None,
        safe: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.path = path
        self.method = method
        self.query = query
        self.data = data
        self.safe = safe
        self.check_early()

    def check(self) -> None:
        """Refuse bad input."""
        for parameter, value, allowed in (("service", self.service, SERVICES), ("method", self.method, METHODS)):
            validate.choice(value, parameter, allowed)
        validate.text(self.path, "path")
        if self.query is not None and not isinstance(self.query, Mapping):
            raise InvalidInputError("query", self.query, "a dict")
        if not isinstance(self.safe, bool | None):
            raise InvalidInputError("safe", self.safe, "True, False or left out")
        check_json(self.data, "data")

    def submit(self, context: Context) -> dict[str, Any]:
        """Send the request, unless an earlier try has."""
        ledger = Ledger(context, self.durable)
        repeatable = self.method != "POST" if self.safe is None else self.safe
        if repeatable:
            return self._send()
        if (answer := ledger.get("answer")) is not None:
            self.log.info("An earlier try has sent this request; here is its answer.")
            return {"answer": answer}
        if ledger.get("sending"):
            raise RemoteWorkError(
                f"{self.method} {self.path} may have been sent by an earlier try, and what became of it is not known. "
                "Look at the service; clear the task to send it again."
            )
        ledger.put("sending", True)
        try:
            sent = self._send()
        except ResearchCloudError as error:
            if getattr(error, "outcome_known", True):
                ledger.put("sending", False)
            raise
        ledger.put("answer", sent["answer"])
        return sent

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return nothing: the answer is all there is."""
        return None

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Report."""
        return {**carry["answer"], "api_calls": self.api_calls(carry)}

    def _send(self) -> dict[str, Any]:
        pairs = [
            (key, one)
            for key, value in (self.query or {}).items()
            for one in (value if isinstance(value, list | tuple) else (value,))
        ]
        response = self.client.session.request(
            self.method,
            self.path,
            service=self.service,
            params=pairs,
            json=self.data,
            safe=self.safe,
            expect_json=False,
        )
        answer: Any = response.text
        if len(answer) > MAX_ANSWER:
            self.log.warning("The answer of %d characters is too large for an XCom and is left out.", len(answer))
            answer = None
        else:
            try:
                answer = json.loads(answer)
            except ValueError:
                answer = answer or None
        return {"answer": {"status": response.status, "answer": answer}}
