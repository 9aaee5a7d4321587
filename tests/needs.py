"""What a test needs that is not Python's: where all tests must run its absence is a failure, elsewhere a skip."""

from __future__ import annotations

import os
import socket
from typing import NoReturn

import pytest

REDIS = ("127.0.0.1", 6379)


def missing(what: str) -> NoReturn:
    """Fail where CI is set, else skip."""
    reason = f"this test needs {what}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def redis_url() -> str:
    """Return the address of the local Redis or Valkey server."""
    host, port = REDIS
    try:
        socket.create_connection(REDIS, timeout=1).close()
    except OSError:
        missing(f"a Redis or Valkey server on {host}:{port}")
    return f"redis://{host}:{port}/0"
