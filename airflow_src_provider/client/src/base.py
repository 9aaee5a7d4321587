"""What every SURF Research Cloud client needs: the session, the page form, answers as plain dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_src_provider.exceptions import BadAnswerError, OutcomeUnknownError

if TYPE_CHECKING:
    from airflow_src_provider.client.http import ApiSession

Json = dict[str, Any]
JsonList = list[Json]
Query = Mapping[str, Any]

PAGE_SIZE = 100
"""Known to be accepted; the server's own default is so small that lists look complete when they are not."""


def objects(value: object) -> JsonList:
    """Return the objects of a list, nothing for any other value."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def mapping(value: object) -> Json:
    """Return an object, an empty one for any other value."""
    return value if isinstance(value, dict) else {}


class Resource:
    """Base of the resource clients.

    :param session: an ``ApiSession`` with the services workspace, user, wallet and catalog.
    """

    _service = ""

    def __init__(self, session: ApiSession) -> None:
        self._session = session

    def _object(
        self, method: str, path: str, *, params: Query | None = None, json: Any = None, safe: bool | None = None
    ) -> Json:
        """Send and return the JSON object of the answer."""
        response = self._session.request(method, path, service=self._service, params=params, json=json, safe=safe)
        answer = response.json()
        if isinstance(answer, dict):
            return answer
        error = OutcomeUnknownError if method == "POST" and not safe else BadAnswerError
        raise error(
            "the answer is not a JSON object", service=self._service, method=method, path=path, status=response.status
        )

    def _pages(self, path: str, params: Query | None = None) -> JsonList:
        """Return the objects of all pages, each once."""
        return [entry for page, _ in self._each_page(path, params) for entry in page]

    def _each_page(self, path: str, params: Query | None = None) -> Iterator[tuple[JsonList, int]]:
        """Yield the objects of each page, each once, with the number of objects that later pages still hold.

        The offset is counted here: ``next`` may name a host that must not see the token, so it only tells whether
        to go on. A plain list is taken as the only page. Where the server does not say how many there are in all,
        one more page is assumed.
        """
        pairs = [
            (key, one)
            for key, value in (params or {}).items()
            for one in (value if isinstance(value, list | tuple) else (value,))
        ]
        seen: set[str] = set()
        offset = 0
        before: list[Any] | None = None
        while True:
            query = [*pairs, ("limit", PAGE_SIZE), ("offset", offset)]
            response = self._session.request("GET", path, service=self._service, params=query)
            answer = response.json()
            page = answer if isinstance(answer, list) else mapping(answer).get("results")
            if not isinstance(page, list) or (page and not objects(page)):
                raise self._bad_list("the answer is not a list of objects", path, response.status)
            keys = [entry.get("id") for entry in objects(page)]
            more = bool(page) and isinstance(answer, dict) and answer.get("next") is not None
            if more and keys == before and any(keys):
                raise self._bad_list("the server sends the same page for every offset", path, response.status)
            fresh = [e for e in objects(page) if not isinstance(e.get("id"), str) or e["id"] not in seen]
            seen.update(key for key in keys if isinstance(key, str))
            before = keys
            offset += len(page)
            total = mapping(answer).get("count")
            yield fresh, (max(1, total - offset) if isinstance(total, int) else 1) if more else 0
            if not more:
                return

    def _bad_list(self, message: str, path: str, status: int) -> BadAnswerError:
        return BadAnswerError(message, service=self._service, method="GET", path=path, status=status)
