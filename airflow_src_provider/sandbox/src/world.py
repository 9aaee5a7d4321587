"""The state of the SURF Research Cloud half: made from a seed, and changed by hand in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .lifecycle import Lifecycle
from .model import Collaboration, Flavour, Item, Offering, Plan, Subscription, Token, User, Wallet, Workspace


class World(Lifecycle):
    """Everything of one SURF Research Cloud: people, money, catalog and workspaces.

    :param now: virtual time in epoch seconds.
    :param switches: read at every use, so they may change at any moment.
    :param effect: told the kind of every effect that a user asked for.
    """

    def add_workspace(
        self,
        name: str,
        *,
        kind: str = "Compute",
        status: str | None = None,
        size: str | None = None,
        item: str | None = None,
        owner: str | None = None,
        co: str | None = None,
        wallet: str | None = None,
        end_in: float | None = 7 * 86400.0,
        created_ago: float = 86400.0,
        description: str = "",
        storages: tuple[str, ...] | list[str] = (),
        workspace_id: str | None = None,
    ) -> Workspace:
        """Put a finished workspace into the state, as if it had been created some time ago.

        Names (not ids) choose `size`, `item`, `owner`, `co`, `wallet` and `storages`; what is left out is the
        first one of the seed. `status` is `running` (Compute) or `available` by default; a running machine
        does not use up the capacity of its flavour.
        """
        offering = self.find_offering(kind, item)
        co_id = self.pick(self.cos.values(), "name", co).id
        sizes = [each for each in offering.flavours if each.category == "size"]
        flavours = [each for each in offering.flavours if each.category == "os"][:1]
        if sizes:
            flavours.append(self.pick(sizes, "name", size))
        workspace = self.register(
            name=name,
            description=description,
            kind=kind,
            status=status or ("running" if kind == "Compute" else "available"),
            co_id=co_id,
            owner_id=self.pick(self.users.values(), "username", owner).id,
            wallet_id=self.pick(self.wallets.values(), "name", wallet).id,
            created=self.now() - created_ago,
            offering=offering,
            host_name="".join(letter if letter.isalnum() else "-" for letter in name.lower()),
            flavours=flavours,
            end_time=self.now() + end_in if kind == "Compute" and end_in is not None else None,
            workspace_id=workspace_id,
        )
        workspace.address_at = workspace.created
        workspace.paused_at = self.now() if workspace.status == "paused" else None
        workspace.log = ["PLAY RECAP: ok=42 changed=17 unreachable=0 failed=0"]
        workspace.holds_capacity = kind == "Compute" and workspace.status in ("running", "updating")
        for storage in storages:
            part = self.by_name(storage)
            workspace.storages.append(part.id)
            self.attach(workspace, part)
        return workspace

    @staticmethod
    def pick(choices: Any, key: str, wanted: str | None) -> Any:
        """The first choice with this name or id (any, when None is wanted); KeyError when there is none."""
        for choice in choices:
            if wanted in (None, getattr(choice, key), choice.id):
                return choice
        raise KeyError(f"no {key} {wanted!r}")

    def add_workspaces(self, count: int, prefix: str = "bulk", **values: Any) -> list[Workspace]:
        """Put `count` workspaces named `<prefix>-0001`, … into the state; see :meth:`add_workspace`."""
        return [self.add_workspace(f"{prefix}-{number:04}", **values) for number in range(1, count + 1)]

    def plan(self, operation: str = "*", **values: Any) -> Plan:
        """Make the next matching operations end otherwise; see :class:`.model.Plan`.

        :raises ValueError: when the outcome is none of success, failed, cancelled, stuck.
        """
        plan = Plan(operation, **values)
        if plan.outcome not in ("success", "failed", "cancelled", "stuck"):
            raise ValueError(f"unknown outcome {plan.outcome!r}")
        self.plans.append(plan)
        return plan

    def effects_report(self) -> dict[str, dict[str, Any]]:
        """What was done to each workspace: accepted and refused operations by type."""
        return {
            workspace.id: {
                "name": workspace.name,
                "kind": workspace.kind,
                "accepted": dict(self.effects[workspace.id]),
                "refused": dict(self.refused[workspace.id]),
            }
            for workspace in self.workspaces.values()
            if workspace.id in self.effects or workspace.id in self.refused
        }

    # Reading a seed.

    def load(self, seed: Mapping[str, Any]) -> None:
        """Fill an empty world. The keys are those of :data:`.seed.DEFAULT_SEED`.

        :raises KeyError: when the seed names something that it does not define.
        :raises TypeError: when an entry has an unknown or a missing key.
        """
        for each in seed.get("collaborations", ()):
            co = Collaboration(each.get("id") or self.new_id(), each["name"], each["short_name"])
            self.cos[co.id] = co
        for each in seed.get("users", ()):
            self._load_user(each)
        for each in seed.get("wallets", ()):
            cos = [self.pick(self.cos.values(), "name", name).id for name in each["collaborations"]]
            budgets = [{"id": self.new_id(), "products": list(products)} for products in each["budgets"]]
            wallet = Wallet(each.get("id") or self.new_id(), each["name"], cos, budgets)
            wallet.valid, wallet.empty = each.get("valid", True), each.get("empty", False)
            self.wallets[wallet.id] = wallet
        subscriptions = {each["name"]: Subscription(**each) for each in seed.get("subscriptions", ())}
        for each in seed.get("flavours", ()):
            tags = [
                {"id": 600 + number, "key": key, "value": str(value), "is_public": True}
                for number, (key, value) in enumerate(each.get("tags", {}).items())
            ]
            flavour = Flavour(**{"id": self.new_id(), **each, "tags": tags})
            self.flavours[flavour.id] = flavour
        for each in seed.get("items", ()):
            self._load_item(each, subscriptions)
        for each in seed.get("workspaces", ()):
            self.add_workspace(**each)

    def _load_user(self, entry: Mapping[str, Any]) -> None:
        roles = {
            self.pick(self.cos.values(), "name", name).id: set(names)
            for name, names in entry.get("collaborations", {}).items()
        }
        user = User(entry.get("id") or self.new_id(), entry["username"], entry["display_name"], roles)
        user.developer = entry.get("developer", False)
        self.users[user.id] = user
        self.tokens[entry["token"]] = Token(entry["token"], user.id)

    def _load_item(self, entry: Mapping[str, Any], subscriptions: Mapping[str, Subscription]) -> None:
        item = Item(entry.get("id") or self.new_id(), entry["name"], entry["kind"], entry.get("icon", ""), [])
        if entry.get("collaborations") is not None:
            item.co_ids = [self.pick(self.cos.values(), "name", name).id for name in entry["collaborations"]]
        for each in entry["offerings"]:
            flavours = [self.pick(self.flavours.values(), "name", name) for name in each.get("flavours", ())]
            item.offerings.append(
                Offering(
                    each.get("id") or self.new_id(),
                    item.id,
                    entry.get("application_name", entry["name"]),
                    subscriptions[each["subscription"]],
                    flavours,
                    list(entry.get("parameters", ())),
                )
            )
        self.items[item.id] = item
