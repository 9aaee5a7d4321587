"""The Seven Bridges half of the sandbox, under ``/v2``."""

from __future__ import annotations

from .half import SevenBridgesHalf

__all__ = ["SevenBridgesHalf"]
