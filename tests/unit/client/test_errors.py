"""From answers to typed errors, for every layer that can answer, and for answers that nobody foresaw."""

from __future__ import annotations

import contextlib
import json
import pickle
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.errors import error_from_answer
from airflow_src_provider.client.rate_headers import retry_after
from airflow_src_provider.client.redaction import TokenAuth
from tests.unit.client.server import Answer, ScriptedServer
from tests.unit.client.sessions import TOKEN, new_session

WHERE = {"service": "Service", "method": "GET", "path": "things"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
ERROR_OBJECT = st.dictionaries(
    st.sampled_from(["message", "error", "detail", "code", "status", "more_info", "name"]), JSON, max_size=5
)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def build(status: int, body: Any, headers: dict[str, str] | None = None) -> exc.ApiError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    auth = TokenAuth("X-Token", TOKEN, [])
    return error_from_answer(status, CaseInsensitiveDict(headers or {}), raw, clean=auth.clean, **WHERE)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, {"code": 400, "status": "Bad Request", "message": ["a", "b"]}, exc.BadRequestError, "a; b"),
        (400, {"name": ["too long"]}, exc.BadRequestError, '{"name": ["too long"]}'),
        (401, {"error": "Authorization field missing"}, exc.TokenRejectedError, "Authorization field missing"),
        (403, {"error": "Access to this API has been disallowed"}, exc.TokenRejectedError, "disallowed"),
        (403, {"error": "Key is inactive, please renew"}, exc.TokenRejectedError, "please renew"),
        (403, {"error": "Quota exceeded"}, exc.ForbiddenError, "Quota exceeded"),
        (403, {"detail": "You may not pause key machines"}, exc.ForbiddenError, "You may not"),
        (403, {"status": 403, "code": 5001, "message": "no right on key file"}, exc.ForbiddenError, "no right"),
        (403, b"<html><title>403 Forbidden</title></html>", exc.ForbiddenError, "403 Forbidden"),
        (404, {"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}, exc.NotFoundError, "HTTP 404 Not Found"),
        (404, {"detail": "Not found."}, exc.NotFoundError, "Not found."),
        (404, b"Not Found", exc.NotFoundError, "Not Found"),
        (409, {"status": 409, "code": 5003, "message": "exists"}, exc.ConflictError, "code 5003: exists"),
        (429, {"error": "Rate Limit Exceeded"}, exc.RateLimitError, "Rate Limit Exceeded"),
        (500, {"error": {"message": "inner words", "code": 1}}, exc.ServerError, "inner words"),
        (500, {"error": {"why": "x"}}, exc.ServerError, '{"why": "x"}'),
        (500, {"message": " \n "}, exc.ServerError, "message"),
        (502, b"<html>\r\n<head><title>502 Bad Gateway</title></head></html>", exc.ServerError, "502 Bad Gateway"),
        (502, b"<html" + b" " * 10_000, exc.ServerError, "<html"),
        (503, b"", exc.ServiceUnavailableError, "an empty answer"),
        (503, {"status": 503, "code": 0, "message": "platform under maintenance"}, exc.MaintenanceError, "maintenance"),
        (503, {"status": 503, "code": False, "message": "no number"}, exc.ServiceUnavailableError, "no number"),
        (503, {"status": 503, "code": 90004, "message": "unexpected"}, exc.ServerError, "unexpected"),
        (504, {"error": "Upstream service reached hard timeout."}, exc.ServerError, "hard timeout"),
        (302, b"", exc.BadRequestError, "redirect, which is never followed"),
        (418, [], exc.BadRequestError, "[]"),
        (599, b"\xff\xfe", exc.ServerError, "HTTP 599"),
    ],
)  # fmt: skip
def test_every_layers_words_are_found(status: int, body: Any, kind: type[exc.ApiError], words: str) -> None:
    error = build(status, body)
    assert type(error) is kind
    assert words in str(error)
    assert f"HTTP {status}" in str(error)
    assert "Service GET things" in str(error)


def test_an_error_carries_what_a_support_ticket_needs() -> None:
    error = build(
        404,
        {"status": 404, "code": 5002, "message": "no such file", "more_info": "https://docs.example/#5002"},
        {"X-Request-ID": "42-ab", "Retry-After": "3"},
    )
    assert (error.status, error.code, error.request_id, error.retry_after) == (404, 5002, "42-ab", 3.0)
    assert error.body is not None
    assert error.body["code"] == 5002
    assert str(error) == (
        "Service GET things: HTTP 404, code 5002: no such file (https://docs.example/#5002; request id 42-ab)"
    )


def test_a_servers_words_stay_on_one_line_of_a_log() -> None:
    message = "first\r\n2026-01-01 INFO forged\x1b[2J\u2028 line\ud800"
    error = build(400, {"message": message}, {"X-Request-Id": "a\x1bb"})
    assert all(c.isprintable() for c in str(error))
    assert "first 2026-01-01 INFO forged [2J line" in str(error)
    str(error).encode()


def test_what_is_nested_too_deeply_is_cut() -> None:
    error = build(400, b'{"a":' * 60 + b'"secret"' + b"}" * 60)
    assert "..." in repr(error.body)
    assert "secret" not in repr(error.body)
    assert repr(error.body).count("{") <= 21


@given(status=st.integers(205, 999), body=st.binary(max_size=300) | ERROR_OBJECT.map(lambda o: json.dumps(o).encode()))
@example(500, b"[" * 100_000)
@example(500, b'{"a":' * 900 + b"1" + b"}" * 900)
@example(500, b'{"code": ' + b"9" * 10_000 + b"}")
@example(500, b'{"message": NaN}')
@example(500, b"\xef\xbb\xbf{}")
@example(500, '{"message": "x"}'.encode("utf-16"))
def test_no_body_ever_breaks_the_building_of_an_error(status: int, body: bytes) -> None:
    error = build(status, body)
    assert isinstance(error, exc.ApiError)
    assert error.status == status
    assert len(str(error)) < 3000
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


@given(
    status=st.sampled_from([200, 201, 204, 205, 300, 400, 401, 403, 404, 409, 418, 500, 502, 503, 504]),
    body=st.binary(max_size=200) | JSON.map(lambda o: json.dumps(o).encode()),
    content_type=st.sampled_from(["application/json", "text/html", "application/json;Compute", "nonsense", ""]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
)
def test_no_answer_raises_anything_but_our_own(
    server: ScriptedServer, status: int, body: bytes, content_type: str, method: str
) -> None:
    server.script(*[Answer(status, body if status != 204 else b"", {"Content-Type": content_type})] * 5)
    session = new_session(server.url)
    with contextlib.suppress(exc.ApiError), contextlib.closing(session):
        session.request(method, "things").json()


@given(
    st.dictionaries(
        st.sampled_from(["Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Date"]),
        st.text(string.printable.translate({ord(c): None for c in "\r\n\x0b\x0c"}), max_size=12)
        | st.integers(-(10**20), 10**20).map(str)
        | st.floats().map(str)
        | st.sampled_from(["Wed, 21 Oct 2026 07:28:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "Thu, 32 Foo", "-0"]),
    ),
    st.sampled_from([200, 400, 429, 503]),
)
def test_no_header_ever_breaks_a_request(server: ScriptedServer, headers: dict[str, str], status: int) -> None:
    server.script(Answer(status, {}, headers))
    session = new_session(server.url)
    with contextlib.suppress(exc.BadRequestError, exc.ServiceUnavailableError), contextlib.closing(session):
        session.request("GET", "things", max_wait=2000)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "999999999"}, 86400.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(CaseInsensitiveDict(headers)) == seconds
