"""What every resource client needs: the session, paths, the ``fields`` selector, answers as plain dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_src_provider.client.retry import ATTEMPTS
from airflow_src_provider.exceptions import BadAnswerError, InvalidInputError, NotFoundError, OutcomeUnknownError

if TYPE_CHECKING:
    from airflow_src_provider.client.http import ApiSession

Json = dict[str, Any]
JsonList = list[Json]
Fields = Sequence[str] | None
"""Names for the ``fields`` selector, dotted paths allowed; ``None`` sends no selector."""

Query = Mapping[str, Any]
"""Query parameters; a list or tuple repeats its key (that means OR), ``None`` is left out."""

BULK_ATTEMPTS = 2

BULK_TIMEOUT = 60.0
"""Read time-out of bulk calls, seconds: 100 copies take about 10 s on a good day."""


def path_of(*parts: str) -> str:
    """Join parts to a path; an id such as ``owner/name`` stays two segments, everything else is encoded."""
    segments = [segment for part in parts for segment in part.split("/")]
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def fields_param(fields: Fields, *, prefix: str = "", always: Iterable[str] = ()) -> str | None:
    """Return the value of ``fields=``.

    :param prefix: put before every name, for bulk answers (``"resource."``).
    :param always: complete names that are asked for whatever the caller chose.
    """
    if fields is None:
        return None
    names = [fields] if isinstance(fields, str) else list(fields)
    if any(not isinstance(name, str) or not name.strip() for name in names):
        raise InvalidInputError("fields", fields, "a list of field names")
    return ",".join(dict.fromkeys([*always, *(prefix + name.strip() for name in names)])) or None


def time_param(parameter: str, value: datetime | str | None) -> str | None:
    """Return a moment as the API wants it in a query: UTC, whole seconds."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise InvalidInputError(parameter, value, "a datetime with a time zone, or text such as 2026-03-04T10:11:12Z")


class Resource:
    """Base of the resource clients.

    :param session: an ``ApiSession`` on the platform's base URL.
    """

    def __init__(self, session: ApiSession) -> None:
        self._session = session

    def _object(
        self,
        method: str,
        path: str,
        *,
        params: Query | None = None,
        json: Any = None,
        safe: bool | None = None,
        timeout: float | None = None,
        attempts: int = ATTEMPTS,
    ) -> Json:
        """Send and return the JSON object of the answer."""
        response = self._session.request(
            method, path, params=params, json=json, safe=safe, timeout=timeout, attempts=attempts
        )
        answer = response.json()
        if isinstance(answer, dict):
            return answer
        error = OutcomeUnknownError if method == "POST" and not safe else BadAnswerError
        raise error("the answer is not a JSON object", method=method, path=path, status=response.status)

    def _made(self, path: str, *, params: Query | None = None, json: Any = None) -> Json:
        """Make something and return it, with its id.

        :raises OutcomeUnknownError: the answer was lost, or does not say what was made.
        """
        answer = self._object("POST", path, params=params, json=json)
        if isinstance(answer.get("id"), str) and answer["id"]:
            return answer
        raise OutcomeUnknownError("the answer to what was made has no id", method="POST", path=path)

    def _bulk(self, path: str, json: Json, params: Query | None = None) -> Json:
        """Send a bulk call that only reads or sets, and return its answer.

        Many entries that were too much for the server once will be so again: then it fails soon, to be sent in halves.
        """
        attempts = BULK_ATTEMPTS if any(len(entries) > 1 for entries in json.values()) else ATTEMPTS
        return self._object("POST", path, params=params, json=json, safe=True, timeout=BULK_TIMEOUT, attempts=attempts)

    def _delete(self, path: str) -> None:
        """Delete; what is gone already is done, so that a repeated delete is no error."""
        try:
            self._session.request("DELETE", path, expect_json=False)
        except NotFoundError as error:
            # Without a code it is not the thing that is missing but the route.
            if error.code is None:
                raise
