"""What a connection may hold that nobody shall see, in the right fields and in the wrong ones."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.log import redact

from airflow_src_provider.client.redaction import spellings
from airflow_src_provider.exceptions import InvalidInputError
from airflow_src_provider.hooks.fields import ConnectionFields
from airflow_src_provider.hooks.seven_bridges import SevenBridgesHook
from airflow_src_provider.hooks.src import SrcHook

ODD = 'Plnt3d/"fields"\\+<&\'%25> 7f1c'
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
HOOKS = [SrcHook, SevenBridgesHook]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def define(hook: Any, **fields: Any) -> Any:
        connection = {"conn_type": hook.conn_type, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_SECRETIVE", json.dumps(connection))
        return hook("secretive")

    return define


def test_airflow_masks_the_token_in_every_spelling(connect: Any) -> None:
    assert connect(SrcHook, password=ODD).session
    for spelling in spellings(ODD):
        assert redact(f"a line with {spelling} in it") == "a line with *** in it"


def test_airflow_masks_a_token_of_any_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secrets backend, a variable of the environment and the UI differ only in what hands over the connection."""
    stored = Connection(conn_id="x", conn_type="seven_bridges", password="planted-by-a-backend")
    monkeypatch.setattr(BaseHook, "get_connection", lambda *_: stored)
    assert SevenBridgesHook("x").session
    assert redact("planted-by-a-backend") == "***"


def test_a_token_that_is_read_again_is_masked_too(connect: Any) -> None:
    hook = connect(SrcHook, password="planted-first-one")
    assert hook.session
    connect(SrcHook, password="planted-second-one")
    assert hook._read_token() == "planted-second-one"
    assert redact("planted-first-one planted-second-one") == "*** ***"


def test_a_token_too_short_to_mask_is_taken_all_the_same(connect: Any) -> None:
    hook = connect(SrcHook, password="abc")
    assert "abc" not in repr(vars(hook.session._auth))


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    "fields",
    [
        {"host": HEX},
        {"host": f"https://{HEX}"},
        {"host": HEX.upper(), "password": HEX},
        {"host": HEX[:32], "password": "another-planted-one"},
        {"host": f"https://{HEX}.example.org", "password": HEX},
        {"host": "api.example.org", "schema": HEX, "password": HEX},
        {"host": f"https://api.example.org/?token={HEX}", "password": "another-planted-one"},
        {"password": HEX, "extra": {"proxy": f"http://{HEX}"}},
        {"password": HEX, "extra": {"ca_bundle": HEX}},
        {"password": HEX, "extra": {"rate_limit": HEX}},
        {"password": HEX, "extra": {"verify": HEX}},
        {"password": HEX, "extra": {"budget_store": HEX}},
    ],
)
def test_a_token_in_the_wrong_field_is_refused_and_not_shown(
    hook: Any, fields: dict[str, Any], connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidInputError) as refusal:
        assert connect(hook, **fields).session
    told = "".join(traceback.TracebackException.from_exception(refusal.value).format())
    told += f"{refusal.value!r} {vars(refusal.value)} {connect(hook, **fields).test_connection()} {caplog.text}"
    assert HEX[:12].lower() not in told.lower()


def test_a_token_in_an_unknown_field_is_named_by_its_field_only(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert connect(SrcHook, password="another-planted-one", extra={"api_token": HEX}).session
    assert "api_token" in caplog.text
    assert HEX not in caplog.text
    assert redact(HEX) == "***"


def test_a_frame_of_a_hook_shows_neither_token_nor_passwords(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"proxy": "http://u:planted-pr0xy@127.0.0.1:1", "budget_store": "redis://u:planted-st0re@127.0.0.1:1"}
    hook = connect(SrcHook, password=HEX, extra={**secrets, "rate_share": 0.5})
    monkeypatch.setattr("airflow_src_provider.hooks.base.ApiSession", None)
    with pytest.raises(TypeError) as caught:
        assert hook.session
    # The test's own frame holds them; that of the hook must not.
    caught.value.__traceback__ = caught.value.__traceback__ and caught.value.__traceback__.tb_next
    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "token = ***" in told
    assert "0.5" in told
    assert not [secret for secret in (HEX, "planted-pr0xy", "planted-st0re") if secret in told]


def test_the_password_of_a_proxy_is_masked_as_it_is_sent(connect: Any) -> None:
    assert connect(SrcHook, password=HEX, extra={"proxy": "http://us%20er:pl%40nted@127.0.0.1:1"}).session
    sent = base64.b64encode(b"us er:pl@nted").decode()
    assert redact(f"pl%40nted, pl@nted and {sent}") == "***, *** and ***"


SHORT = "hunter2"
LONG = "wr0ng-field-0123456789abcdef"


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    "fields",
    [
        {"host": f"https://user:{SHORT}@service.example/"},
        {"host": f"ftp://{LONG}.example/"},
        {"host": f"http://service.example/{LONG}"},
        {"host": "ftp://service.example", "schema": LONG},
        {"extra": {"rate_limit": LONG}},
        {"extra": {"max_wait": f"token={SHORT}"}},
        {"extra": {"verify": LONG}},
        {"extra": {"verify": {"token": LONG}}},
        {"extra": {"ca_bundle": LONG}},
        {"extra": {"platform": LONG, "expires_on": LONG, "read_timeout": "soon"}},
        {"extra": {LONG: "", "read_timeout": "soon"}},
        {"extra": LONG},
        {"extra": f'{{"token": "{LONG}"'},
    ],
    ids=lambda fields: json.dumps(fields)[:40],
)
def test_a_credential_in_a_wrong_field_is_not_shown(
    connect: Any, caplog: pytest.LogCaptureFixture, hook: Any, fields: dict[str, Any]
) -> None:
    """Another one than that in the password field, which nothing here can compare it with."""
    if isinstance(extra := fields.get("extra"), dict):
        fields = {**fields, "extra": json.dumps(extra)}
    with pytest.raises(InvalidInputError) as caught:
        _ = connect(hook, password="an-honest-token", **fields).session
    told = f"{caught.value!s} {caught.value!r} {caught.value.value!r} {caplog.text}"
    assert LONG not in told
    assert SHORT not in told


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        ({"platform": "cgcc"}, "'cgcc'"),
        ({"rate_limit": -3}, "-3"),
        ({"verify": "perhaps"}, "'perhaps'"),
        ({"ca_bundle": "/etc/ssl/no-such.pem"}, "'/etc/ssl/no-such.pem'"),
    ],
)
def test_a_slip_is_shown(connect: Any, extra: dict[str, Any], shown: str) -> None:
    with pytest.raises(InvalidInputError, match=shown):
        _ = connect(SevenBridgesHook, password="an-honest-token", extra=extra).session


@pytest.mark.parametrize(
    "extra",
    ['{"rate_limit": 1' + "0" * 400 + "}", '{"ca_bundle": "' + "a" * 5000 + '"}', '{"verify": [1]}'],
    ids=["number", "name", "list"],
)
@pytest.mark.parametrize("hook", HOOKS)
def test_odd_settings_are_refused_in_words(connect: Any, hook: Any, extra: str) -> None:
    with pytest.raises(InvalidInputError, match="connection 'secretive'"):
        _ = connect(hook, password="an-honest-token", extra=extra).session


def test_settings_nested_without_end_are_refused_in_words() -> None:
    fields = ConnectionFields(SimpleNamespace(conn_id="c", password="", extra='{"a":' * 5000), ())  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="not JSON"):
        fields.check()


def test_the_name_of_a_setting_makes_no_log_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    extra = json.dumps({"a\nb": 1, "half \ud800": 2})
    ConnectionFields(SimpleNamespace(conn_id="c", password="", extra=extra), ()).check()  # type: ignore[arg-type]
    (record,) = caplog.records
    assert "mean nothing here: a b, half. Known" in record.getMessage()
