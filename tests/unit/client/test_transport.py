"""What happens on the wire: proxies, certificates, and answers that never end."""

from __future__ import annotations

import contextlib
import gzip
import math
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client import transport
from tests.unit.client.server import Answer, ScriptedServer, SteppedClock
from tests.unit.client.sessions import TOKEN, new_session


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


# --- proxies and certificates ---


def test_a_proxy_is_used(server: ScriptedServer) -> None:
    session = new_session("http://127.0.0.1:9/v1/", proxies={"http": server.url})
    session.request("GET", "things")
    assert server.requests[0].target == "http://127.0.0.1:9/v1/things"


@pytest.mark.parametrize(("no_proxy", "through"), [("", True), ("127.0.0.1", False)])
def test_proxies_of_the_environment_are_used(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, no_proxy: str, through: bool
) -> None:
    with ScriptedServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, no_proxy)
        new_session(server.url).request("GET", "things")
        assert (len(proxy.requests), len(server.requests)) == ((1, 0) if through else (0, 1))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_proxy_that_refuses_the_tunnel_has_sent_nothing(method: str) -> None:
    refusal = Answer(raw=b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    with ScriptedServer(*[refusal] * 9) as proxy:
        session = new_session("https://api.example/", proxies={"https": proxy.url})
        with pytest.raises(exc.ConnectFailedError, match="407"):
            session.request(method, "things", json={})
        assert all(TOKEN not in str(request) for request in proxy.requests)


@pytest.mark.parametrize("words", [None, b"", b"SSH-2.0-OpenSSH_9.6\r\n"], ids=["silent", "closed", "no TLS"])
def test_an_effect_is_sent_again_when_the_connection_was_never_secure(words: bytes | None) -> None:
    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                if words is None:
                    kept.append(connection)
                    continue
                with connection:
                    connection.sendall(words)

    clock = SteppedClock()
    kept: list[socket.socket] = []
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=answer, daemon=True).start()
        session = new_session(f"https://127.0.0.1:{listener.getsockname()[1]}/", clock, connect_timeout=0.05)
        with pytest.raises(exc.ConnectFailedError) as caught:
            session.request("POST", "things", json={})
        listener.shutdown(socket.SHUT_RDWR)
    assert (session.calls, len(clock.sleeps), caught.value.outcome_known) == (5, 4, True)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example"], ids=["empty", "too long"])
def test_nothing_was_sent_to_a_host_that_cannot_be_looked_up(host: str) -> None:
    with pytest.raises(exc.ConnectFailedError):
        new_session(f"https://{host}/").request("POST", "things", json={})


def test_nothing_was_sent_without_certificates_to_check_with(server: ScriptedServer, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate\n")
    with pytest.raises(exc.ConnectFailedError, match="no certificate"):
        new_session(server.url.replace("http:", "https:"), verify=str(bundle)).request("POST", "things", json={})


def test_connections_through_a_proxy_of_another_kind_are_bounded_too() -> None:
    class Connection(urllib3.connection.HTTPConnection):
        def __init__(self, _socks_options: object, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    ours = transport._ours(Pool)
    assert transport._ours(ours) is ours
    connection = ours("127.0.0.1", 80, _socks_options={})._new_conn()
    assert isinstance(connection, Connection)
    assert isinstance(connection, transport._Connection)


@pytest.mark.parametrize("proxy", ["http://", "socks9://127.0.0.1:1"])
def test_an_unusable_proxy_is_refused(proxy: str) -> None:
    clock = SteppedClock()
    with pytest.raises(exc.InvalidInputError, match="proxies="):
        new_session("http://127.0.0.1:9/", clock, proxies={"http": proxy}).request("GET", "things")
    assert clock.sleeps == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "ca.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def test_certificates_are_checked(authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, context = authority
    clock = SteppedClock()
    with ScriptedServer(tls=context) as server:
        with pytest.raises(exc.ConnectFailedError, match="no secure connection") as caught:
            new_session(server.url, clock).request("POST", "things", json={})
        assert (caught.value.retryable, caught.value.outcome_known) == (False, True)
        assert (clock.sleeps, server.requests) == ([], [])

        new_session(server.url, verify=str(bundle)).request("GET", "things")
        with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
            new_session(server.url, verify=False).request("GET", "things")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        new_session(server.url).request("GET", "things")
        assert len(server.requests) == 3

        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
        with pytest.raises(exc.InvalidInputError, match=r"verify='/nowhere\.pem'"):
            new_session(server.url)


@pytest.mark.parametrize(("method", "kind"), [("GET", exc.ConnectionLostError), ("POST", exc.OutcomeUnknownError)])
def test_a_secure_connection_that_breaks_after_sending_is_no_refused_one(
    authority: tuple[Path, ssl.SSLContext], method: str, kind: type[exc.ApiError]
) -> None:
    bundle, context = authority
    with ScriptedServer(*[Answer(lose=True)] * 9, tls=context) as server, pytest.raises(kind):
        new_session(server.url, verify=str(bundle)).request(method, "things", json={})


# --- bounds ---


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
WITHOUT_END = {
    "status line": b"HTTP/1.1 200 " + b"O" * 1000,
    "head": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 90,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    "length of a chunk": CHUNKED + b"2;" + b"x" * 1000,
    "trailer": CHUNKED + b"0\r\n" + b"X-A: b\r\n" * 90,
}


@pytest.mark.parametrize(("method", "kind"), [("GET", exc.ConnectionLostError), ("POST", exc.OutcomeUnknownError)])
@pytest.mark.parametrize("raw", WITHOUT_END.values(), ids=WITHOUT_END)
def test_an_answer_that_drips_is_given_up_whatever_part_of_it(
    server: ScriptedServer, raw: bytes, method: str, kind: type[exc.ApiError]
) -> None:
    server.script(Answer(raw=raw, drip=0.01))
    started = time.monotonic()
    with pytest.raises(kind, match=r"took more than 0\.4 s"):
        new_session(server.url).request(method, "things", json={}, timeout=0.1, attempts=1)
    assert time.monotonic() - started < 3


@pytest.fixture
def tunnel() -> Iterator[str]:
    """A proxy that carries one connection to wherever it is asked to."""

    def pour(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def carry() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as near:
            host, _, port = near.recv(65536).split()[1].decode().partition(":")
            with socket.create_connection((host, int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(target=pour, args=(near, far), daemon=True).start()
                pour(far, near)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=carry, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("through_proxy", [False, True])
def test_a_secure_answer_that_drips_is_given_up(
    authority: tuple[Path, ssl.SSLContext], tunnel: str, through_proxy: bool
) -> None:
    bundle, context = authority
    proxies = {"https": tunnel} if through_proxy else None
    with ScriptedServer(Answer(), Answer(raw=WITHOUT_END["head"], drip=0.01), tls=context) as server:
        session = new_session(server.url, verify=str(bundle), proxies=proxies)
        session.request("GET", "first")
        with pytest.raises(exc.ConnectionLostError, match=r"took more than 0\.4 s"):
            session.request("GET", "things", timeout=0.1, attempts=1)
        assert [request.connection for request in server.requests] == [1, 1]


def test_a_proxy_whose_answer_drips_is_given_up() -> None:
    with ScriptedServer(Answer(raw=WITHOUT_END["head"], drip=0.01)) as proxy:
        session = new_session("https://127.0.0.1:9/", proxies={"https": proxy.url}, connect_timeout=0.1)
        with pytest.raises(exc.ConnectFailedError, match=r"took more than 0\.4 s"):
            session.request("POST", "things", json={}, attempts=1)


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_urgent_request_takes_no_longer_however_the_answer_drips(server: ScriptedServer, part: str) -> None:
    dripping = Answer(raw=WITHOUT_END["head"], drip=0.01) if part == "head" else Answer(body=b"x" * 1000, drip=0.01)
    server.script(dripping)
    started = time.monotonic()
    with pytest.raises(exc.OutcomeUnknownError, match="took more than 0"):
        new_session(server.url).urgent(within=0.3).request("POST", "abort", json={})
    assert time.monotonic() - started < 1


def test_what_connecting_took_is_not_left_for_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = urllib3.util.connection.create_connection

    def slowly(*args: Any, **kwargs: Any) -> socket.socket:
        transport._present.deadline -= 10
        return connect(*args, **kwargs)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", slowly)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        session = new_session(f"https://127.0.0.1:{silent.getsockname()[1]}/").urgent(within=10.1)
        started = time.monotonic()
        with pytest.raises(exc.ConnectFailedError):
            session.request("POST", "abort", json={})
        assert time.monotonic() - started < 5


def test_a_request_that_interrupts_another_leaves_it_its_time(server: ScriptedServer) -> None:
    session = new_session(server.url)
    connect = urllib3.util.connection.create_connection

    def interrupted(*args: Any, **kwargs: Any) -> socket.socket:
        monkeypatch.undo()
        session.urgent(within=1.0).request("POST", "abort", json={})
        assert transport._present.deadline == math.inf
        return connect(*args, **kwargs)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(urllib3.util.connection, "create_connection", interrupted)
        session.request("GET", "things")
    assert [request.target for request in server.requests] == ["/abort", "/things"]


@pytest.mark.parametrize(
    "flood",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 150_000, CHUNKED + b"0\r\n" + b"X-A: b\r\n" * 450_000],
    ids=["interim answers", "trailer"],
)
def test_what_is_no_body_has_an_end_too(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, flood: bytes) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 1 << 20)
    server.script(Answer(raw=flood))
    with pytest.raises(exc.OutcomeUnknownError, match="more than 1 MiB"):
        new_session(server.url).request("POST", "things", json={})


def test_the_answer_after_an_interim_one_is_not_taken_for_the_next(server: ScriptedServer) -> None:
    session = new_session(server.url)
    server.script(Answer(103, b"", {"Link": "</a>", "Content-Length": ""}))
    with pytest.raises(exc.OutcomeUnknownError, match="103"):
        session.request("POST", "things", json={})
    session.request("GET", "things")
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_body_that_drips_is_given_up(server: ScriptedServer) -> None:
    server.script(Answer(body=b'"' + b"x" * 1000 + b'"', drip=0.01))
    started = time.monotonic()
    with pytest.raises(exc.OutcomeUnknownError, match=r"took more than 0\.4 s"):
        new_session(server.url).request("POST", "things", json={}, timeout=0.1)
    assert time.monotonic() - started < 5


def test_a_body_without_end_is_given_up(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 1 << 20)
    bomb = gzip.compress(b"0" * (3 << 20))
    server.script(Answer(body=bomb, headers={"Content-Encoding": "gzip"}), Answer(body=b"0" * (3 << 20)))
    session = new_session(server.url)
    for _ in range(2):
        with pytest.raises(exc.OutcomeUnknownError, match="more than 1 MiB"):
            session.request("POST", "things", json={})
    session.request("GET", "after")
