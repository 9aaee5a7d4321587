"""What the session puts on the wire, what it takes from it, and what it refuses before anything is sent."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client import http
from tests.unit.client.server import Answer, ScriptedServer, SteppedClock
from tests.unit.client.sessions import HEADER, TOKEN, new_budget, new_session


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


# --- what is sent ---


def test_one_connection_carries_many_requests(server: ScriptedServer) -> None:
    session = new_session(server.url)
    server.script(
        Answer(body=[1, 2]),
        Answer(204, b""),
        Answer(200, b"", {}),
        Answer(404, {"detail": "Not found."}),
        Answer(body=gzip.compress(b'{"packed": true}'), headers={"Content-Encoding": "gzip"}),
        Answer(body=b"2\r\n{}\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked", "Content-Length": ""}),
        Answer(body=b"[" + b"1," * 300_000 + b"1]"),
    )
    assert session.request("GET", "a").json() == [1, 2]
    assert session.request("DELETE", "b").json() is None
    assert session.request("PUT", "c", json={}).json() is None
    with pytest.raises(exc.NotFoundError):
        session.request("GET", "d")
    assert session.request("GET", "e").json() == {"packed": True}
    assert session.request("GET", "f").json() == {}
    assert len(session.request("GET", "g").json()) == 300_001
    session.request("GET", "h")
    assert {request.connection for request in server.requests} == {1}
    assert session.calls == 8


def test_a_connection_that_the_server_closes_is_replaced(server: ScriptedServer) -> None:
    session = new_session(server.url)
    server.script(Answer(close=True, headers={"Connection": "close"}))
    session.request("GET", "a")
    session.request("POST", "b", json={})
    assert [request.connection for request in server.requests] == [1, 2]
    assert session.calls == 2


def test_an_effect_does_not_trust_a_connection_that_was_idle(server: ScriptedServer) -> None:
    clock = SteppedClock()
    session = new_session(server.url, clock)
    session.request("GET", "a")
    session.request("POST", "b", json={})
    clock.now += http.IDLE + 1
    session.request("GET", "c")
    clock.now += http.IDLE + 1
    session.request("POST", "d", json={})
    session.request("POST", "e", json={})
    assert [request.connection for request in server.requests] == [1, 1, 1, 2, 2]


def test_the_headers_of_a_request(server: ScriptedServer) -> None:
    new_session(server.url, headers={"X-Advance": "on"}).request("POST", "things", json={"a": "ü"})
    (request,) = server.requests
    assert request.headers[HEADER.lower()] == TOKEN
    assert request.headers["user-agent"].startswith("airflow-src-provider/")
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-advance"] == "on"
    assert json.loads(request.body) == {"a": "ü"}
    assert not {"cookie", "authorization", "referer"} & set(request.headers)


def test_the_query(server: ScriptedServer) -> None:
    session = new_session(server.url)
    session.request(
        "GET", "a/b c".replace(" ", "%20"), params={"deleted": False, "limit": 100, "none": None, "n": "x&y/ü"}
    )
    session.request("GET", "/files", params=[("name", "a"), ("name", "b"), ("all", True)])
    session.request("GET", "files", params={"name": ["a", "b"]})
    assert [request.target for request in server.requests] == [
        "/a/b%20c?deleted=false&limit=100&n=x%26y%2F%C3%BC",
        "/files?name=a&name=b&all=true",
        "/files?name=a&name=b",
    ]


def test_paths_stay_below_the_base_url(server: ScriptedServer) -> None:
    session = new_session(f"{server.url}v1/workspace", more_urls={"wallet": f"{server.url}v1/wallet/"})
    session.request("GET", "workspaces/")
    session.request("GET", "/wallets/", service="wallet")
    assert [request.target for request in server.requests] == ["/v1/workspace/workspaces/", "/v1/wallet/wallets/"]


@pytest.mark.parametrize(
    "path",
    [
        "http://127.0.0.1:1/", "https://elsewhere.example/x", "//elsewhere.example/x", "a b", "a\r\nHost: x", "a\x00",
        "../other/", "a/../../b", "a/%2e%2e/b", "a/%2E./b", "a%2F..%2Fb", "./a",
        "a?x=1", "a#b", "a\\b", "\x7f".replace("\x7f", "\t"),
    ],
)  # fmt: skip
def test_a_path_that_could_lead_elsewhere_is_refused(server: ScriptedServer, path: str) -> None:
    session = new_session(f"{server.url}v1/")
    with pytest.raises(exc.InvalidInputError, match="path="):
        session.request("GET", path)
    assert (server.requests, session.calls) == ([], 0)


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"name": "x" * 6000}},
        {"params": [("id", "0" * 20)] * 300},
        {"json": {"a": float("nan")}},
        {"json": {"a": object()}},
        {"params": {"name": "\ud800"}},
        {"service": "elsewhere"},
    ],
    ids=["long value", "many pairs", "nan", "object", "surrogate", "service"],
)
def test_what_cannot_be_sent_is_refused(server: ScriptedServer, options: dict[str, Any]) -> None:
    session = new_session(server.url)
    with pytest.raises(exc.InvalidInputError):
        session.request("POST", "things", **options)
    assert (server.requests, session.calls) == ([], 0)


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nX-B: b"}, {"X-A\n": "b"}, {"X-A": 1}])
def test_header_injection_is_refused(server: ScriptedServer, headers: dict[str, Any]) -> None:
    with pytest.raises(exc.InvalidInputError):
        new_session(server.url, headers=headers).request("GET", "things")
    assert server.requests == []


@pytest.mark.parametrize(
    "token", ["", "   ", "\n", None, 5, b"bytes", "two\nlines", "a\rb", "nul\x00", "ü", "tab\tin"], ids=repr
)
def test_an_unusable_token_is_refused_and_not_shown(token: Any) -> None:
    with pytest.raises(exc.InvalidInputError, match="password=") as caught:
        new_session("https://api.example/", token=token)
    if isinstance(token, str) and token.strip():
        assert token not in str(caught.value)
        assert caught.value.value != token


def test_white_space_around_a_token_is_dropped(server: ScriptedServer) -> None:
    new_session(server.url, token=f"  {TOKEN}\n").request("GET", "things")
    assert server.requests[0].headers[HEADER.lower()] == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/", "http://127.0.0.1.example/", "http://10.0.0.1/", "http://[::2]/", "http://0.0.0.0/",
        "ftp://api.example/", "file:///etc/passwd", "api.example", "", "//api.example", "https://", "https://a b/",
        "https://user:pw@api.example/", "https://api.example/?a=1", "https://api.example/#a", "https://[::1/",
        "https://api.example:port/", "https://api.example:99999/", "https://api.example/\n", None, 5, b"https://a/",
    ],
    ids=repr,
)  # fmt: skip
def test_an_unusable_base_url_is_refused(url: Any) -> None:
    with pytest.raises(exc.InvalidInputError, match="an https:// URL") as caught:
        new_session(url, budget=new_budget(SteppedClock()))
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:1/", "http://127.8.9.1/a", "http://[::1]:80/", "https://api.example:8443/v2"]
)
def test_a_usable_base_url_is_taken(url: str) -> None:
    assert url in repr(new_session(url))


# --- what is not obeyed ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/elsewhere", "https://elsewhere.example/", "http://[broken", ""])
def test_a_redirect_is_not_followed(server: ScriptedServer, status: int, location: str) -> None:
    server.script(Answer(status, b"", {"Location": location or "x"}))
    with pytest.raises(exc.BadRequestError, match="never followed"):
        new_session(server.url).request("GET", "things")
    assert len(server.requests) == 1


def test_cookies_are_not_kept(server: ScriptedServer) -> None:
    server.script(Answer(headers={"Set-Cookie": "sessionid=abc; Path=/"}))
    session = new_session(server.url)
    session.request("GET", "a")
    session.request("GET", "b")
    assert "cookie" not in server.requests[1].headers


def test_a_netrc_is_not_read(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    new_session(server.url).request("GET", "things")
    assert "authorization" not in server.requests[0].headers


def test_the_token_goes_to_the_configured_origins_only(server: ScriptedServer) -> None:
    from requests import PreparedRequest

    from airflow_src_provider.client.redaction import TokenAuth

    auth = TokenAuth(HEADER, TOKEN, ["https://api.example", "https://api.example:8443"])
    for url, sent in [
        ("https://api.example/v2/x", True),
        ("https://API.example/v2/x", True),
        ("https://api.example:8443/", True),
        ("https://api.example:9443/", False),
        ("http://api.example/", False),
        ("https://api.example.evil.example/", False),
        ("https://evil.example/https://api.example/", False),
    ]:
        request = PreparedRequest()
        request.prepare("GET", url, headers={})
        assert (auth(request).headers.get(HEADER) == TOKEN) is sent, url


# --- the token that changes ---


def test_a_rotated_token_is_taken_once(server: ScriptedServer) -> None:
    tokens = ["planted-second", "planted-third"]
    session = new_session(server.url, refresh_token=lambda: tokens.pop(0))
    server.script(Answer(401, {"error": "Key has expired, please renew"}))
    session.request("POST", "things", json={})
    assert [request.headers[HEADER.lower()] for request in server.requests] == [TOKEN, "planted-second"]

    server.script(*[Answer(403, {"error": "Access to this API has been disallowed"})] * 9)
    with pytest.raises(exc.TokenRejectedError):
        session.request("GET", "things")
    assert [request.headers[HEADER.lower()] for request in server.requests] == ["planted-second", "planted-third"]


def test_another_token_has_another_budget(server: ScriptedServer) -> None:
    session = new_session(server.url, refresh_token=lambda: "planted-second")
    before = session.budget
    server.script(Answer(401))
    session.request("GET", "things")
    assert session.budget is not before
    assert session.budget is before.for_token("planted-second")


@pytest.mark.parametrize("refresh", [None, lambda: TOKEN])
def test_a_token_that_stays_refused_fails_at_once(
    server: ScriptedServer, refresh: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.script(*[Answer(401)] * 9)
    with pytest.raises(exc.TokenRejectedError):
        new_session(server.url, refresh_token=refresh).request("GET", "things")
    assert len(server.requests) == 1
    assert caplog.messages == []


def test_a_token_is_renewed_once_per_request_whatever_comes_between(server: ScriptedServer) -> None:
    tokens = iter("abcdefgh")
    server.script(Answer(401), Answer(500), Answer(401), Answer(401))
    with pytest.raises(exc.TokenRejectedError):
        new_session(server.url, refresh_token=lambda: next(tokens)).request("GET", "things")
    assert len(server.requests) == 3


def test_a_token_that_another_thread_has_renewed_is_used(server: ScriptedServer) -> None:
    session = new_session(server.url, refresh_token=lambda: "planted-second")
    prepared = session._prepare("GET", "things", "", None, None)
    server.script(Answer(401))
    session.request("GET", "first")
    # A request that was on its way with the old token meanwhile.
    assert session._adopt_new_token(prepared)
    assert prepared.headers[HEADER] == "planted-second"


def test_a_token_that_a_sibling_adopts_at_the_same_moment_is_used(server: ScriptedServer) -> None:
    def refresh() -> str:
        if not server.requests[1:]:
            session.hasty(1.0).request("GET", "other")
        return "planted-second"

    session = new_session(server.url, refresh_token=refresh)
    server.script(Answer(401), Answer(401))
    session.request("GET", "things")
    assert [request.target for request in server.requests] == ["/things", "/other", "/other", "/things"]


@pytest.mark.parametrize("sibling", ["hasty", "yielding"])
def test_siblings_count_on_the_budget_of_the_token_that_they_send(server: ScriptedServer, sibling: str) -> None:
    session = new_session(server.url, refresh_token=lambda: "planted-second")
    other = getattr(session, sibling)(1.0)
    server.script(Answer(401))
    session.request("GET", "things")
    other.request("GET", "things")
    assert server.requests[-1].headers[HEADER.lower()] == "planted-second"
    assert other.budget is session.budget
    assert other.budget.used() == 2


# --- the process around it ---


def test_the_urgent_sibling_neither_waits_nor_repeats(server: ScriptedServer) -> None:
    clock = SteppedClock()
    session = new_session(server.url, clock, budget=new_budget(clock, limit=1))
    session.request("GET", "first")
    server.script(Answer(503))
    with pytest.raises(exc.ServiceUnavailableError):
        session.urgent().request("POST", "abort", json={})
    session.urgent().request("POST", "abort", json={})
    assert (len(server.requests), clock.sleeps) == (2, [])


def test_the_urgent_sibling_shares_no_lock_and_no_connection(server: ScriptedServer) -> None:
    session = new_session(server.url)
    session.request("GET", "first")
    with session._lock, session.budget._turn:  # as a thread that was interrupted by a signal
        urgent = threading.Thread(target=lambda: session.urgent().request("POST", "abort", json={}), daemon=True)
        urgent.start()
        urgent.join(5)
    assert [request.connection for request in server.requests] == [1, 2]


def test_each_attempt_of_what_must_not_be_sent_twice_is_announced(server: ScriptedServer) -> None:
    told: list[int] = []
    session = new_session(server.url).announcing(lambda: told.append(len(server.requests)))
    server.script(Answer(429), Answer(200), Answer(200), Answer(200))
    session.request("POST", "start", json={})
    assert told == [0, 1]
    session.request("GET", "look")
    session.request("POST", "look", json={}, safe=True)
    session.urgent().request("POST", "end", json={})
    assert told == [0, 1]


def test_what_must_not_be_announced_any_more_is_not_sent(server: ScriptedServer) -> None:
    def refuse() -> None:
        raise exc.SupersededError("replaced")

    session = new_session(server.url).announcing(refuse)
    with pytest.raises(exc.SupersededError):
        session.request("POST", "start", json={})
    assert server.requests == []


def test_the_lasting_sibling_has_one_time_for_all_its_requests(server: ScriptedServer) -> None:
    clock = SteppedClock()
    began, session = clock(), new_session(server.url, clock).lasting(100.0)
    server.script(*[Answer(503, headers={"Retry-After": "60"}, body=b"{}")] * 4)
    for _ in range(3):
        with pytest.raises(exc.ServiceUnavailableError):
            session.request("GET", "look")
    assert len(server.requests) == 4, "the first is sent again, then the time is over"
    assert clock() - began < 100.0
    assert session.hasty(50.0)._wait_until == session._wait_until


def test_the_hasty_sibling_raises_instead_of_waiting_for_long_and_shares_the_budget(server: ScriptedServer) -> None:
    clock = SteppedClock()
    session = new_session(server.url, clock, budget=new_budget(clock, limit=2))
    hasty = session.hasty(5.0)
    server.script(Answer(503, headers={"Retry-After": "60"}))
    with pytest.raises(exc.ServiceUnavailableError):
        hasty.request("GET", "look")
    hasty.request("GET", "look")
    with pytest.raises(exc.BudgetWaitError) as late:
        hasty.request("GET", "look")
    assert clock.sleeps == []
    assert late.value.retry_after == pytest.approx(60, abs=1)
    session.request("GET", "work")
    assert sum(clock.sleeps) == pytest.approx(60, abs=1)
    assert session.hasty(5.0).hasty(100.0)._max_wait == 5.0
    assert session.calls == hasty.calls == 3


def test_a_forked_child_has_connections_of_its_own(server: ScriptedServer) -> None:
    session = new_session(server.url)
    session.request("GET", "parent")
    session._lock.acquire()  # as another thread would at the moment of the fork
    child = os.fork()
    if child == 0:
        try:
            session.request("GET", "child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    session._lock.release()
    session.request("GET", "parent")
    assert [(request.target, request.connection) for request in server.requests] == [
        ("/parent", 1),
        ("/child", 2),
        ("/parent", 1),
    ]


def test_the_client_needs_no_airflow() -> None:
    code = "import sys, airflow_src_provider.client.http; sys.exit('airflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
