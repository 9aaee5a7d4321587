"""How much a token may be used, and where that is counted."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from airflow_src_provider.client.filestore import FileStore
from airflow_src_provider.client.redaction import HIDDEN
from airflow_src_provider.client.stores import RedisStore, Store
from airflow_src_provider.exceptions import InvalidInputError

MAX_SILENCE = 600.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class BudgetSettings:
    """How much a token may be used, and where that is counted.

    :param origin: base URL of the service; scheme, host and port are used.
    :param limit: requests per window that the service allows.
    :param window: length of the window in seconds.
    :param share: part of the allowance to use, above 0 and up to 1; less leaves room for the token's other users.
    :param store: empty for the log of this host, or a ``redis://`` / ``rediss://`` URL for several hosts.
    :param directory: directory of this host's log; empty for one of this user among the temporary files.
    """

    origin: str
    limit: int
    window: float
    share: float = 1.0
    store: str = field(default="", repr=False)
    directory: str | Path = ""

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise InvalidInputError("rate_limit", self.limit, "a whole number of requests, 1 or more")
        if isinstance(self.window, bool) or not isinstance(self.window, int | float) or not 0 < self.window <= 86400:
            raise InvalidInputError("rate_window", self.window, "seconds, above 0 and at most 86400")
        if isinstance(self.share, bool) or not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise InvalidInputError("rate_share", self.share, "a number above 0 and at most 1")
        if self.store and not _is_redis_url(self.store):
            # It may hold a password.
            raise InvalidInputError("budget_store", HIDDEN, "empty (this host) or a redis:// or rediss:// URL")

    @property
    def margin(self) -> float:
        """Seconds added to the window, for the time that a request takes to arrive."""
        return max(0.05, min(1.0, self.window / 120))

    @property
    def longest_silence(self) -> float:
        """Seconds beyond which a server's wish for silence is taken for a misunderstanding."""
        return max(MAX_SILENCE, 2 * self.window)

    @property
    def allowed(self) -> int:
        """Requests per window that this budget gives out."""
        return max(1, int(self.limit * self.share))

    def name(self, token: str) -> str:
        """Name of the shared log: from origin and token, without showing the token."""
        # However the address is spelt.
        parts = urlsplit(self.origin)
        host = (parts.hostname or "").rstrip(".")
        host = f"[{host}]" if ":" in host else host
        if parts.port not in (None, _PORTS.get(parts.scheme)):
            host = f"{host}:{parts.port}"
        digest = hashlib.sha256(f"{parts.scheme}://{host}\n{token}".encode()).hexdigest()[:20]
        return "".join(c if c.isalnum() or c in ".-" else "-" for c in f"{host}-{digest}")

    def open_store(self, token: str) -> Store:
        """Build the store. Nothing is touched or connected before its first use."""
        name = self.name(token)
        if self.store:
            return RedisStore(self.store, name, self.allowed, self.window + self.margin, self.limit)
        return self.host_store(name, self.allowed)

    def host_store(self, name: str, limit: int) -> FileStore:
        """Build the log of this host alone.

        :param name: name of the budget.
        :param limit: requests per window.
        """
        directory = self.directory or Path(tempfile.gettempdir()) / f"airflow-src-provider-{os.getuid()}"
        return FileStore(directory, name, limit, self.window + self.margin)


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
