"""One Airflow connection, however it is written down, becomes one session; what cannot be used is refused by name."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import responses
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import redact
from hypothesis import given
from hypothesis import strategies as st

from airflow_src_provider.client.seven_bridges.platforms import PLATFORMS
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError
from airflow_src_provider.hooks import src
from airflow_src_provider.hooks.base import ResearchCloudHook
from airflow_src_provider.hooks.fields import ConnectionFields
from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.hooks.src import SrcHook

TOKEN = "a-token-for-tests"
SRC_ROOT = "https://gw.live.surfresearchcloud.nl/v1/"
CGC = "https://cgc-api.sbgenomics.com/v2/"
SELF = f"{SRC_ROOT}user/users/self/"
HOOKS: list[type[ResearchCloudHook]] = [SrcHook, SevenBridgesHook]
PROBE = {SrcHook: ("users/self/", "user", SELF), SevenBridgesHook: ("user", "", f"{CGC}user")}


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Define the connection ``here`` from its fields; ``password`` is the token unless told otherwise."""

    def define(hook: type[ResearchCloudHook], extra: Any = None, **fields: Any) -> ResearchCloudHook:
        connection = {"conn_type": hook.conn_type, "password": TOKEN, "extra": extra, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps({k: v for k, v in connection.items() if v is not None}))
        return hook("here")

    return define


@pytest.fixture
def web() -> Any:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def probe(hook: ResearchCloudHook, web: responses.RequestsMock) -> Any:
    """Send one request and return it as it went out."""
    path, service, url = PROBE[type(hook)]
    web.get(url, json={})
    hook.session.request("GET", path, service=service)
    return web.calls[-1].request


# How a connection can be written down


@pytest.mark.parametrize(("hook", "header"), [(SrcHook, "authorization"), (SevenBridgesHook, "X-SBG-Auth-Token")])
def test_a_token_alone_is_enough(hook: Any, header: str, connect: Any, web: Any) -> None:
    request = probe(connect(hook), web)
    assert request.headers[header] == TOKEN
    assert request.req_kwargs["verify"] is not False
    assert request.req_kwargs["timeout"] == (10.0, 30.0)


def test_the_allowance_of_each_service_is_known(connect: Any) -> None:
    for hook, window in ((SrcHook, 60), (SevenBridgesHook, 300)):
        settings = connect(hook).session.budget.settings
        assert (settings.limit, settings.window, settings.share, settings.store) == (1000, window, 1.0, "")
        assert Path(settings.directory).name == "airflow_src_provider"


@pytest.mark.parametrize(
    "uri",
    [
        f"surf-research-cloud://:{TOKEN}@/?rate_limit=7&verify=false&read_timeout=5",
        f"surf-research-cloud://:{TOKEN}@gw.live.surfresearchcloud.nl/v1?rate_limit=7&verify=false&read_timeout=5",
        f"surf-research-cloud://https://:{TOKEN}@gw.live.surfresearchcloud.nl/v1?rate_limit=7&verify=0&read_timeout=5",
        f"surf-research-cloud://:{TOKEN}@gw.live.surfresearchcloud.nl/?__extra__="
        + quote('{"rate_limit": 7, "verify": false, "read_timeout": 5}'),
    ],
)
def test_a_connection_may_be_a_uri(uri: str, monkeypatch: pytest.MonkeyPatch, web: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HERE", uri)
    hook = SrcHook("here")
    request = probe(hook, web)
    assert request.headers["authorization"] == TOKEN
    assert request.req_kwargs["verify"] is False
    assert request.req_kwargs["timeout"] == (10.0, 5.0)
    assert hook.session.budget.settings.limit == 7


EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "rate_limit": st.integers(1, 10**6) | st.none() | st.just(""),
        "rate_share": st.sampled_from([0.5, 1, 1.0, "0.25", None]),
        "verify": st.booleans() | st.sampled_from(["true", "False"]),
        "proxy": st.sampled_from(["http://user:p%40ss@proxy.example.org:3128", "", None]),
        "platform": st.sampled_from([*PLATFORMS, None]),
    },
)


@given(
    token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    host=st.sampled_from([None, "https://api.example.org/v2", "http://127.0.0.1:8080/v2", "api.example.org"]),
    extra=EXTRAS,
)
def test_a_connection_survives_travelling_as_a_uri(token: str, host: str | None, extra: dict[str, Any]) -> None:
    # Airflow sends a connection that is to be tested on a worker this way.
    sent = Connection(
        conn_id="here", conn_type="seven_bridges", host=host, password=token, extra=json.dumps(extra) if extra else None
    )
    arrived = Connection(conn_id="here", uri=sent.get_uri())
    assert arrived.conn_type == "seven_bridges"
    assert everything(arrived) == everything(sent)


def everything(connection: Connection) -> list[Any]:
    fields = ConnectionFields(connection, SevenBridgesHook.own_fields)
    values = [
        fields.token(),
        fields.base_url("v2"),
        fields.count("rate_limit", 1000),
        fields.number("rate_share", 1.0, at_most=1.0),
        fields.flag("verify", True),
        fields.private_url("proxy", ("http",)),
        fields.choice("platform", PLATFORMS),
    ]
    fields.check()
    return values


def test_the_connection_is_read_at_first_use_only(web: Any) -> None:
    hook = SrcHook("no_such_connection")
    assert repr(hook) == "<SrcHook no_such_connection>"
    with pytest.raises(AirflowNotFoundException, match="no_such_connection"):
        hook.get_conn()


@pytest.mark.parametrize("hook", HOOKS)
def test_the_default_connection_has_a_name_of_its_own(hook: Any) -> None:
    assert hook().conn_id == hook.default_conn_name
    assert hook(**{hook.conn_name_attr: "other"}).conn_id == "other"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_client_stands_on_the_session(hook: Any, connect: Any) -> None:
    hook = connect(hook)
    assert hook.get_conn() is hook.client
    assert hook.session is hook.session


# Each field


@pytest.mark.parametrize(
    ("fields", "base"),
    [
        ({}, SRC_ROOT),
        ({"host": "https://dev.example.org/v1"}, "https://dev.example.org/v1/"),
        ({"host": " https://dev.example.org/v1/ "}, "https://dev.example.org/v1/"),
        ({"host": "https://dev.example.org"}, "https://dev.example.org/v1/"),
        ({"host": "dev.example.org"}, "https://dev.example.org/v1/"),
        ({"host": "dev.example.org", "port": 8443, "schema": "v2"}, "https://dev.example.org:8443/v2/"),
        ({"host": "http://127.0.0.1", "port": 8080, "schema": "v1"}, "http://127.0.0.1:8080/v1/"),
        ({"host": "http://localhost:8080/some/v1"}, "http://localhost:8080/some/v1/"),
    ],
)
def test_four_services_follow_from_one_address(fields: dict[str, Any], base: str, connect: Any, web: Any) -> None:
    hook = connect(SrcHook, **fields)
    services = {"workspace": "workspace", "user": "user", "wallet": "wallet", "catalog": "application-market"}
    for service, path in services.items():
        web.get(f"{base}{path}/things/", json={"from": service})
        assert hook.request(service, "GET", "things/").json() == {"from": service}


def test_one_service_may_live_elsewhere(connect: Any, web: Any) -> None:
    hook = connect(SrcHook, extra={"wallet_url": "https://wallets.example.org/v3"})
    web.get("https://wallets.example.org/v3/wallets/", json=[])
    web.get(SELF, json={})
    hook.request("wallet", "GET", "wallets/")
    hook.request("user", "GET", "users/self/")
    assert [call.request.headers["authorization"] for call in web.calls] == [TOKEN, TOKEN]


@pytest.mark.parametrize(("platform", "url"), PLATFORMS.items())
def test_a_platform_stands_for_its_address(platform: str, url: str, connect: Any, web: Any) -> None:
    web.get(f"{url}/user", json={"username": "labuser"})
    hook = connect(SevenBridgesHook, extra={"platform": platform})
    assert hook.request("GET", "/user").json() == {"username": "labuser"}
    assert hook.test_connection() == (True, f"The token belongs to labuser on {platform}.")


def test_an_address_overrides_the_platform(connect: Any, web: Any) -> None:
    web.get("https://private.example.org/v2/user", json={"username": "labuser"})
    hook = connect(SevenBridgesHook, host="https://private.example.org", extra={"platform": "cavatica"})
    assert hook.test_connection() == (True, "The token belongs to labuser on https://private.example.org/v2/.")


@pytest.mark.parametrize(("value", "sent"), [(None, "advance"), (True, "advance"), (False, None), ("no", None)])
def test_advance_access_can_be_switched_off(value: Any, sent: str | None, connect: Any, web: Any) -> None:
    request = probe(connect(SevenBridgesHook, extra={"advance_access": value}), web)
    assert request.headers.get("X-SBG-advance-access") == sent


@pytest.mark.parametrize("hook", HOOKS)
def test_every_setting_of_the_budget_arrives(hook: Any, connect: Any) -> None:
    extra = {"rate_limit": "600", "rate_window": 30, "rate_share": 0.5, "budget_store": "redis://10.0.0.1:6379/0"}
    settings = connect(hook, extra=extra).session.budget.settings
    assert (settings.limit, settings.window, settings.share) == (600, 30.0, 0.5)
    assert settings.store == "redis://10.0.0.1:6379/0"


def test_the_configuration_names_a_store_for_all(connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SRC_PROVIDER__BUDGET_STORE", "rediss://shared.example.org/1")
    monkeypatch.setenv("AIRFLOW__AIRFLOW_SRC_PROVIDER__BUDGET_DIR", str(tmp_path))
    settings = connect(SrcHook).session.budget.settings
    assert settings.store == "rediss://shared.example.org/1"
    assert settings.directory == tmp_path
    own = connect(SrcHook, extra={"budget_store": "redis://own.example.org/1"}).session.budget.settings
    assert own.store == "redis://own.example.org/1"


def test_connections_with_one_token_share_one_budget(connect: Any) -> None:
    one = connect(SrcHook).session.budget
    assert connect(SrcHook, host="https://gw.live.surfresearchcloud.nl/v1/").session.budget is one
    assert connect(SrcHook, password="another-token-for-tests").session.budget is not one
    assert TOKEN not in one.settings.name(TOKEN)


def test_network_settings_arrive(connect: Any, web: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    proxy = "http://user:hidden-word@proxy.example.org:3128"
    extra = {"connect_timeout": 3, "read_timeout": "4.5", "ca_bundle": str(bundle), "proxy": proxy, "verify": "true"}
    options = probe(connect(SrcHook, extra=extra), web).req_kwargs
    assert options["timeout"] == (3.0, 4.5)
    assert options["verify"] == str(bundle)
    assert options["proxies"] == {"http": proxy, "https": proxy}
    assert "hidden-word" not in redact("the hidden-word of the proxy")


def test_unverified_certificates_are_warned_about(connect: Any, web: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert probe(connect(SrcHook, extra={"verify": False}), web).req_kwargs["verify"] is False
    assert "does not verify certificates" in caplog.text


def test_a_wait_is_bounded_by_max_wait(connect: Any, web: Any) -> None:
    web.get(SELF, status=503, json={"message": "Queue is full"}, headers={"Retry-After": "30"})
    hook = connect(SrcHook, extra={"max_wait": 1})
    with pytest.raises(Exception, match="Queue is full"):
        hook.request("user", "GET", "users/self/")
    assert len(web.calls) == 1


# What is refused, before any request

BAD_FIELDS = [
    ({"password": None}, "password", "empty"),
    ({"password": "   "}, "password", "empty"),
    ({"password": "first\nsecond"}, "password", "line break"),
    ({"password": "pasted-with-its-end\n"}, "password", "line break"),
    ({"password": "naïve-tokèn"}, "password", "printable ASCII"),
    ({"host": "http://api.example.org/v2"}, "host", "https://"),
    ({"host": "ftp://api.example.org"}, "host", "https://"),
    ({"host": "https://user:pw@api.example.org"}, "host", "without user"),
    ({"host": "https://api.example.org/v1?token=x"}, "host", "without user, query"),
    ({"host": "https://"}, "host", "https://"),
    ({"extra": "{broken"}, "extra", "a JSON object; this is not JSON"),
    ({"extra": "[1]"}, "extra", "a JSON object"),
    ({"extra": {"rate_limit": 0}}, "rate_limit", "above 0"),
    ({"extra": {"rate_limit": -5}}, "rate_limit", "above 0"),
    ({"extra": {"rate_limit": 2.5}}, "rate_limit", "whole number"),
    ({"extra": {"rate_limit": "many"}}, "rate_limit", "number"),
    ({"extra": {"rate_limit": True}}, "rate_limit", "number"),
    ({"extra": {"rate_limit": [1000]}}, "rate_limit", "number"),
    ({"extra": {"rate_window": 0}}, "rate_window", "above 0"),
    ({"extra": {"rate_window": "Infinity"}}, "rate_window", "at most"),
    ({"extra": {"rate_share": 1.5}}, "rate_share", "at most 1"),
    ({"extra": {"rate_share": "NaN"}}, "rate_share", "at most 1"),
    ({"extra": {"budget_store": "mysql://db.example.org"}}, "budget_store", "redis://"),
    ({"extra": {"budget_store": 6379}}, "budget_store", "text"),
    ({"extra": {"connect_timeout": 0}}, "connect_timeout", "above 0"),
    ({"extra": {"read_timeout": -1}}, "read_timeout", "above 0"),
    ({"extra": {"max_wait": "long"}}, "max_wait", "above 0"),
    ({"extra": {"verify": "maybe"}}, "verify", "true or false"),
    ({"extra": {"ca_bundle": "/no/such/file.pem"}}, "ca_bundle", "file that exists"),
    ({"extra": {"proxy": "socks9://proxy.example.org"}}, "proxy", "http://"),
    ({"extra": {"proxy": "proxy.example.org:3128"}}, "proxy", "http://"),
    ({"extra": {"proxy": "http://[::1"}}, "proxy", "http://"),
]
BAD_SRC = [
    ({"host": "https://gw.live.surfresearchcloud.nl/v1/workspace/"}, "host", "all services share"),
    ({"extra": {"workspace_url": "http://elsewhere.example.org/"}}, "workspace_url", "https://"),
    ({"extra": {"user_url": "nowhere"}}, "user_url", "https://"),
    ({"extra": {"expires_on": "next year"}}, "expires_on", "2027-01-31"),
    ({"extra": {"expires_on": 20270131}}, "expires_on", "text"),
]
BAD_SEVEN_BRIDGES = [
    ({"extra": {"platform": "cgc2"}}, "platform", "one of cgc, sb-us, sb-eu"),
    ({"extra": {"advance_access": "perhaps"}}, "advance_access", "true or false"),
]


@pytest.mark.parametrize(
    ("hook", "fields", "name", "allowed"),
    [(hook, *bad) for hook in HOOKS for bad in BAD_FIELDS]
    + [(SrcHook, *bad) for bad in BAD_SRC]
    + [(SevenBridgesHook, *bad) for bad in BAD_SEVEN_BRIDGES],
)
def test_an_unusable_field_is_refused_by_name(
    hook: Any, fields: dict[str, Any], name: str, allowed: str, connect: Any, web: Any
) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        connect(hook, **fields).get_conn()
    assert f"connection 'here': {name}=" in str(refusal.value)
    assert allowed in str(refusal.value)
    # Asking again finds the same, not the same twice.
    again = hook("here")
    assert again.test_connection() == again.test_connection() == (False, str(refusal.value))
    assert not web.calls


@pytest.mark.parametrize(
    "fields",
    [
        {"password": "secret-word\nrest"},
        {"password": "secret-wörd"},
        {"host": "https://user:secret-word@api.example.org"},
        {"extra": {"proxy": "ftp://user:secret-word@proxy.example.org"}},
        {"extra": {"budget_store": "mysql://user:secret-word@db.example.org"}},
        {"extra": '{"some_token": "secret-word"'},
    ],
)
def test_a_refusal_shows_no_secret(fields: dict[str, Any], connect: Any) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        connect(SrcHook, **fields).get_conn()
    assert "secret-w" not in str(refusal.value)
    assert "secret-w" not in repr(refusal.value)


def test_all_problems_are_told_at_once(connect: Any) -> None:
    with pytest.raises(InvalidInputsError) as refusal:
        connect(SevenBridgesHook, password="", extra={"platform": "x", "rate_limit": 0, "verify": "so so"}).get_conn()
    for name in ("password", "platform", "rate_limit", "verify"):
        assert f"{name}=" in str(refusal.value)


@pytest.mark.parametrize("empty", [None, "", " "])
def test_an_empty_field_of_the_form_means_its_default(empty: str | None, connect: Any) -> None:
    names = ("budget_store", "ca_bundle", "proxy", "platform", "host")
    session = connect(SevenBridgesHook, extra=dict.fromkeys(names, empty), host=empty).session
    assert CGC in repr(session)


def test_unknown_fields_are_named_together_with_the_known(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    connect(SrcHook, extra={"rate_limits": 5, "plattform": "cgc"}).get_conn()
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "plattform, rate_limits" in warnings[0]
    assert "rate_limit, rate_share" in warnings[0]


# Testing a connection


def test_research_cloud_says_who_the_token_belongs_to(connect: Any, web: Any) -> None:
    web.get(SELF, json={"display_name": "Example Researcher", "COs": [{"co_name": "Alpha"}, {"co_name": "Beta"}]})
    ok, message = connect(SrcHook).test_connection()
    assert ok
    assert message == "The token belongs to Example Researcher, member of 2 collaboration(s): Alpha, Beta."
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"username": "researcher1"}, "researcher1, member of 0 collaboration(s)."),
        ({"COs": None}, "a user without a name"),
        ({"COs": ["odd", {"id": "1"}]}, "member of 1 collaboration(s): None"),
        ([], "a user without a name"),
        ({"COs": [{"co_name": f"CO{n}"} for n in range(30)]}, "CO8, CO9, …."),
    ],
)
def test_odd_answers_about_the_user_do_no_harm(answer: Any, words: str, connect: Any, web: Any) -> None:
    web.get(SELF, json=answer)
    ok, message = connect(SrcHook).test_connection()
    assert ok
    assert words in message


@pytest.mark.parametrize(
    ("hook", "status", "body", "page"),
    [
        (SrcHook, 401, {"message": ["Unauthorized"]}, "Research Cloud portal"),
        (SrcHook, 403, {"error": "Access to this API has been disallowed"}, "Research Cloud portal"),
        (SevenBridgesHook, 401, {"status": 401, "code": 90001, "message": "Unauthorized"}, "Developer menu"),
    ],
)
def test_a_refused_token_says_what_to_do(
    hook: Any, status: int, body: Any, page: str, connect: Any, web: Any, caplog: pytest.LogCaptureFixture
) -> None:
    web.get(PROBE[hook][2], status=status, json=body)
    ok, message = connect(hook).test_connection()
    assert not ok
    assert page in message
    assert "password field of this connection" in message
    assert TOKEN not in message + caplog.text
    assert len(web.calls) == 1


@pytest.mark.parametrize("hook", HOOKS)
def test_a_token_in_the_server_s_answer_is_not_shown(hook: Any, connect: Any, web: Any) -> None:
    web.get(PROBE[hook][2], status=401, json={"message": f"no such token: {TOKEN}"})
    assert TOKEN not in connect(hook).test_connection()[1]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_wrong_address_is_told_as_it_is(hook: Any, connect: Any, web: Any) -> None:
    web.get(PROBE[hook][2], status=404, body="<html>nothing here</html>", content_type="text/html")
    ok, message = connect(hook).test_connection()
    assert not ok
    assert "404" in message


# The token over time


def test_a_token_changed_meanwhile_is_taken_up(connect: Any, web: Any) -> None:
    hook = connect(SrcHook)
    sent: list[str] = []

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        sent.append(request.headers["authorization"])
        return (200 if sent[-1] == "the-next-token" else 401), {"Content-Type": "application/json"}, "{}"

    web.add_callback(responses.GET, SELF, answer)
    assert hook.session
    connect(SrcHook, password="the-next-token")
    hook.request("user", "GET", "users/self/")
    hook.request("user", "GET", "users/self/")
    assert sent == [TOKEN, "the-next-token", "the-next-token"]
    assert "the-next-token" not in redact("a line with the-next-token in it")


@pytest.mark.parametrize("hook", HOOKS)
def test_airflow_masks_the_token(hook: Any, connect: Any) -> None:
    token = f"masked-{hook.conn_type}"
    connect(hook, password=token).get_conn()
    assert token not in redact(f"a line with {token} in it")


def test_no_repr_shows_the_token(connect: Any) -> None:
    hook = connect(SrcHook)
    assert TOKEN not in repr([hook, hook.session, hook.client, hook.session.budget, vars(hook)])


TODAY = date(2026, 11, 21)


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(src, "_today", lambda: TODAY)


@pytest.mark.parametrize(
    ("expires", "words", "warned"),
    [
        ("2026-12-05", "expires on 2026-12-05, in 14 day(s)", False),
        ("2026-12-04", "expires on 2026-12-04, in 13 day(s)", True),
        ("2026-11-21T23:00:00Z", "expires on 2026-11-21, in 0 day(s)", True),
        ("2026-11-20", "expired on 2026-11-20", True),
    ],
)
def test_an_expiring_token_is_warned_about_in_time(
    expires: str, words: str, warned: bool, today: None, connect: Any, web: Any, caplog: pytest.LogCaptureFixture
) -> None:
    web.get(SELF, json={"username": "researcher1", "COs": []})
    ok, message = connect(SrcHook, extra={"expires_on": expires}).test_connection()
    assert ok
    assert words in message
    assert ("password field" in message) is warned
    assert (words in caplog.text) is warned
    assert ("password field of the Airflow connection 'here'" in caplog.text) is warned


def test_today_is_counted_in_utc() -> None:
    assert abs((src._today() - datetime.now(UTC).date()).days) <= 1


def test_threads_may_share_a_hook(connect: Any, web: Any) -> None:
    hook = connect(SevenBridgesHook)
    web.get(f"{CGC}user", json={"username": "labuser"})
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(hook.request("GET", "user").json())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"username": "labuser"}] * 8
