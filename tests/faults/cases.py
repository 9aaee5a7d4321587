"""Every operator and sensor at work, each on a small piece of the sandbox."""

from __future__ import annotations

from tests.faults.case import SEED, Case
from tests.faults.sb_cases import SB_CASES, files, folders, run_batch, start_imports, tasks_named
from tests.faults.src_cases import SRC_CASES, workspace

__all__ = ["CASES", "SEED", "Case", "files", "folders", "run_batch", "start_imports", "tasks_named", "workspace"]

CASES = {case.name: case for case in [*SB_CASES, *SRC_CASES]}
