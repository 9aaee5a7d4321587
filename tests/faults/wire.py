"""Answers that are changed on their way back: words that nobody knows, and reads that lag behind."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from urllib3.response import HTTPResponse

from tests.faults.stage import Stage

#: A state on the way, as either service writes it.
MOVING = (
    "DRAFT|CREATING|QUEUED|RUNNING|ABORTING|PENDING|SUBMITTED|RESOLVING"
    "|creating|pausing|resuming|rebooting|updating|deleting|in_progress"
)
ENDED = "COMPLETED|FAILED|ABORTED|FINISHED|success|done"
STRANGE = "hibernating"
#: What a lagging read may be older than what was done, in seconds.
LAG = 45.0


def is_read(request: Any) -> bool:
    """Tell whether a request only looks."""
    return request.method == "GET" or request.path_url.split("?")[0].endswith("/get")


def replaced(answer: Any, body: bytes) -> Any:
    """Return an answer with another body."""
    answer.raw.close()
    headers = {name.lower(): value for name, value in answer.headers.items()} | {"content-length": str(len(body))}
    answer.raw = HTTPResponse(io.BytesIO(body), headers=headers, status=answer.status_code, preload_content=False)
    return answer


def strange_words(words: str) -> Callable[[Any, Any], Any]:
    """Return what puts a word that no contract knows in place of others, in all that is read.

    :param words: the words, with ``|`` between them.
    """
    pattern = re.compile(rf'("(?:status|state)": ?)"(?:{words})"'.encode())

    def alter(request: Any, answer: Any) -> Any:
        if not is_read(request):
            return answer
        body = answer.raw.read(decode_content=True)
        return replaced(answer, pattern.sub(rf'\1"{STRANGE}"'.encode(), body))

    return alter


def lagging(stage: Stage) -> Callable[[Any, Any], Any]:
    """Return what lets a read that is repeated soon get the answer from before."""
    known: dict[tuple[str, str, bytes], tuple[float, bytes]] = {}

    def alter(request: Any, answer: Any) -> Any:
        if not is_read(request) or answer.status_code != 200:
            return answer
        key = (request.method, request.url, request.body or b"")
        body = answer.raw.read(decode_content=True)
        when, earlier = known.get(key, (float("-inf"), b""))
        if stage.now() - when <= LAG:
            return replaced(answer, earlier)
        known[key] = stage.now(), body
        return replaced(answer, body)

    return alter
