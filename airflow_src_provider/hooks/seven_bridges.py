"""Hook for the Cancer Genomics Cloud and the other Seven Bridges platforms."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from airflow_src_provider.client.http import ApiResponse
from airflow_src_provider.client.seven_bridges import SevenBridgesClient
from airflow_src_provider.client.seven_bridges.platforms import DEFAULT_PLATFORM, PLATFORMS
from airflow_src_provider.hooks.base import TEST_MAX_WAIT, ResearchCloudHook
from airflow_src_provider.hooks.fields import ConnectionFields


class SevenBridgesHook(ResearchCloudHook):
    """Gives access to a Seven Bridges platform with the token of an Airflow connection.

    Pages "The API" and "API rate limit" of the platforms' documentation.

    :param seven_bridges_conn_id: id of a connection of type ``seven_bridges``; default ``seven_bridges_default``.
    """

    conn_name_attr = "seven_bridges_conn_id"
    default_conn_name = "seven_bridges_default"
    conn_type = "seven_bridges"
    hook_name = "Seven Bridges / Cancer Genomics Cloud"

    service_name: ClassVar[str] = "Seven Bridges"
    token_header: ClassVar[str] = "X-SBG-Auth-Token"
    rate_window: ClassVar[float] = 300.0
    own_fields: ClassVar[frozenset[str]] = frozenset({"advance_access", "platform"})
    # Of the codes that come with a 503, only that of maintenance says that nothing was looked at.
    certain_503: ClassVar[frozenset[int] | None] = frozenset({0})
    token_page: ClassVar[str] = "Developer menu of the platform, Authentication token"

    def __init__(self, seven_bridges_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(seven_bridges_conn_id, **kwargs)

    @cached_property
    def client(self) -> SevenBridgesClient:
        """Return the client, with one part per resource: ``.files``, ``.tasks``, ``.imports``, and so on."""
        return SevenBridgesClient(self.session)

    def get_conn(self) -> SevenBridgesClient:
        """Return :attr:`client`."""
        return self.client

    def request(self, method: str, path: str, **kwargs: Any) -> ApiResponse:
        """Send any request that the client has no method for: same budget, retries and redaction.

        :param method: HTTP method.
        :param path: path below the base URL, such as ``/files``.
        :param kwargs: see :meth:`~airflow_src_provider.client.http.ApiSession.request`.
        """
        return self.session.request(method, path, **kwargs)

    def _base_urls(self, fields: ConnectionFields) -> dict[str, str]:
        return {"": self._base_url(fields)}

    def _base_url(self, fields: ConnectionFields) -> str:
        platform = fields.choice("platform", PLATFORMS) or DEFAULT_PLATFORM
        return fields.base_url("v2") or PLATFORMS[platform]

    def _headers(self, fields: ConnectionFields) -> dict[str, str]:
        return {"X-SBG-advance-access": "advance"} if fields.flag("advance_access", True) else {}

    def _who(self) -> str:
        answer = self.session.request("GET", "user", max_wait=TEST_MAX_WAIT).json()
        user = answer if isinstance(answer, dict) else {}
        url = self._base_url(self._fields)
        platform = next((name for name, known in PLATFORMS.items() if known == url.rstrip("/")), url)
        return f"The token belongs to {user.get('username') or 'a user without a name'} on {platform}."
