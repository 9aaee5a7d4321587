"""Everything the half knows, and the few rules that concern more than one object."""

from __future__ import annotations

import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from ..agenda import Agenda
from .model import Collaboration, Flavour, Item, Offering, Plan, Token, User, Wallet, Workspace
from .switches import SrcSwitches


class Store:
    """The state of the SURF Research Cloud half.

    :param now: virtual time in epoch seconds.
    :param switches: read at every use, so they may change at any moment.
    :param effect: told the kind of every effect that a user asked for.
    """

    def __init__(
        self,
        now: Callable[[], float],
        switches: SrcSwitches,
        effect: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._now = now
        self._effect = effect
        self._moment: float | None = None
        self.switches = switches
        self.agenda = Agenda()
        self._random = random.Random(20)
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.cos: dict[str, Collaboration] = {}
        self.wallets: dict[str, Wallet] = {}
        self.items: dict[str, Item] = {}
        self.flavours: dict[str, Flavour] = {}
        self.components: dict[str, dict[str, Any]] = {}
        self.workspaces: dict[str, Workspace] = {}
        self.plans: list[Plan] = []
        self._capacity_waiters: list[tuple[Flavour, Callable[[], None]]] = []
        self.effects: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Accepted effects by workspace id: creations, deletions and actions by type."""
        self.refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.created_names: Counter[str] = Counter()
        """Accepted creations by portal name."""

    def now(self) -> float:
        """Virtual time; while events are caught up with, the moment of the event."""
        return self._now() if self._moment is None else self._moment

    def settle(self) -> None:
        """Bring everything up to the clock."""
        try:
            self.agenda.settle(self._now())
        finally:
            self._moment = None

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.now() + seconds, event)

    def at(self, moment: float, event: Callable[[], None]) -> None:
        def run(due: float) -> None:
            # An event added for a moment already past must not turn the time back.
            self._moment = due if self._moment is None else max(self._moment, due)
            event()

        self.agenda.at(moment, run)

    def note(self, workspace: Workspace, kind: str) -> None:
        """Count an accepted effect."""
        self.effects[workspace.id][kind] += 1
        names = {"create": "workspaces_created", "delete": "workspaces_deleted"}
        self._effect(names.get(kind, f"{kind}_accepted"))

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # Looking things up.

    def offerings(self) -> Iterator[Offering]:
        return (offering for item in self.items.values() for offering in item.offerings)

    def offering(self, offering_id: str) -> Offering | None:
        return next((found for found in self.offerings() if found.id == offering_id), None)

    def find_offering(self, kind: str, item: str | None = None) -> Offering:
        for candidate in self.items.values():
            if candidate.kind == kind and item in (None, candidate.name):
                return candidate.offerings[0]
        raise KeyError(f"no catalog item {item!r} of kind {kind}")

    def by_name(self, name: str) -> Workspace:
        """The newest workspace that has this portal name or id."""
        self.settle()
        found = [each for each in self.workspaces.values() if name in (each.id, each.name)]
        if not found:
            raise KeyError(f"no workspace {name!r}")
        return max(found, key=lambda each: each.created)

    def visible(self, user: User) -> list[Workspace]:
        return [workspace for workspace in self.workspaces.values() if workspace.co_id in user.roles]

    def may_manage(self, user: User, workspace: Workspace) -> bool:
        return workspace.owner_id == user.id or user.has_role(workspace.co_id, "src_ws_admin")

    def shown_status(self, workspace: Workspace) -> str:
        """The status a reader gets, which may lag behind the true one."""
        return workspace.stale_status if self.now() < workspace.stale_until else workspace.status

    # Capacity.

    def take_capacity(self, workspace: Workspace) -> bool:
        size = workspace.size
        if workspace.holds_capacity or size is None:
            return True
        if size.free is not None:
            if size.free <= 0:
                return False
            size.free -= 1
        workspace.holds_capacity = True
        return True

    def release_capacity(self, workspace: Workspace) -> None:
        size = workspace.size
        if workspace.holds_capacity and size is not None:
            workspace.holds_capacity = False
            if size.free is not None:
                self.set_free(size, size.free + 1)

    def set_free(self, flavour: Flavour, free: int | None) -> None:
        """Set how many machines of this size can still start; operations that wait for one go on."""
        flavour.free = free
        for waiter in [each for each in self._capacity_waiters if each[0] is flavour]:
            if flavour.free == 0:
                break
            self._capacity_waiters.remove(waiter)
            waiter[1]()

    def wait_for_capacity(self, workspace: Workspace, go: Callable[[], None]) -> None:
        """Call `go` when a machine of the workspace's size may have become free."""
        if workspace.size is not None:
            self._capacity_waiters.append((workspace.size, go))

    # Attachments.

    def attachments(self, workspace: Workspace) -> list[Workspace]:
        ids = [*workspace.storages, *workspace.ips, *workspace.networks]
        return [self.workspaces[each] for each in ids if each in self.workspaces]

    def attach(self, workspace: Workspace, part: Workspace) -> None:
        if workspace.id not in part.attached_to:
            part.attached_to.append(workspace.id)
        if part.kind == "Storage" and part.status == "available":
            part.status = "in-use"

    def detach(self, workspace: Workspace, part: Workspace) -> None:
        part.attached_to = [each for each in part.attached_to if each != workspace.id]
        if part.kind == "Storage" and part.status == "in-use" and not part.attached_to:
            part.status = "available"
