"""Sessions for tests: a stepped clock, a log in memory, a token that is easy to find."""

from __future__ import annotations

import os
from typing import Any

from airflow_src_provider.client.budget import Budget, BudgetSettings
from airflow_src_provider.client.http import ApiSession
from airflow_src_provider.client.stores import MemoryStore
from tests.unit.client.server import SteppedClock

TOKEN = "planted-s3cr3t-0123456789abcdef"
HEADER = "X-Test-Token"


def new_budget(clock: SteppedClock, url: str = "http://127.0.0.1/", limit: int = 1000, window: float = 60.0) -> Budget:
    settings = BudgetSettings(url, limit, window, directory=f"{os.environ['AIRFLOW_HOME']}/budget")
    store = MemoryStore(settings.allowed, settings.window + settings.margin, clock)
    return Budget(settings, TOKEN, store=store, sleep=clock.sleep, clock=clock)


def new_session(url: str, clock: SteppedClock | None = None, **options: Any) -> ApiSession:
    clock = clock or SteppedClock()
    return ApiSession(
        {"": url, **options.pop("more_urls", {})},
        options.pop("token", TOKEN),
        token_header=HEADER,
        budget=options.pop("budget", None) or new_budget(clock, url),
        service_name="Service",
        sleep=clock.sleep,
        clock=clock,
        **options,
    )
