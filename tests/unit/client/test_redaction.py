"""A token is taken out of what servers, libraries and people write, however it is spelt there."""

from __future__ import annotations

import gzip
import html
import http.client
import json
import pickle
import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client import transport
from airflow_src_provider.client.redaction import SHORTEST_IN_DATA, Secret, TokenAuth, check_base_url, spellings
from tests.unit.client.server import Answer, ScriptedServer
from tests.unit.client.sessions import HEADER, TOKEN, new_session

ODD = 'Plnt3d/"sb"\\+<&\'%25> 7f1c'
#: Ways in which a character comes back from a server.
WRITTEN = [
    lambda c: c,
    lambda c: f"%{ord(c):02X}",
    lambda c: f"%25{ord(c):02x}",
    lambda c: f"\\u{ord(c):04x}",
    lambda c: f"\\\\u{ord(c):04X}",
    lambda c: f"\\x{ord(c):02x}",
    lambda c: f"&#{ord(c)};",
    lambda c: f"&#x{ord(c):X};",
    html.escape,
    lambda c: html.escape(html.escape(c)),
    lambda c: f"\\{c}",
    lambda c: json.dumps(c)[1:-1],
    lambda c: "+" if c == " " else c,
]
VISIBLE = st.characters(min_codepoint=32, max_codepoint=126)
TOKENS = st.text(VISIBLE, min_size=SHORTEST_IN_DATA).filter(lambda text: text == text.strip())


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def auth(*tokens: str) -> TokenAuth:
    made = TokenAuth(HEADER, tokens[0], ["https://api.example"])
    for token in tokens[1:]:
        made.replace(token)
    return made


@given(token=TOKENS, data=st.data())
def test_a_token_is_known_in_every_spelling_and_every_mixture_of_them(token: str, data: st.DataObject) -> None:
    ways = data.draw(st.lists(st.sampled_from(WRITTEN), min_size=len(token), max_size=len(token)))
    spelt = "".join(c if c.isalnum() else way(c) for c, way in zip(token, ways, strict=True))
    assert auth(token).clean(f"é{spelt}é") == "é***é"
    assert auth(token).clean_data(f"é{spelt}é".encode()) == "é***é".encode()


@given(token=TOKENS)
def test_what_is_masked_covers_how_python_writes_it(token: str) -> None:
    masked = spellings(token)
    for written in (token, quote(token, safe=""), html.escape(token), json.dumps(token)[1:-1], repr(token)[1:-1]):
        assert written in masked


def test_the_longer_of_two_tokens_goes_first() -> None:
    assert auth("planted-token", "planted-token-2").clean("x planted-token-2 planted-token y") == "x *** *** y"


def test_a_short_token_is_taken_out_of_texts_only() -> None:
    short = auth("seven77")
    assert short.clean("key seven77 is unknown") == "key *** is unknown"
    assert short.clean_data(b'{"name": "seven77"}') == b'{"name": "seven77"}'


def test_a_hostile_body_costs_no_more_than_its_length() -> None:
    for filler in (b"\\", b"&amp;", b"%25", b"&#0", b"Plnt3d"):
        body = filler * 200_000
        assert auth(ODD).clean_data(body) == body


@pytest.mark.parametrize("token", [TOKEN, ODD], ids=["plain", "odd"])
def test_an_answer_that_repeats_the_token_hands_on_none(server: ScriptedServer, token: str) -> None:
    session = new_session(server.url, token=token)
    server.script(Answer(body={"who": f"you are {token}", token: [token]}))
    assert session.request("POST", "things", json={}).json() == {"who": "you are ***", "***": ["***"]}
    page = gzip.compress(f"<p>{html.escape(token)}</p>".encode())
    server.script(Answer(body=page, headers={"Content-Encoding": "gzip"}))
    assert session.request("GET", "things", expect_json=False).text == "<p>***</p>"


def test_local_variables_of_an_interrupted_request_do_not_show_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a time-out of Airflow interrupts it, deep within the libraries."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    session = new_session(server.url, proxies={"http": Secret(f"http://user:planted-pw@127.0.0.1:{server.port}")})
    monkeypatch.setattr(urllib3.connection.HTTPConnection, "getresponse", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        session.request("POST", "things", json={})
    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "urllib3/connectionpool.py" in told
    assert f"'{HEADER}': ***" in told
    assert TOKEN not in told
    assert "planted-pw" not in told.split("getresponse")[-1]


def test_a_secret_hides_itself_only_where_it_is_shown() -> None:
    secret = Secret(TOKEN)
    assert (repr(secret), repr({"a": [secret]})) == ("***", "{'a': [***]}")
    assert (secret, f"{secret}", hash(secret), json.dumps(secret)) == (TOKEN, TOKEN, hash(TOKEN), json.dumps(TOKEN))
    assert TOKEN not in repr(vars(auth(TOKEN, ODD)))
    assert ODD not in repr(vars(auth(TOKEN, ODD)))


def test_the_part_of_a_head_that_is_no_header_is_not_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(Answer(raw=f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nyou sent {TOKEN}\r\nX: y\r\n\r\n{{}}".encode()))
    new_session(server.url).request("GET", "things")
    assert "Failed to parse headers" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("rest", ["127.0.0.1:99999", "[x", "127.0.0.1:a:b"])
def test_a_proxy_that_cannot_be_used_does_not_show_its_password(rest: str) -> None:
    session = new_session("http://127.0.0.1:9/", proxies={"http": f"http://user:planted-pw@{rest}"})
    with pytest.raises(exc.InvalidInputError, match="proxies=") as caught:
        session.request("GET", "things")
    assert "planted-pw" not in f"{caught.value} {caught.value!r} {pickle.dumps(caught.value)!r}"


@pytest.mark.parametrize(
    "url",
    [
        "https://user:planted-pw@api.example:99999/",
        "https://user:planted pw@api.example/",
        "http://planted-pw@api.example/",
        "https://api.example/?key=planted-pw",
        "https://planted-pw-0123456789abcdef",
        f"https://{'0123456789abcdef' * 4}/v2/",
    ],
)
def test_a_base_url_with_a_secret_in_it_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(exc.InvalidInputError, match=r"host='\*\*\*'") as caught:
        check_base_url(url)
    assert not [part for part in ("planted", "0123456789abcdef") if part in f"{caught.value} {vars(caught.value)}"]


def test_an_answer_that_is_packed_twice_is_bounded(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 1 << 20)
    packed = gzip.compress(gzip.compress(b"0" * (1 << 20)) * 64)
    server.script(Answer(body=packed, headers={"Content-Encoding": "gzip, gzip"}))
    with pytest.raises(exc.OutcomeUnknownError, match="more than 1 MiB"):
        new_session(server.url).request("POST", "things", json={})


@pytest.mark.parametrize("proxied", [False, True])
def test_the_debugging_of_http_client_prints_nothing_of_a_session(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    options = {"proxies": {"http": f"http://user:planted-pw@127.0.0.1:{server.port}"}} if proxied else {}
    new_session("http://127.0.0.1:9/" if proxied else server.url, **options).request("GET", "things")
    assert server.requests
    assert capsys.readouterr().out == ""
    requests.get(server.url, timeout=5)
    assert "send: b'GET" in capsys.readouterr().out


def test_the_debugging_of_http_client_prints_nothing_of_a_secure_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    adapter = transport.new_adapter()
    for manager in (adapter.poolmanager, adapter.proxy_manager_for("http://127.0.0.1:9")):
        pool = manager.connection_from_url("https://api.example/")
        assert pool.ConnectionCls.debuglevel == 0
