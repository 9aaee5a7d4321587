"""A local double of SURF Research Cloud and Seven Bridges, in memory, for testing DAGs without a token or costs."""

from __future__ import annotations

from .server import Sandbox

__all__ = ["Sandbox"]
