"""Bulk calls: cut, send, and know for every single entry what became of it.

A bulk call with failures answers 200; a failed entry does not name what it belongs to. So answers are paired by
position and then verified; where that does not work out they are paired by content, and what is left is reported
as *unknown*, which is neither done nor failed: the caller looks.

API pages: "Get details of multiple files", "Start a bulk import job", "Get details of multiple tasks".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from airflow_src_provider.client.seven_bridges.base import Json
from airflow_src_provider.client.seven_bridges.states import as_int
from airflow_src_provider.exceptions import (
    ApiError,
    BadAnswerError,
    ConnectionLostError,
    InvalidInputError,
    ServerError,
)

MAX_CHUNK = 100
"""The most entries that one bulk call may carry."""

T = TypeVar("T")


@dataclass(frozen=True)
class ItemError:
    """Why a single entry of a bulk call failed, in the server's words and numbers."""

    status: int | None
    code: int | None
    message: str

    @classmethod
    def of(cls, error: object) -> ItemError:
        """Read the ``error`` of an entry, whatever its shape."""
        if not isinstance(error, dict):
            return cls(None, None, str(error))
        message = error.get("message") or error.get("status") or "no reason given"
        return cls(as_int(error.get("status")), as_int(error.get("code")), str(message))

    @classmethod
    def of_call(cls, error: ApiError) -> ItemError:
        """Describe an error of a whole call as that of its only entry."""
        return cls(error.status, error.code, error.message)

    @property
    def may_pass(self) -> bool:
        """Tell whether it is about the service at that moment, or has no number, and says nothing about the entry."""
        if self.status is None:
            return self.code is None
        return self.status == 429 or self.status >= 500


@dataclass(frozen=True)
class BulkItem:
    """What became of one entry of a bulk call.

    :param sent: the entry as it was given: an id, or the object that was sent.
    :param status: ``done``, ``failed`` (certainly not done) or ``unknown`` (look before sending it again).
    :param resource: what the server returned for it, if anything. A job that was accepted is ``done``
        here, even if its own ``state`` says ``FAILED``.
    :param error: why it failed.
    """

    sent: Any
    status: Literal["done", "failed", "unknown"]
    resource: Json | None = None
    error: ItemError | None = None


BulkItems = list[BulkItem]
"""One entry each, in the order they were sent."""


def check_chunk_size(size: int) -> int:
    """Return a chunk size.

    :raises InvalidInputError: unless it is 1 to 100.
    """
    if isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MAX_CHUNK:
        return size
    raise InvalidInputError("chunk_size", size, f"a number from 1 to {MAX_CHUNK}")


def one_chunk(entries: Sequence[T], parameter: str) -> Sequence[T]:
    """Return entries that fit into one call.

    :raises InvalidInputError: for more than 100.
    """
    if len(entries) > MAX_CHUNK:
        raise InvalidInputError(parameter, f"{len(entries)} entries", f"at most {MAX_CHUNK} entries in one call")
    return entries


def chunks(entries: Sequence[T], size: int = MAX_CHUNK) -> Iterator[list[T]]:
    """Cut a sequence into lists of at most ``size`` entries."""
    return (list(entries[start : start + size]) for start in range(0, len(entries), size))


def unique(entries: Iterable[T], key: Callable[[T], Any], parameter: str) -> list[T]:
    """Drop entries that come again.

    :raises InvalidInputError: when two entries have the same key but differ, because only one could hold.
    """
    first: dict[Any, T] = {}
    for entry in entries:
        if first.setdefault(key(entry), entry) != entry:
            raise InvalidInputError(parameter, key(entry), "one entry each; this one comes twice and differs")
    return list(first.values())


def match(sent: Sequence[T], answer: object, fits: Callable[[T, Json], bool]) -> BulkItems:
    """Pair the entries of one call with its answer.

    :param sent: the entries, in the order they were sent.
    :param answer: the parsed answer of the call.
    :param fits: whether a returned resource can only belong to a given entry.
    """
    items = answer.get("items") if isinstance(answer, dict) else None
    entries = items if isinstance(items, list) else []
    resources = [_resource(entry) for entry in entries]
    in_order = len(entries) == len(sent) and all(
        resource is None or fits(one, resource) for one, resource in zip(sent, resources, strict=True)
    )
    if not in_order:
        return _by_content(sent, [resource for resource in resources if resource is not None], fits)
    return [
        BulkItem(one, "done", resource)
        if resource is not None
        else BulkItem(one, "failed", error=ItemError.of(entry["error"]))
        if isinstance(entry, dict) and entry.get("error") is not None
        else BulkItem(one, "unknown")
        for one, resource, entry in zip(sent, resources, entries, strict=True)
    ]


def known(items: BulkItems) -> BulkItems:
    """Return the entries of a call that only reads, if the answer says something about each.

    What nothing is said about is neither there nor missing, so nothing may be concluded from it.

    :raises BadAnswerError: it does not.
    """
    unknown = [str(item.sent) for item in items if item.status == "unknown"]
    if unknown:
        raise BadAnswerError(f"the answer says nothing about {len(unknown)} of {len(items)} entries: {unknown[0]} …")
    return items


def _resource(entry: object) -> Json | None:
    if not isinstance(entry, dict) or entry.get("error") is not None:
        return None
    resource = entry.get("resource")
    return resource if isinstance(resource, dict) else None


def _by_content(sent: Sequence[T], resources: list[Json], fits: Callable[[T, Json], bool]) -> BulkItems:
    found: dict[int, Json] = {}
    for resource in resources:
        positions = [i for i, one in enumerate(sent) if i not in found and fits(one, resource)]
        # Two entries that both fit cannot be told apart, so neither is claimed.
        if len(positions) == 1:
            found[positions[0]] = resource
    return [BulkItem(one, "done", found[i]) if i in found else BulkItem(one, "unknown") for i, one in enumerate(sent)]


def too_slow(error: ApiError) -> bool:
    """Tell whether a call failed in the way that too many entries at once make it fail."""
    return isinstance(error, ConnectionLostError) or (isinstance(error, ServerError) and error.status in (502, 504))


def repeatable(
    call: Callable[[list[T]], BulkItems], entries: Sequence[T], size: int = MAX_CHUNK
) -> Iterator[BulkItems]:
    """Send entries chunk by chunk through a call that may be repeated; lazily, one list per call.

    A chunk that was too much for the server is sent again in halves, and the rest stays at that size.

    :raises ApiError: from the chunk that failed; what was yielded before is done.
    """
    start = 0
    while start < len(entries):
        chunk = list(entries[start : start + size])
        try:
            answered = call(chunk)
        except ApiError as error:
            if len(chunk) == 1 or not too_slow(error):
                raise
            size = (len(chunk) + 1) // 2
            continue
        yield answered
        start += len(chunk)
