"""What a test or a user can switch on the SURF Research Cloud half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..half import HalfSwitches


@dataclass
class SrcSwitches(HalfSwitches):
    """Behaviour of the double where the real service varies or is not documented.

    Durations are seconds of the sandbox's virtual clock. The defaults follow what has been observed of the
    service; see "Resource Statuses" and "Workspace actions" on SURF's wiki for the life cycle itself.
    """

    # Durations of the life cycle.
    create_seconds: float = 720.0
    ip_seconds: float = 180.0
    create_network_seconds: float = 30.0
    create_storage_seconds: float = 30.0
    create_ip_seconds: float = 30.0
    pause_seconds: float = 45.0
    resume_seconds: float = 75.0
    no_capacity_seconds: float = 600.0
    reboot_seconds: float = 120.0
    update_seconds: float = 30.0
    delete_seconds: float = 60.0
    failed_visible_seconds: float = 60.0
    """How long a failed creation stays `failed` before the platform removes it."""
    expiry_delay: float = 0.0
    """Delay between a passed `end_time` and the platform's delete."""
    long_paused_seconds: float | None = None
    """Pause length after which the platform deletes a machine; None: never."""

    # Reads.
    stale_seconds: float = 5.0
    """After an accepted action, reads keep showing the old status this long (seen: up to 60 s)."""
    stale_history: bool = False
    """Let `workspace_actions` lag behind as well."""
    default_page_size: int = 10
    max_page_size: int = 100
    next_host: str | None = None
    """Host name put into `next` and `previous` instead of the one that was asked."""
    list_order: Literal["id", "newest", "oldest"] = "id"
    """`id` (no order a reader could use), `newest` or `oldest` (by creation)."""
    deleted_is_404: bool = False
    """Answer 404 for a deleted workspace instead of showing it as `deleted`."""
    logs_survive_delete: bool = False

    # Odd objects.
    empty_resource_meta: bool = False
    empty_meta: bool = False
    hide_ip: bool = False
    null_issuer: bool = False
    history_as_object: bool = False
    null_end_time: bool = False
    wallets_as_page: bool = False
    co_id_differs: bool = False
    """Give a collaboration's `co_id` another value than its `id`."""
    optional_parameters_object: bool = False
    """Send an item's parameters as object `optional_parameters` instead of list `overridable_parameters`."""
    typed_content_type: bool = False
    """Answer `application/json;Compute` instead of `application/json`."""

    # Writes.
    queue_waiting: int = 20
    queue_working: int = 4
    queue_full_form: Literal["json", "text", "html"] = "json"
    queue_full_retry_after: int | None = None
    delete_status: Literal[200, 204] = 204
    """204 without a body, or 200 with the workspace."""
    require_action_body: bool = True
    strict_create: bool = True
    """Demand every text field of `meta`; False lets `application_icon` and `subscription_name` be absent."""
    refuse_dropping_immutable_rules: bool = True
    """400 when `update_nsgs` leaves out an immutable rule; False keeps the rule silently."""
    allow_past_end_time: bool = False
    max_lifetime_days: float | None = None

    # Refusals.
    strict_auth: bool = True
    """Refuse `Bearer <token>`; False strips the prefix."""
    not_found_form: Literal["drf", "service", "html"] = "drf"
    """Body of the 404 for an unknown workspace."""
    forbidden_form: Literal["service", "drf", "not_found"] = "service"
    """Answer to a missing right; `not_found` answers 404."""

    # Gateway limits.
    real_headers: bool = False
    """Let `X-RateLimit-*` describe the rate (also on 429) instead of the absent quota."""
    old_limit_text: bool = False
    """Spell the refusal the way older gateways do."""
    limit_per_service: bool = False
    """Count each of the four services apart instead of together."""
