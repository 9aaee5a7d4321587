from tests.unit.src_world import src, src_sandbox

__all__ = ["src", "src_sandbox"]
