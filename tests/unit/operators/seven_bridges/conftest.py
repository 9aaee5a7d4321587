from tests.unit.sb_world import sb, sb_sandbox

__all__ = ["sb", "sb_sandbox"]
