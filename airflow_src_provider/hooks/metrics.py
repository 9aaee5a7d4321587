"""Measurements of the client among Airflow's metrics, in task processes and in the triggerer alike."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import conf

from airflow_src_provider.client.metrics import Metric

log = logging.getLogger(__name__)

#: Options of the section ``[metrics]``, one for each system that Airflow can send metrics to.
SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")


class AirflowMetrics:
    """Writes measurements to Airflow's metrics, as ``airflow_src_provider.<service>.<metric>``.

    The service is a part of the name, so that it is there without tags too.

    :param service: which service is measured; the connection type.
    :param stats: Airflow's functions for metrics.
    """

    def __init__(self, service: str, stats: Any) -> None:
        self._stats = stats
        self._prefix = f"airflow_src_provider.{service}"
        self._tags = {"service": service}

    def count(self, metric: Metric, tags: Mapping[str, str]) -> None:
        self._stats.incr(f"{self._prefix}.{metric}", tags={**self._tags, **tags})

    def time(self, metric: Metric, seconds: float, tags: Mapping[str, str]) -> None:
        self._stats.timing(f"{self._prefix}.{metric}", timedelta(seconds=seconds), tags={**self._tags, **tags})

    def level(self, metric: Metric, value: float) -> None:
        self._stats.gauge(f"{self._prefix}.{metric}", value, tags=self._tags)


def airflow_metrics(service: str) -> AirflowMetrics | None:
    """Return what writes a service's measurements to Airflow's metrics; ``None`` where those are switched off."""
    if not any(conf.getboolean("metrics", switch, fallback=False) for switch in SWITCHES):
        return None
    try:
        from airflow.sdk.observability import stats
    except ImportError as error:
        log.warning("This version of Airflow keeps its metrics elsewhere, so requests are not measured: %s", error)
        return None
    return AirflowMetrics(service, stats)
