"""The search finds a token wherever and however one is planted: else it would prove nothing."""

from __future__ import annotations

import base64
import html
import json
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from cryptography.fernet import Fernet

from tests.needs import redis_url
from tests.secrets.search import Processes, Search
from tests.secrets.world import FERNET_KEY, SB_TOKEN, SRC_TOKEN

WRITTEN: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "in a URL": lambda t: quote(t, safe="").encode(),
    "in a path": lambda t: quote(t).encode(),
    "in HTML": lambda t: html.escape(t).encode(),
    "in JSON": lambda t: json.dumps({"a": t}).encode(),
    "in JSON within JSON": lambda t: json.dumps(json.dumps({"a": t})).encode(),
    "as a literal": lambda t: repr([t]).encode(),
    "as bytes": lambda t: repr(t.encode()).encode(),
    "as a literal in a line of JSON": lambda t: json.dumps({"event": f"send: {t.encode()!r}"}).encode(),
    "in hexadecimal": lambda t: t.encode().hex().encode(),
    "in base64": lambda t: base64.b64encode(t.encode()),
    "in base64 with a user": lambda t: base64.b64encode(f"user:{t}".encode()),
    "in base64 with a longer user": lambda t: base64.b64encode(f"user1:{t}".encode()),
    "in base64 with more around": lambda t: base64.urlsafe_b64encode(f"user22:{t}:rest".encode()),
    "its beginning": lambda t: f"a {t[:12]}... b".encode(),
    "its end": lambda t: f"a ...{t[-12:]} b".encode(),
}


@pytest.mark.parametrize("token", [SB_TOKEN, SRC_TOKEN], ids=["odd", "plain"])
@pytest.mark.parametrize("way", WRITTEN)
def test_every_way_to_write_a_token_is_known(way: str, token: str) -> None:
    search = Search([token])
    assert search.inside(b"before " + WRITTEN[way](token) + b" after", "a line"), way
    assert not search.inside(b"before *** after", "a line")


def test_a_find_says_where_and_how_but_not_what() -> None:
    (found,) = Search([SRC_TOKEN]).inside(f"key {SRC_TOKEN[:20]} ends", "the log")
    assert found == "the log: its beginning, after 'key '"
    found = Search([SRC_TOKEN]).inside(f"{SRC_TOKEN} {SRC_TOKEN[-12:]}", "the log")
    assert not [one for one in found if SRC_TOKEN[:12] in one or SRC_TOKEN[-12:] in one]


@pytest.mark.parametrize("place", ["a/log.txt", "a.sqlite-wal", "core"])
def test_files_are_searched(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\0\xff" + SB_TOKEN.encode() + b"\0")
    assert Search([SB_TOKEN]).in_files(tmp_path)
    assert not Search([SB_TOKEN]).in_files(tmp_path, except_for=[file.name])


def test_names_of_files_are_searched(tmp_path: Path) -> None:
    (tmp_path / f"budget-{SRC_TOKEN}.lock").touch()
    assert Search([SRC_TOKEN]).in_files(tmp_path)


@pytest.mark.parametrize("table", ["xcom", "log", "trigger", "connection", "a_table_of_tomorrow"])
@pytest.mark.parametrize("kind", ["text", "blob", "json", "encrypted"])
def test_every_column_of_every_table_is_searched(tmp_path: Path, table: str, kind: str) -> None:
    value: str | bytes = {
        "text": SB_TOKEN,
        "blob": b"\x80\x04" + SB_TOKEN.encode(),
        "json": json.dumps({"kwargs": [SB_TOKEN]}),
        "encrypted": Fernet(FERNET_KEY).encrypt(json.dumps([SB_TOKEN]).encode()).decode(),
    }[kind]
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute(f'create table "{table}" (id integer, value)')
        database.execute(f'insert into "{table}" values (1, ?)', (value,))
    found = Search([SB_TOKEN], FERNET_KEY).in_database(f"sqlite:///{tmp_path}/a.db")
    # Connections hold the token for good reason, encrypted.
    assert bool(found) == ((kind, table) != ("encrypted", "connection"))
    assert not Search([SRC_TOKEN], FERNET_KEY).in_database(f"sqlite:///{tmp_path}/a.db")


def test_what_is_encrypted_with_another_key_is_not_passed_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table trigger (kwargs)")
        database.execute("insert into trigger values (?)", (Fernet(FERNET_KEY).encrypt(b"{}").decode(),))
    with pytest.raises(AssertionError, match="cannot be looked into"):
        Search([SB_TOKEN]).in_database(f"sqlite:///{tmp_path}/a.db")


def test_command_lines_are_searched() -> None:
    with Processes(every=0.05) as processes:
        child = subprocess.Popen([sys.executable, "-c", "input()", SRC_TOKEN], stdin=subprocess.PIPE)
        try:
            processes.look()
        finally:
            child.communicate(b"\n")
    assert [found for seen in processes.seen for found in Search([SRC_TOKEN]).in_text(seen, "a command line")]


@pytest.mark.parametrize("kind", ["string", "list", "zset", "set", "hash", "name"])
def test_keys_of_redis_are_searched(kind: str) -> None:
    client = redis.Redis.from_url(redis_url())
    name = f"secrets-{uuid.uuid4().hex}"
    key = name + (SRC_TOKEN if kind == "name" else "")
    plant = {
        "string": lambda: client.set(key, SRC_TOKEN),
        "name": lambda: client.set(key, "x"),
        "list": lambda: client.rpush(key, "a", SRC_TOKEN),
        "zset": lambda: client.zadd(key, {SRC_TOKEN: 1}),
        "set": lambda: client.sadd(key, SRC_TOKEN),
        "hash": lambda: client.hset(key, "a", SRC_TOKEN),
    }
    plant[kind]()
    try:
        assert Search([SRC_TOKEN]).in_redis(client, f"{name}*")
        assert not Search([SB_TOKEN]).in_redis(client, f"{name}*")
    finally:
        client.delete(key)
    assert not Search([SRC_TOKEN]).in_redis(client, f"{name}*")
