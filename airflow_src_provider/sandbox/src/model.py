"""The things SURF Research Cloud knows about, as plain records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KINDS = ("Compute", "Storage", "IP", "Network")
RESOURCE_TYPES = {
    "Compute": "VM",
    "Storage": "Storage-Volume",
    "IP": "Floating-IP",
    "Network": "Private-Network",
}
USER_ACTIONS = ("resume", "pause", "reboot", "update_nsgs", "update_storages")
TRANSITIONAL = {
    "create": "creating",
    "delete": "deleting",
    "pause": "pausing",
    "reboot": "rebooting",
    "resume": "resuming",
    "update_nsgs": "updating",
    "update_storages": "updating",
}
IMMUTABLE_RULES = (
    "in tcp 22 22 0.0.0.0/0 immutable",
    "in tcp 80 80 0.0.0.0/0 immutable",
    "in tcp 443 443 0.0.0.0/0 immutable",
    "in tcp 3389 3389 0.0.0.0/0 immutable",
    "in tcp 1 65535 10.10.10.0/24 immutable",
    "in udp 1 65535 10.10.10.0/24 immutable",
    "out tcp 1 65535 0.0.0.0/0 immutable",
    "out udp 1 65535 0.0.0.0/0 immutable",
)


@dataclass
class User:
    id: str
    username: str
    display_name: str
    roles: dict[str, set[str]] = field(default_factory=dict)
    """Role names by id of the collaboration; a key without roles is plain membership."""
    developer: bool = False

    def has_role(self, co_id: str, role: str) -> bool:
        return role in self.roles.get(co_id, ())


@dataclass
class Token:
    value: str
    user_id: str
    name: str = "api"
    expires_at: float | None = None
    purged: bool = False
    """Expired long enough ago (or revoked) for the gateway to have forgotten it."""
    active: bool = True


@dataclass
class Collaboration:
    id: str
    name: str
    short_name: str


@dataclass
class Wallet:
    id: str
    name: str
    co_ids: list[str]
    budgets: list[dict[str, Any]]
    valid: bool = True
    empty: bool = False

    @property
    def products(self) -> set[str]:
        return {product for budget in self.budgets for product in budget["products"]}


@dataclass
class Subscription:
    name: str
    tag: str
    group_id: str
    cloud_type: str = "opennebula"
    cloud_status: str = "up"


@dataclass
class Flavour:
    id: str
    name: str
    category: str
    status: str = "active"
    product: str | None = None
    cloud_name: str = ""
    free: int | None = None
    """Machines of this size that can still start; None: no limit."""
    tags: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Offering:
    id: str
    item_id: str
    application_name: str
    subscription: Subscription
    flavours: list[Flavour]
    parameters: list[str] = field(default_factory=list)


@dataclass
class Item:
    id: str
    name: str
    kind: str
    icon: str
    offerings: list[Offering]
    co_ids: list[str] | None = None
    """Collaborations that may launch it; None: all."""


@dataclass
class Action:
    """One entry of a workspace's history."""

    id: str
    type: str
    status: str
    reason: str
    created: float
    updated: float
    issuer: str | None
    parameters: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    next_action: str | None = None


@dataclass
class Workspace:
    id: str
    name: str
    description: str
    kind: str
    status: str
    co_id: str
    owner_id: str
    wallet_id: str
    created: float
    offering: Offering
    host_name: str
    flavours: list[Flavour] = field(default_factory=list)
    end_time: float | None = None
    deleted_at: float | None = None
    rules: list[str] = field(default_factory=list)
    storages: list[str] = field(default_factory=list)
    ips: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    attached_to: list[str] = field(default_factory=list)
    parameters: list[dict[str, Any]] = field(default_factory=list)
    dataset_ids: list[Any] = field(default_factory=list)
    dataset_names: list[Any] = field(default_factory=list)
    history: list[Action] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    address: str = ""
    address_at: float | None = None
    """When the address becomes visible; None: not yet known."""
    number: int = 0
    paused_at: float | None = None
    busy: bool = False
    holds_capacity: bool = False
    stale_status: str = ""
    stale_until: float = float("-inf")
    overrides: dict[str, Any] = field(default_factory=dict)
    """Top-level keys replaced in every answer, for objects no client has seen yet."""

    @property
    def size(self) -> Flavour | None:
        return next((flavour for flavour in self.flavours if flavour.category == "size"), None)


@dataclass
class Plan:
    """How the next matching operations shall end, instead of well.

    `type` is an operation (`create`, `resume`, …) or `*`; `workspace` a text searched in the name or an id.
    `outcome` is `success`, `failed`, `cancelled` or `stuck` (never ends, and keeps its place in the queue).
    `seconds` replaces the duration; `status`, `action_status` and `reason` replace what is shown afterwards;
    `times` None means for ever.
    """

    type: str = "*"
    workspace: str | None = None
    outcome: str = "failed"
    error: str | None = None
    seconds: float | None = None
    status: str | None = None
    action_status: str | None = None
    reason: str | None = None
    times: int | None = 1

    def matches(self, workspace: Workspace, operation: str) -> bool:
        return (
            self.times != 0
            and self.type in ("*", operation)
            and (self.workspace is None or self.workspace == workspace.id or self.workspace in workspace.name)
        )
