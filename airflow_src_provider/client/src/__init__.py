"""Client of SURF Research Cloud, one small class per service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_src_provider.client.src.catalog import Catalog
from airflow_src_provider.client.src.users import Users
from airflow_src_provider.client.src.wallets import Wallets
from airflow_src_provider.client.src.workspaces import Workspaces

if TYPE_CHECKING:
    from airflow_src_provider.client.http import ApiSession

BASE_URLS = {
    "workspace": "https://gw.live.surfresearchcloud.nl/v1/workspace/",
    "user": "https://gw.live.surfresearchcloud.nl/v1/user/",
    "wallet": "https://gw.live.surfresearchcloud.nl/v1/wallet/",
    "catalog": "https://gw.live.surfresearchcloud.nl/v1/application-market/",
}
"""Base URL by service."""


class SrcClient:
    """All services.

    :param session: an ``ApiSession`` with the services of :data:`BASE_URLS`.
    """

    def __init__(self, session: ApiSession) -> None:
        self.session = session
        self.workspaces = Workspaces(session)
        self.users = Users(session)
        self.wallets = Wallets(session)
        self.catalog = Catalog(session)
