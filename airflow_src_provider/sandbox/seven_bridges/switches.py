"""Everything that can be changed about the Seven Bridges half while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..half import HalfSwitches


@dataclass
class SevenBridgesSwitches(HalfSwitches):
    """Switches of the Seven Bridges half. Times are virtual seconds unless said otherwise.

    Budget (see also :class:`..half.HalfSwitches`)

    * ``rate_limit_counted``: ``GET /rate_limit`` costs a request, and is refused like any other.
    * ``reset_in_ms``: ``X-RateLimit-Reset`` in milliseconds, as one outdated page shows.
    * ``reset_skew``: seconds added to ``X-RateLimit-Reset`` only; ``clock_skew`` also shifts ``Date``.
    * ``retry_after``: ``Retry-After`` on 429 and on maintenance.

    Answers

    * ``maintenance``: every call is answered with 503, code 0. ``max_url_length``: longer URLs get the same.
    * ``require_advance_access``: ``copy_only`` and scroll paging without the header are refused.
    * ``default_limit``, ``clamp_limit``: page size when none is asked for; a page size over 100 is cut, not refused.
    * ``list_order``: order of all lists but tasks. ``filters_recursive``: file filters look below the listed level.
    * ``max_bulk``, ``allow_empty_bulk``, ``bulk_duplicates``, ``shuffle_bulk``, ``bulk_error_ids``, ``bulk_id_key``:
      size, emptiness, repeated ids, order, ids in error items and key of ids of bulk calls.
    * ``max_async_items``: items in one asynchronous job.
    * ``failed_job_http``: reading a failed import or export answers with the status of its error.
    * ``job_retention_seconds``: imports and exports are forgotten after this time; None keeps them.
    * ``copy_seconds_per_file``: real seconds that the bulk copy needs per file.

    Life cycles

    * ``instant``: imports, exports, jobs and tasks are finished in the answer that starts them.
    * ``*_seconds``: durations; ``task_jitter`` spreads running times by this share of them.
    * ``children_while_creating``: children appear after the parent's CREATING phase, or while it lasts.
    * ``max_parallel_children``: running children of one batch; ``instance_limit``: running tasks of the account,
      -1 for no limit; ``max_batch_children``: more are refused when the batch starts.
    * ``missing_criterion``: files without the metadata of a batch form a group of their own, or are left out.
    * ``batch_parent_on_partial_failure``: status of a batch of which some children failed.
    * ``batch_failed_children``: this many children, from the first, fail in each batch.
    * ``fail_tasks``, ``fail_imports``, ``fail_exports``, ``fail_copies``, ``fail_files``: regular expressions searched
      in a task's name, an object's location, and a file's name (for exports, copies and other bulk calls).
    """

    window: float = 300.0
    rate_limit_counted: bool = False
    reset_in_ms: bool = False
    reset_skew: float = 0.0

    maintenance: bool = False
    max_url_length: int = 6000
    require_advance_access: bool = False
    default_limit: int = 50
    clamp_limit: bool = False
    list_order: Literal["created", "reversed"] = "created"
    filters_recursive: bool = False
    max_bulk: int = 100
    allow_empty_bulk: bool = False
    bulk_duplicates: Literal["each", "refuse"] = "each"
    shuffle_bulk: bool = False
    bulk_error_ids: bool = False
    bulk_id_key: Literal["both", "id", "file_id"] = "both"
    max_async_items: int = 100
    failed_job_http: bool = False
    job_retention_seconds: float | None = None
    copy_seconds_per_file: float = 0.0

    instant: bool = False
    import_pending_seconds: float = 0.5
    import_running_seconds: float = 1.0
    export_pending_seconds: float = 0.5
    export_running_seconds: float = 3.0
    async_submitted_seconds: float = 0.5
    async_resolving_seconds: float = 1.0
    async_item_seconds: float = 0.1
    task_queued_seconds: float = 30.0
    task_running_seconds: float = 240.0
    task_jitter: float = 0.2
    task_aborting_seconds: float = 5.0
    batch_creating_seconds: float = 8.0
    child_stagger_seconds: float = 0.2
    children_while_creating: Literal["after", "growing"] = "after"
    max_parallel_children: int | None = None
    instance_limit: int = -1
    max_batch_children: int | None = None
    missing_criterion: Literal["empty", "skip"] = "empty"
    batch_parent_on_partial_failure: Literal["COMPLETED", "FAILED"] = "COMPLETED"
    batch_failed_children: int = 0
    fail_tasks: str | None = None
    fail_imports: str | None = None
    fail_exports: str | None = None
    fail_copies: str | None = None
    fail_files: str | None = None
