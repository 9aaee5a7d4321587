"""The SURF Research Cloud half of the sandbox."""

from __future__ import annotations

from .service import SrcHalf
from .switches import SrcSwitches
from .world import World

__all__ = ["SrcHalf", "SrcSwitches", "World"]
