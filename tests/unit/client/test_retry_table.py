"""The table of ``client/retry.py``, row by row, for a repeatable request and for an effect."""

from __future__ import annotations

import logging
import math
import re
import socket
import time

import pytest

from airflow_src_provider import exceptions as exc
from airflow_src_provider.client import retry
from tests.unit.client.server import Answer, ScriptedServer, SteppedClock
from tests.unit.client.sessions import new_session

QUEUE_FULL = {"code": 503, "status": "Service Unavailable", "message": ["Queue is full"]}
MAINTENANCE = {"status": 503, "code": 0, "message": "platform under maintenance"}
UNEXPECTED = {"status": 503, "code": 90004, "message": "unexpected"}


CERTAINLY_NOT_PROCESSED = {
    "429": Answer(429, {"error": "Rate Limit Exceeded"}),
    "429 of Seven Bridges": Answer(429, {"status": 429, "code": 1000, "message": "see headers"}),
    "503 queue full": Answer(503, QUEUE_FULL),
    "503 as text": Answer(503, b"Queue is full"),
    "503 as HTML": Answer(503, b"<html><body><h1>Queue is full</h1></body></html>"),
    "503 empty": Answer(503, b""),
    "maintenance": Answer(503, MAINTENANCE),
}
OUTCOME_UNKNOWN = {
    "500": Answer(500, {"message": "oops"}),
    "502": Answer(502, b"<html>Bad gateway</html>"),
    "504": Answer(504, {"error": "Upstream service reached hard timeout."}),
    "520": Answer(520, b""),
    "503 unexpected": Answer(503, UNEXPECTED),
    "closed before the answer": Answer(lose=True),
    "closed within the head": Answer(raw=b"HTTP/1.1 200 O"),
    "closed within the body": Answer(body={"id": "x" * 50}, cut=20),
    "not HTTP": Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n"),
    "not JSON": Answer(body=b"<html>Welcome</html>"),
    "half of a JSON": Answer(body=b'{"id": "1'),
    "no body": Answer(body=b""),
    "broken gzip": Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    "partial content": Answer(206, {"id": "1"}),
}
FINAL = {
    400: (Answer(400, {"code": 400, "message": ["a", "b"]}), exc.BadRequestError),
    404: (Answer(404, {"detail": "Not found."}), exc.NotFoundError),
    405: (Answer(405, b""), exc.BadRequestError),
    409: (Answer(409, {"status": 409, "code": 5003, "message": "exists"}), exc.ConflictError),
    403: (Answer(403, {"status": 403, "code": 5001, "message": "no right"}), exc.ForbiddenError),
    401: (Answer(401, {"error": "Authorization field missing"}), exc.TokenRejectedError),
    302: (Answer(302, b"", {"Location": "https://elsewhere.example/"}), exc.BadRequestError),
}


@pytest.mark.parametrize(
    "fault", (CERTAINLY_NOT_PROCESSED | OUTCOME_UNKNOWN).values(), ids=[*CERTAINLY_NOT_PROCESSED, *OUTCOME_UNKNOWN]
)
def test_a_repeatable_request_is_sent_again(server: ScriptedServer, clock: SteppedClock, fault: Answer) -> None:
    server.script(fault, fault, Answer(body={"id": 1}))

    assert new_session(server.url, clock).request("GET", "things").json() == {"id": 1}

    assert len(server.requests) == 3
    assert all(pause > 0 for pause in clock.sleeps)


@pytest.mark.parametrize("fault", CERTAINLY_NOT_PROCESSED.values(), ids=CERTAINLY_NOT_PROCESSED)
def test_an_effect_that_was_certainly_not_processed_is_sent_again(
    server: ScriptedServer, clock: SteppedClock, fault: Answer
) -> None:
    server.script(fault, fault, Answer(body={"id": 1}))

    assert new_session(server.url, clock).request("POST", "things", json={"name": "n"}).json() == {"id": 1}

    assert [request.body for request in server.requests] == [b'{"name": "n"}'] * 3


@pytest.mark.parametrize("fault", OUTCOME_UNKNOWN.values(), ids=OUTCOME_UNKNOWN)
def test_an_effect_with_an_unknown_outcome_is_never_sent_again(
    server: ScriptedServer, clock: SteppedClock, fault: Answer
) -> None:
    server.script(fault)

    with pytest.raises(exc.OutcomeUnknownError) as caught:
        new_session(server.url, clock).request("POST", "things", json={})

    assert len(server.requests) == 1
    assert clock.sleeps == []
    assert not caught.value.outcome_known
    assert not caught.value.retryable
    assert "whether it was done is not known" in str(caught.value)


def test_an_unknown_503_is_no_certainty_where_the_service_has_codes(
    server: ScriptedServer, clock: SteppedClock
) -> None:
    session = new_session(server.url, clock, certain_503=frozenset({0, 1000}))
    server.script(Answer(503, b"<html>from somewhere behind</html>"))
    with pytest.raises(exc.OutcomeUnknownError) as caught:
        session.request("POST", "things", json={})
    assert caught.value.status == 503
    assert len(server.requests) == 1

    server.script(Answer(503, MAINTENANCE))
    session.request("POST", "things", json={})
    assert len(server.requests) == 2

    server.script(Answer(503, b"<html>from somewhere behind</html>"))
    session.request("POST", "things", json={}, safe=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize(("method", "safe", "sent"), [("DELETE", None, 2), ("PUT", None, 2), ("PATCH", None, 2)])
def test_setting_and_deleting_may_be_repeated(
    server: ScriptedServer, clock: SteppedClock, method: str, safe: bool | None, sent: int
) -> None:
    server.script(Answer(lose=True))
    new_session(server.url, clock).request(method, "things/1", json={}, safe=safe)
    assert len(server.requests) == sent


def test_the_caller_decides_what_is_repeatable(server: ScriptedServer, clock: SteppedClock) -> None:
    session = new_session(server.url, clock)
    server.script(Answer(500))
    session.request("POST", "bulk/get", json={}, safe=True)
    assert len(server.requests) == 2

    server.script(Answer(500))
    with pytest.raises(exc.OutcomeUnknownError):
        session.request("PATCH", "things/1", json={}, safe=False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", FINAL)
def test_a_clear_refusal_is_final(server: ScriptedServer, clock: SteppedClock, status: int, method: str) -> None:
    answer, kind = FINAL[status]
    server.script(answer)

    with pytest.raises(kind) as caught:
        new_session(server.url, clock).request(method, "things", json={})

    assert type(caught.value) is kind
    assert caught.value.status == status
    assert (caught.value.retryable, caught.value.outcome_known) == (False, True)
    assert len(server.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_stays_a_refusal_when_its_text_is_cut_off(
    server: ScriptedServer, clock: SteppedClock, method: str
) -> None:
    server.script(Answer(409, {"message": "exists" * 20}, cut=5))
    with pytest.raises(exc.ConflictError):
        new_session(server.url, clock).request(method, "things", json={})
    assert len(server.requests) == 1

    server.script(Answer(429, {"message": "slow down" * 20}, cut=5))
    new_session(server.url, clock).request(method, "things", json={})
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_is_tried_again_for_an_effect_too(
    clock: SteppedClock, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        session = new_session(f"http://127.0.0.1:{port}/", clock)
        with pytest.raises(exc.ConnectFailedError, match="refused") as caught:
            session.request(method, "things", json={})
    assert len(clock.sleeps) == retry.ATTEMPTS - 1
    assert session.calls == retry.ATTEMPTS
    assert caught.value.outcome_known


def test_an_unknown_host_is_tried_again(clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(exc.ConnectFailedError):
        new_session("https://no-such-host.example/", clock).request("POST", "things", json={})
    assert len(clock.sleeps) == retry.ATTEMPTS - 1


def test_an_older_error_of_the_caller_does_not_make_a_lost_effect_look_unsent(
    server: ScriptedServer, clock: SteppedClock
) -> None:
    import urllib3

    session = new_session(server.url, clock)
    server.script(Answer(lose=True))
    try:
        urllib3.PoolManager(retries=False).request("GET", "http://127.0.0.1:1/")
    except urllib3.exceptions.NewConnectionError:
        with pytest.raises(exc.OutcomeUnknownError):
            session.request("POST", "things", json={})
    assert len(server.requests) == 1


@pytest.mark.parametrize(("method", "kind"), [("GET", exc.ConnectionLostError), ("POST", exc.OutcomeUnknownError)])
def test_a_silent_server_is_given_up(
    server: ScriptedServer, clock: SteppedClock, method: str, kind: type[exc.ApiError]
) -> None:
    server.script(*[Answer(delay=0.25, lose=True)] * 5)
    session = new_session(server.url, clock)
    with pytest.raises(kind, match="Read timed out"):
        session.request(method, "things", json={}, timeout=0.05)
    assert session.calls == (5 if method == "GET" else 1)


def test_attempts_are_counted_and_end(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(*[Answer(500, {"message": "oops"})] * 20)
    session = new_session(server.url, clock)
    with pytest.raises(exc.ServerError, match="oops"):
        session.request("GET", "things")
    assert len(server.requests) == session.calls == retry.ATTEMPTS
    assert sum(clock.sleeps) <= 15


def test_back_off_grows_and_is_jittered(server: ScriptedServer) -> None:
    seen: list[tuple[float, ...]] = []
    for _ in range(5):
        clock = SteppedClock()
        server.script(*[Answer(503, QUEUE_FULL)] * 6)
        new_session(server.url, clock).request("GET", "things")
        assert all(low <= pause <= low * 1.2 for pause, low in zip(clock.sleeps, [5, 10, 20, 40, 80, 120], strict=True))
        seen.append(tuple(clock.sleeps))
    assert len(set(seen)) == 5


def test_maintenance_is_waited_for_patiently(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(*[Answer(503, MAINTENANCE)] * 3)
    new_session(server.url, clock).request("GET", "things")
    assert all(low <= pause <= low * 1.1 for pause, low in zip(clock.sleeps, [60, 120, 240], strict=True))


@pytest.mark.parametrize(
    ("fault", "kind"), [(QUEUE_FULL, exc.ServiceUnavailableError), (MAINTENANCE, exc.MaintenanceError)]
)
def test_all_waiting_together_is_bounded(
    server: ScriptedServer, clock: SteppedClock, fault: dict[str, object], kind: type[exc.ApiError]
) -> None:
    server.script(*[Answer(503, fault)] * 100)
    with pytest.raises(kind):
        new_session(server.url, clock, max_wait=400.0).request("POST", "things", json={})
    assert 100 < sum(clock.sleeps) <= 400


def test_waiting_for_the_rate_limit_is_bounded(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(*[Answer(429)] * 100)
    with pytest.raises(exc.BudgetWaitError) as caught:
        new_session(server.url, clock).request("GET", "things", max_wait=130.0)
    assert 60 < sum(clock.sleeps) <= 130
    assert caught.value.retry_after == pytest.approx(60, abs=2)
    assert len(server.requests) == 3


def test_a_call_can_be_told_not_to_wait(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(Answer(503, QUEUE_FULL, {"Retry-After": "7"}))
    with pytest.raises(exc.ServiceUnavailableError) as caught:
        new_session(server.url, clock).request("GET", "things", max_wait=0)
    assert caught.value.retry_after == 7
    assert clock.sleeps == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "17"}, {"Retry-After": "Wed, 21 Oct 2026 07:28:17 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}],
    ids=["seconds", "date"],
)
def test_retry_after_is_obeyed(
    server: ScriptedServer, clock: SteppedClock, headers: dict[str, str], status: int
) -> None:
    server.script(Answer(status, {}, headers))
    new_session(server.url, clock).request("GET", "things")
    assert 17 <= sum(clock.sleeps) <= 17.5


def test_a_wait_that_was_too_short_is_obeyed_once(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(*[Answer(503, QUEUE_FULL, {"Retry-After": "0"})] * 4)
    new_session(server.url, clock).request("POST", "things", json={})
    assert clock.sleeps[0] <= 0.5
    assert all(low <= pause <= low * 1.2 for pause, low in zip(clock.sleeps[1:], [10, 20, 40], strict=True))


def test_a_wait_that_is_longer_than_the_own_one_is_always_obeyed(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(*[Answer(503, QUEUE_FULL, {"Retry-After": "100"})] * 4)
    new_session(server.url, clock).request("POST", "things", json={})
    assert all(100 <= pause <= 100.5 for pause in clock.sleeps)


def test_a_request_that_is_turned_away_for_weeks_is_still_sent_again(clock: SteppedClock) -> None:
    tries = iter(range(2000))

    def attempt() -> str:
        if next(tries) == 1999:
            return "taken"
        raise exc.ServiceUnavailableError("Queue is full", status=503)

    assert retry.retry(attempt, math.inf, clock.sleep, clock) == "taken"


@pytest.mark.parametrize(
    ("answer", "why", "how_long", "next_at"),
    [
        (Answer(503, QUEUE_FULL), "Queue is full", r"Waiting [56] s; try 2 at ", 5),
        (Answer(503, MAINTENANCE), "platform under maintenance", r"Waiting 6\d s; try 2 at ", 60),
        (Answer(503, QUEUE_FULL, {"Retry-After": "17"}), "Queue is full", r"Waiting 1[78] s; try 2 at ", 17),
        (Answer(429, {"error": "Rate Limit Exceeded"}), "refused a request (429)", r"wait 60 s\. Next request at ", 60),
    ],
    ids=["queue", "maintenance", "named by the service", "429"],
)
def test_one_line_per_wait_says_why_how_long_and_until_when(
    server: ScriptedServer,
    clock: SteppedClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    why: str,
    how_long: str,
    next_at: int,
) -> None:
    caplog.set_level(logging.INFO, "airflow_src_provider")
    # The moment that a line names is worked out from the present one, which stands still here.
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    server.script(answer)
    new_session(server.url, clock).request("POST", "things", json={})
    (line,) = caplog.messages
    assert why in line
    assert re.search(how_long + r"\d\d:\d\d:\d\d\.$", line)
    named = time.strptime(line[-9:-1], "%H:%M:%S")
    start = time.localtime(1_000_000.0)
    seconds = (named.tm_hour - start.tm_hour) * 3600 + (named.tm_min - start.tm_min) * 60 + named.tm_sec - start.tm_sec
    assert next_at <= seconds <= next_at * 1.2 + 1


def test_of_several_waits_for_one_request_the_first_and_the_long_ones_are_told(
    server: ScriptedServer, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "airflow_src_provider")
    server.script(*[Answer(503, QUEUE_FULL)] * 5)
    new_session(server.url, clock).request("POST", "things", json={})
    told = [re.findall(r"try (\d) at", line) for line in caplog.messages]
    # 5, 10, 20, 40 and 80 seconds.
    assert told == [["2"], ["5"], ["6"]]


def test_the_last_error_is_raised_without_a_history(server: ScriptedServer, clock: SteppedClock) -> None:
    server.script(*[Answer(500)] * 4, Answer(404))
    with pytest.raises(exc.NotFoundError) as caught:
        new_session(server.url, clock).request("GET", "things")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_an_error_that_leaves_the_outcome_open_is_never_tried_again(clock: SteppedClock) -> None:
    error = exc.OutcomeUnknownError("who knows")
    error.retryable = True
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise error

    with pytest.raises(exc.OutcomeUnknownError):
        retry.retry(attempt, clock() + 900, clock.sleep, clock)
    assert len(calls) == 1
