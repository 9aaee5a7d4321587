"""What both hooks share: one connection becomes one polite session."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import conf
from airflow.sdk.bases.hook import BaseHook

from airflow_src_provider.client import http
from airflow_src_provider.client.budget import BudgetSettings, open_budget
from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.exceptions import ResearchCloudError, TokenRejectedError
from airflow_src_provider.hooks.fields import ConnectionFields
from airflow_src_provider.hooks.metrics import airflow_metrics

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

CONFIG_SECTION = "airflow_src_provider"
COMMON_FIELDS = frozenset(
    {
        "budget_store",
        "ca_bundle",
        "connect_timeout",
        "max_wait",
        "proxy",
        "rate_limit",
        "rate_share",
        "rate_window",
        "read_timeout",
        "verify",
    }
)
# A person waits for a connection test, and Airflow ends one that takes long.
TEST_MAX_WAIT = 20.0
# Airflow tests a copy of the connection under a random id, which would tell the person nothing.
THIS_CONNECTION = "this connection"


class ResearchCloudHook(BaseHook):
    """Base of the hooks.

    The connection is read when the session is first used, never in the constructor, so that a hook may be built while a
    DAG is parsed or in a trigger's constructor. Use one from a worker, or in the triggerer from a thread.

    :param conn_id: id of the Airflow connection.
    """

    conn_type: ClassVar[str]
    service_name: ClassVar[str]
    token_header: ClassVar[str]
    #: Seconds in which ``rate_limit`` requests (default 1000) are allowed.
    rate_window: ClassVar[float]
    own_fields: ClassVar[frozenset[str]] = frozenset()
    #: Codes of a 503 that say for certain that nothing was done; ``None``: every 503 does.
    certain_503: ClassVar[frozenset[int] | None] = None
    #: Where a person makes a new token.
    token_page: ClassVar[str]

    _fields: ConnectionFields

    def __init__(self, conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.conn_id}>"

    @cached_property
    def session(self) -> ApiSession:
        """Return the session that every request of this hook passes.

        :raises InvalidInputError: a field of the connection cannot be used; nothing was sent.
        :raises AirflowNotFoundException: there is no such connection.
        """
        fields = self._read()
        token = fields.token()
        base_urls = self._base_urls(fields)
        headers = self._headers(fields)
        verify = self._verify(fields)
        proxy = fields.private_url("proxy", ("http", "https"))
        limit = fields.count("rate_limit", 1000)
        window = fields.number("rate_window", self.rate_window)
        share = fields.number("rate_share", 1.0, at_most=1.0)
        store = fields.private_url("budget_store", ("redis", "rediss"), conf.get(CONFIG_SECTION, "budget_store"))
        connect_timeout = fields.number("connect_timeout", http.CONNECT_TIMEOUT)
        read_timeout = fields.number("read_timeout", http.READ_TIMEOUT)
        max_wait = fields.number("max_wait", http.MAX_WAIT, at_most=7 * 86400)
        self._notice(fields)
        fields.check()
        self._fields = fields
        budget = BudgetSettings(
            origin=next(iter(base_urls.values())),
            limit=limit,
            window=window,
            share=share,
            store=store,
            directory=Path(conf.get(CONFIG_SECTION, "budget_dir")).expanduser(),
        )
        return ApiSession(
            base_urls,
            token,
            token_header=self.token_header,
            budget=open_budget(budget, token),
            service_name=self.service_name,
            headers=headers,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            verify=verify,
            proxies={"http": proxy, "https": proxy} if proxy else None,
            max_wait=max_wait,
            certain_503=self.certain_503,
            refresh_token=self._read_token,
            observer=airflow_metrics(self.conn_type),
        )

    def test_connection(self) -> tuple[bool, str]:
        """Ask the service who the token belongs to, with one cheap request.

        :return: whether it worked, and a sentence for the person who tests; never the token.
        """
        try:
            return True, self._who()
        except TokenRejectedError as error:
            return False, f"{error}. {self._advice(THIS_CONNECTION)}."
        except ResearchCloudError as error:
            return False, str(error)

    def _advice(self, connection: str) -> str:
        return f"Make a new token ({self.token_page}) and put it into the password field of {connection}"

    def _who(self) -> str:
        raise NotImplementedError

    def _base_urls(self, fields: ConnectionFields) -> dict[str, str]:
        raise NotImplementedError

    def _headers(self, fields: ConnectionFields) -> dict[str, str]:
        return {}

    def _notice(self, fields: ConnectionFields) -> None:
        """Look at fields that are about people rather than requests."""

    def _read(self) -> ConnectionFields:
        connection: Connection = self.get_connection(self.conn_id)
        return ConnectionFields(connection, COMMON_FIELDS | self.own_fields)

    def _read_token(self) -> str:
        fields = self._read()
        token = fields.token()
        fields.check()
        return token

    def _verify(self, fields: ConnectionFields) -> bool | str:
        bundle = fields.file("ca_bundle")
        if fields.flag("verify", True):
            return bundle or True
        log.warning(
            "Connection %r does not verify certificates: whoever is between here and the service can read the token. "
            "Prefer ca_bundle.",
            self.conn_id,
        )
        return False
