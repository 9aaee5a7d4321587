"""Three pagers that never load a page twice and never follow an address that came from the server.

* :func:`pages`: offset lists (almost all lists). The offset is counted here, ``next`` only says whether to go on.
* :func:`volume_pages`: contents of a volume, by continuation token, with the "directories" beside the objects.
* :func:`scroll`: files by token, for projects that change while they are listed.

API page: "The API" (pagination), "API rate limit" (the limit of 100).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from airflow_src_provider.client.seven_bridges.base import JsonList, Query
from airflow_src_provider.exceptions import BadAnswerError, InvalidInputError

if TYPE_CHECKING:
    from airflow_src_provider.client.http import ApiSession
    from airflow_src_provider.client.seven_bridges.base import Json

PAGE_SIZE = 100
"""The most that the API gives at once; its own default of 50 doubles the number of calls."""

MAX_URL_LENGTH = 6000
"""Above this the platform answers as if it were under maintenance."""

_RESERVED = 160
"""Room for the base URL and the pager's own parameters."""

Pairs = list[tuple[str, Any]]


def pairs_of(params: Query | None) -> Pairs:
    """Flatten a query: a list repeats its key, ``None`` is dropped, truth becomes ``true`` or ``false``."""
    pairs: Pairs = []
    for key, value in (params or {}).items():
        for single in value if isinstance(value, list | tuple) else (value,):
            if single is not None:
                pairs.append((key, str(single).lower() if isinstance(single, bool) else single))
    return pairs


def url_room(path: str, pairs: Sequence[tuple[str, Any]]) -> int:
    """Return how many characters may still be added to the URL; negative when it is too long."""
    return MAX_URL_LENGTH - _RESERVED - len(path) - len(urlencode(pairs))


def _checked(path: str, params: Query | None) -> Pairs:
    pairs = pairs_of(params)
    if url_room(path, pairs) < 0:
        allowed = f"a query that fits into {MAX_URL_LENGTH} characters of URL; ask in smaller groups"
        raise InvalidInputError("query", f"{len(pairs)} parameters", allowed)
    return pairs


def _body(session: ApiSession, path: str, pairs: Pairs) -> Json:
    return _answer(session, path, pairs)[0]


def _answer(session: ApiSession, path: str, pairs: Pairs) -> tuple[Json, int | None]:
    response = session.request("GET", path, params=pairs)
    body = response.json()
    entries = body.get("items") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not all(_is_whole(entry, pairs) for entry in entries):
        # Leaving out what is not understood would lose it without anybody noticing.
        raise BadAnswerError("the answer is not a list of objects", method="GET", path=path, status=response.status)
    total = response.headers.get("X-Total-Matching-Query", "")
    return body, int(total) if total.isdecimal() else None


def _is_whole(entry: object, pairs: Pairs) -> bool:
    asked = {name for key, fields in pairs if key == "fields" for name in str(fields).split(",")}
    return isinstance(entry, dict) and ("id" not in asked or isinstance(entry.get("id"), str))


def _objects(body: Json) -> JsonList:
    return [item for item in body["items"] if isinstance(item, dict)]


def _links(body: Json) -> JsonList:
    links = body.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _next_link(body: Json) -> str | None:
    for link in _links(body):
        if str(link.get("rel")).lower() == "next":
            return str(link.get("href") or "")
    return None


def _token(url: object, name: str) -> str | None:
    if not isinstance(url, str):
        return None
    try:
        found = parse_qs(urlsplit(url).query).get(name)
    except ValueError:
        return None
    return found[0] if found else None


def pages(
    session: ApiSession, path: str, params: Query | None = None, *, on_total: Callable[[int | None], None] | None = None
) -> Iterator[JsonList]:
    """Return the pages of an offset list, each object once.

    :param params: filters; ``offset`` and ``limit`` are added here.
    :param on_total: told with the first page how many objects there are on all pages, if the server says so.
    :raises InvalidInputError: at once, when the query does not fit into a URL.
    """
    return _pages(session, path, _checked(path, params), on_total)


def _pages(
    session: ApiSession, path: str, pairs: Pairs, on_total: Callable[[int | None], None] | None
) -> Iterator[JsonList]:
    offset = 0
    seen: set[Any] = set()
    before: list[Any] | None = None
    while True:
        body, total = _answer(session, path, [*pairs, ("offset", offset), ("limit", PAGE_SIZE)])
        if on_total is not None and offset == 0:
            on_total(total)
        received = len(body["items"])
        if not received:
            return
        fresh: JsonList = []
        keys = []
        for item in _objects(body):
            key = item.get("id") or item.get("href")
            keys.append(key)
            if not isinstance(key, str) or key not in seen:
                fresh.append(item)
            if isinstance(key, str):
                seen.add(key)
        more = _next_link(body) is not None
        if more and keys == before and any(keys):
            raise BadAnswerError("the server sends the same page for every offset", method="GET", path=path)
        before = keys
        yield fresh
        if not more:
            return
        # A row that came twice still took a place in the server's list.
        offset += received


def items(session: ApiSession, path: str, params: Query | None = None) -> Iterator[Json]:
    """Return the objects of an offset list one by one; see :func:`pages`."""
    return (item for page in pages(session, path, params) for item in page)


@dataclass(frozen=True)
class VolumePage:
    """One page of a volume's contents.

    :param objects: entries with ``location``, ``volume``, ``type``, ``metadata``.
    :param prefixes: the "directories" at this level, each ending with ``/``.
    """

    objects: JsonList
    prefixes: tuple[str, ...]


def volume_pages(session: ApiSession, path: str, params: Query | None = None) -> Iterator[VolumePage]:
    """Return the pages of one level of a volume.

    :raises InvalidInputError: at once, when the query does not fit into a URL.
    """
    return _volume_pages(session, path, _checked(path, params))


def _volume_pages(session: ApiSession, path: str, pairs: Pairs) -> Iterator[VolumePage]:
    token: str | None = None
    used: set[str] = set()
    objects_seen: set[str] = set()
    prefixes_seen: set[str] = set()
    while True:
        with_token = [*pairs, ("limit", PAGE_SIZE)] + ([("continuation_token", token)] if token else [])
        body = _body(session, path, with_token)
        objects = _objects_once(body, objects_seen)
        found = [prefix for prefix in _prefixes(body) if prefix not in prefixes_seen]
        prefixes_seen.update(found)
        yield VolumePage(objects, tuple(dict.fromkeys(found)))
        token = next((t for link in _links(body) if (t := _token(link.get("next"), "continuation_token"))), None)
        if token is None or token in used:
            return
        used.add(token)


def _objects_once(body: Json, seen: set[str]) -> JsonList:
    fresh: JsonList = []
    for item in _objects(body):
        location = item.get("location")
        if not isinstance(location, str) or location not in seen:
            fresh.append(item)
        if isinstance(location, str):
            seen.add(location)
    return fresh


def _prefixes(body: Json) -> list[str]:
    entries = body.get("prefixes")
    if not isinstance(entries, list):
        return []
    names = [entry.get("prefix") if isinstance(entry, dict) else entry for entry in entries]
    return [name for name in names if isinstance(name, str) and name]


def scroll(session: ApiSession, path: str, params: Query | None = None) -> Iterator[Json]:
    """Return the files of a token-paged list, each once.

    :raises InvalidInputError: at once, when the query does not fit into a URL.
    """
    return _scroll(session, path, _checked(path, params))


def _scroll(session: ApiSession, path: str, pairs: Pairs) -> Iterator[Json]:
    token: str | None = "init"
    used: set[str] = set()
    seen: set[str] = set()
    while token is not None and token not in used:
        used.add(token)
        body = _body(session, path, [*pairs, ("token", token), ("limit", PAGE_SIZE)])
        for item in _objects(body):
            key = item.get("id")
            if not isinstance(key, str) or key not in seen:
                yield item
            if isinstance(key, str):
                seen.add(key)
        token = _token(_next_link(body), "token")
