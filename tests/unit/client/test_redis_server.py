"""A Redis or Valkey server that was restarted, or has given its work to another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_src_provider.client.stores import RedisStore, StoreDownError
from tests.needs import redis_url
from tests.unit.client.redis_server import Door, RedisServer

NAME = "test-server"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_a_server_that_is_younger_than_the_window_may_have_forgotten_most_of_it(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = (RedisStore(server.url, NAME, 40, 60.0) for _ in range(2))
    assert [one.try_acquire() for _ in range(3)] == [0.0] * 3
    assert two.try_acquire() == 0.0
    assert two.try_acquire() == pytest.approx(60, abs=5)
    assert one.used() == 40
    (line,) = caplog.messages
    assert "too young to know" in line


def test_a_young_server_that_kept_what_was_on_record_holds_no_more_back(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RedisStore, "_look_at_age", lambda self: None)
        RedisStore(server.url, NAME, 40, 60.0).record(38)
    store = RedisStore(server.url, NAME, 40, 60.0)
    assert store.try_acquire() == 0.0
    assert store.used() == 39
    assert caplog.messages == []


def test_a_server_that_tells_nobody_its_age_can_be_used(server: RedisServer) -> None:
    import redis

    redis.Redis(port=server.port).acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-info"])
    store = RedisStore(server.url, NAME, 40, 60.0)
    assert [store.try_acquire() for _ in range(10)] == [0.0] * 10


def test_a_server_that_only_reads_any_more_is_left_for_the_one_that_writes(server: RedisServer) -> None:
    redis_url()
    door = Door()
    everyday, door.target = door.target, ("127.0.0.1", server.port)
    door.open()
    try:
        store = RedisStore(door.url, f"{NAME}-{server.port}", 100, 60.0)
        assert store.try_acquire() == 0.0
        # The address leads to another server now, but an open connection does not.
        door.target = everyday
        store._redis.replicaof("127.0.0.1", 1)
        with pytest.raises(StoreDownError, match="ReadOnlyError"):
            store.try_acquire()
        assert store.try_acquire() == 0.0
    finally:
        door.shut()
