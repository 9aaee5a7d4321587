"""Hook for SURF Research Cloud."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow_src_provider.client.http import ApiResponse
from airflow_src_provider.client.src import SrcClient
from airflow_src_provider.hooks.base import TEST_MAX_WAIT, THIS_CONNECTION, ResearchCloudHook
from airflow_src_provider.hooks.fields import ConnectionFields

log = logging.getLogger(__name__)

ROOT_URL = "https://gw.live.surfresearchcloud.nl/v1/"
SERVICES = {"workspace": "workspace", "user": "user", "wallet": "wallet", "catalog": "application-market"}
EXPIRY_WARNING_DAYS = 14
SHOWN_COLLABORATIONS = 10


class SrcHook(ResearchCloudHook):
    """Gives access to SURF Research Cloud with the token of an Airflow connection.

    Pages "SRC API" and "Research Cloud API - First Steps" of SURF's wiki.

    :param src_conn_id: id of a connection of type ``surf_research_cloud``; default ``src_default``.
    """

    conn_name_attr = "src_conn_id"
    default_conn_name = "src_default"
    conn_type = "surf_research_cloud"
    hook_name = "SURF Research Cloud"

    service_name: ClassVar[str] = "SURF Research Cloud"
    token_header: ClassVar[str] = "authorization"
    rate_window: ClassVar[float] = 60.0
    own_fields: ClassVar[frozenset[str]] = frozenset({"expires_on"} | {f"{name}_url" for name in SERVICES})
    token_page: ClassVar[str] = "Research Cloud portal, Profile, API tokens"

    def __init__(self, src_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(src_conn_id, **kwargs)

    @cached_property
    def client(self) -> SrcClient:
        """Return the client, with one part per service: ``.workspaces``, ``.users``, ``.wallets``, ``.catalog``."""
        return SrcClient(self.session)

    def get_conn(self) -> SrcClient:
        """Return :attr:`client`."""
        return self.client

    def request(self, service: str, method: str, path: str, **kwargs: Any) -> ApiResponse:
        """Send any request that the client has no method for: same budget, retries and redaction.

        :param service: ``workspace``, ``user``, ``wallet`` or ``catalog``.
        :param method: HTTP method.
        :param path: path below the service's base URL, with its slash at the end.
        :param kwargs: see :meth:`~airflow_src_provider.client.http.ApiSession.request`.
        """
        return self.session.request(method, path, service=service, **kwargs)

    def _base_urls(self, fields: ConnectionFields) -> dict[str, str]:
        root = fields.base_url("v1") or ROOT_URL
        if urlsplit(root).path.strip("/").rpartition("/")[2] in SERVICES.values():
            fields.refuse("host", root, f"the URL that all services share, such as {ROOT_URL}")
        return {name: fields.url(f"{name}_url") or f"{root}{path}/" for name, path in SERVICES.items()}

    def _notice(self, fields: ConnectionFields) -> None:
        expires = fields.day("expires_on")
        if expires is not None and (expires - _today()).days < EXPIRY_WARNING_DAYS:
            connection = f"the Airflow connection {self.conn_id!r}"
            log.warning("The token %s. %s.", _expiry(expires), self._advice(connection))

    def _who(self) -> str:
        answer = self.session.request("GET", "users/self/", service="user", max_wait=TEST_MAX_WAIT).json()
        user = answer if isinstance(answer, dict) else {}
        names = [co.get("co_name") for co in user.get("COs") or [] if isinstance(co, dict)]
        name = user.get("display_name") or user.get("username") or "a user without a name"
        who = f"The token belongs to {name}, member of {len(names)} collaboration(s)"
        if names:
            shown = ", ".join(str(name) for name in names[:SHOWN_COLLABORATIONS])
            who += f": {shown}" + (", …" if len(names) > SHOWN_COLLABORATIONS else "")
        expires = self._fields.day("expires_on")
        if expires is None:
            return f"{who}."
        soon = (expires - _today()).days < EXPIRY_WARNING_DAYS
        return f"{who}. It {_expiry(expires)}." + (f" {self._advice(THIS_CONNECTION)}." if soon else "")


def _today() -> date:
    return datetime.now(UTC).date()


def _expiry(expires: date) -> str:
    days = (expires - _today()).days
    if days < 0:
        return f"expired on {expires}, by the expiry date in the connection"
    return f"expires on {expires}, in {days} day(s)"
