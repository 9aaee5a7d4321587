"""The sandbox within the process: a request becomes a call, and nothing passes a network."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from airflow_src_provider.sandbox import Sandbox

URL = "http://127.0.0.1:1"
#: Requests of one example.
MOST = 3000
_OF_THE_BODY = ("content-encoding", "content-length")


class Wire:
    """Hands requests to a sandbox.

    :param sandbox: one that was not started.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        sandbox._url = URL
        self.sandbox = sandbox
        #: Every request of the present example with its status and answer.
        self.log: list[tuple[requests.PreparedRequest, int, bytes]] = []
        #: Makes another body of a successful one.
        self.bend: Callable[[int, bytes], bytes] | None = None
        #: Answers in place of the sandbox.
        self.answer: Callable[[requests.PreparedRequest], tuple[int, dict[str, str], bytes]] | None = None

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Stand in for ``HTTPAdapter.send``, of which there may be many."""
        assert len(self.log) < MOST, "it asks without end"
        status, headers, body = (self.answer or self._answer)(request)
        if self.bend is not None and status < 300:
            body = self.bend(len(self.log), body)
        self.log.append((request, status, body))
        return answer_of(status, headers, body)

    def refusals(self) -> list[tuple[str, int, Any]]:
        """Return what the sandbox refused."""
        return [
            (f"{request.method} {request.url} {request.body!r:.300}", status, body.decode(errors="replace")[:300])
            for request, status, body in self.log
            if 400 <= status < 500
        ]

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(request.url or "")
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), _bytes(value)) for name, value in request.headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        call = self.sandbox.app(scope, receive, send)
        try:
            call.send(None)
        except StopIteration:
            pass
        else:
            call.close()
            raise AssertionError("the sandbox waits for something")
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:])


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def answer_of(status: int, headers: dict[str, str], body: bytes) -> requests.Response:
    """Return an answer as the HTTP library gives it."""
    answer = requests.Response()
    answer.status_code = status
    answer.headers = requests.structures.CaseInsensitiveDict(headers)
    answer.raw = urllib3.HTTPResponse(
        io.BytesIO(body),
        headers={name: value for name, value in headers.items() if name.lower() not in _OF_THE_BODY},
        status=status,
        preload_content=False,
    )
    return answer
