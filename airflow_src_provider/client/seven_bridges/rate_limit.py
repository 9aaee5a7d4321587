"""The platform's own account of the request budget."""

from __future__ import annotations

from airflow_src_provider.client.seven_bridges.base import Json, Resource


class RateLimit(Resource):
    """Rate limit. API page: "Get your current rate limit status"."""

    def get(self) -> Json:
        """Return ``rate`` (limit, remaining, reset in Unix seconds) and ``instance_limit``.

        Not for loops: every answer carries the rate in its headers. ``instance_limit.limit`` is how many machines
        the account may run at once, -1 for any number.
        """
        return self._object("GET", "/rate_limit")
