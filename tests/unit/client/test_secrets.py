"""A planted token is looked for in everything that a session shows, says or raises."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import pprint
import traceback
import urllib.parse
from collections.abc import Iterator

import pytest

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client.budget import BudgetSettings
from airflow_src_provider.client.http import ApiSession
from tests.unit.client.server import Answer, ScriptedServer
from tests.unit.client.sessions import TOKEN, new_session

ODD_TOKEN = 'planted/"s3cr3t"\\+<&\'%25>'
TOKENS = [TOKEN, ODD_TOKEN]


def forms(token: str) -> list[str]:
    return [token, urllib.parse.quote(token, safe=""), html.escape(token), json.dumps(token)[1:-1], repr(token)[1:-1]]


def echoes(token: str) -> dict[str, Answer]:
    return {
        "in the message": Answer(400, {"message": f"bad token {token}!"}),
        "in a list": Answer(400, {"message": ["a", token]}),
        "deep within": Answer(400, {"name": [{"got": {"header": token}}]}),
        "as a key": Answer(400, {"errors": {token: "bad"}}),
        "in HTML": Answer(400, f"<pre>Authorization: {html.escape(token)}</pre>".encode()),
        "in text": Answer(401, f"unknown {token}".encode()),
        "in a URL": Answer(404, {"more_info": f"https://x/?t={urllib.parse.quote(token, safe='')}", "message": "m"}),
        "in the request id": Answer(404, {}, {"X-Request-Id": token}),
        "where the message is cut": Answer(400, {"message": "x" * (1000 - len(token) // 2) + token}),
        "where the text is cut": Answer(400, b"x" * (200 - len(token) // 2) + token.encode()),
        "where the form is cut": Answer(400, {"a": "x" * (500 - len(token) // 2) + token}),
        "in the gateway's words": Answer(403, {"error": f"Key {token} is unknown"}),
        "with an unknown outcome": Answer(500, {"message": token}),
        "in a redirect": Answer(302, b"", {"Location": f"/login?token={token}"}),
        "in what is no JSON": Answer(200, f"you sent {token}".encode()),
        "in what is no HTTP": Answer(raw=f"{token}\r\n\r\n".encode()),
        "in a broken head": Answer(raw=f"HTTP/1.1 {token} OK\r\n\r\n".encode()),
    }


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def everything_about(error: BaseException) -> str:
    seen = []
    todo: list[BaseException | None] = [error]
    while todo:
        link = todo.pop()
        if link is None:
            continue
        seen += [
            str(link),
            repr(link),
            repr(link.args),
            pprint.pformat(vars(link)),
            str(getattr(link, "__notes__", "")),
        ]
        seen.append("".join(traceback.TracebackException.from_exception(link, capture_locals=True).format()))
        todo += [link.__cause__, link.__context__]
    if isinstance(error, exc.ResearchCloudError):
        seen.append(pickle.dumps(error).decode("latin-1"))
        seen.append(repr(copy.deepcopy(error).__dict__))
    return "\n".join(seen)


@pytest.mark.parametrize("token", TOKENS, ids=["plain", "odd"])
@pytest.mark.parametrize("place", echoes(TOKEN))
def test_a_token_that_the_server_sends_back_is_not_repeated(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, place: str, token: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(echoes(token)[place])
    with pytest.raises(exc.ResearchCloudError) as caught:
        new_session(server.url, token=token).request("POST", "things", json={"name": "n"})
    # The test's own line above holds the token; the frames from the session on must not.
    caught.value.__traceback__ = caught.value.__traceback__ and caught.value.__traceback__.tb_next
    told = everything_about(caught.value) + caplog.text
    half = token[: len(token) // 2 + 2]
    assert not [form for form in [*forms(token), half] if form in told]
    assert server.requests


def test_a_token_used_before_is_hidden_too(server: ScriptedServer) -> None:
    session = new_session(server.url, refresh_token=lambda: "planted-second")
    server.script(Answer(401), Answer(400, {"message": f"neither {TOKEN} nor planted-second"}))
    with pytest.raises(exc.BadRequestError, match=r"neither \*\*\* nor \*\*\*"):
        session.request("GET", "things")


@pytest.mark.parametrize(
    "fault",
    [Answer(lose=True), Answer(429), Answer(503), Answer(500), Answer(body=b"<"), Answer(body=b"12", cut=1), Answer()],
    ids=["lost", "429", "503", "500", "no JSON", "cut", "fine"],
)
def test_no_log_line_holds_the_token(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], fault: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3")
    server.script(*[fault] * 5)
    session = new_session(server.url)
    for method in ("GET", "POST"):
        try:
            session.request(method, "things", json={"a": 1}, max_wait=100)
        except exc.ApiError as error:
            logging.getLogger("test").exception("failed: %r", error)
    printed = capsys.readouterr()
    assert "urllib3" in caplog.text
    assert TOKEN not in caplog.text + printed.out + printed.err


def test_nothing_shows_the_token(server: ScriptedServer) -> None:
    session = new_session(server.url)
    session.request("GET", "things")
    seen = [repr(session), str(session), repr(session._auth), repr(session.budget), repr(session.budget.settings)]
    seen.append(session.budget.settings.name(TOKEN))
    response = session.request("GET", "things")
    seen += [repr(response), repr(response.headers)]
    for text in seen:
        assert TOKEN not in text
        assert base64.b64encode(TOKEN.encode()).decode() not in text


def test_a_session_does_not_leave_its_process(server: ScriptedServer) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(new_session(server.url))


def test_the_password_of_a_store_is_not_shown() -> None:
    settings = BudgetSettings("https://api.example/", 10, 60.0, store="redis://user:planted-pw@127.0.0.1:1/0")
    assert "planted-pw" not in repr(settings)
    with pytest.raises(exc.InvalidInputError) as caught:
        BudgetSettings("https://api.example/", 10, 60.0, store="http://user:planted-pw@127.0.0.1:1/0")
    assert "planted-pw" not in everything_about(caught.value).replace("store=", "").split("test_secrets.py")[0]


def test_the_credentials_of_a_proxy_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session: ApiSession = new_session("http://127.0.0.1:9/", proxies={"http": "http://user:planted-pw@127.0.0.1:1"})
    with pytest.raises(exc.ConnectFailedError) as caught:
        session.request("GET", "things")
    assert "planted-pw" not in str(caught.value) + repr(session) + caplog.text
