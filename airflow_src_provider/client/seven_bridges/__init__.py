"""Client of a Seven Bridges platform, one small class per resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_src_provider.client.seven_bridges.apps import Apps
from airflow_src_provider.client.seven_bridges.async_jobs import AsyncJobs
from airflow_src_provider.client.seven_bridges.billing import Billing
from airflow_src_provider.client.seven_bridges.exports import Exports
from airflow_src_provider.client.seven_bridges.files import Files
from airflow_src_provider.client.seven_bridges.imports import Imports
from airflow_src_provider.client.seven_bridges.projects import Projects
from airflow_src_provider.client.seven_bridges.rate_limit import RateLimit
from airflow_src_provider.client.seven_bridges.tasks import Tasks
from airflow_src_provider.client.seven_bridges.users import Users
from airflow_src_provider.client.seven_bridges.volumes import Volumes

if TYPE_CHECKING:
    from airflow_src_provider.client.http import ApiSession


class SevenBridgesClient:
    """All resources of one platform.

    Lists are lazy, 100 objects per call, each object once. ``*_many`` calls cut at 100; those that change something
    return an iterator with one list of :class:`~.bulk.BulkItem` per call and send a chunk only when it is asked for.

    :param session: an ``ApiSession`` on the platform's base URL, see :func:`~.platforms.base_url`.
    """

    def __init__(self, session: ApiSession) -> None:
        self.session = session
        self.users = Users(session)
        self.projects = Projects(session)
        self.files = Files(session)
        self.volumes = Volumes(session)
        self.imports = Imports(session)
        self.exports = Exports(session)
        self.tasks = Tasks(session)
        self.apps = Apps(session)
        self.async_jobs = AsyncJobs(session)
        self.billing = Billing(session)
        self.rate_limit = RateLimit(session)
