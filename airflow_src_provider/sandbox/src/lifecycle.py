"""What happens to a workspace: the task queue, the operations, and what the platform does by itself.

The states and their order follow "Resource Statuses" and "Workspace actions" on SURF's wiki.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..clock import Clock
from .model import IMMUTABLE_RULES, TRANSITIONAL, Action, Plan, User, Workspace
from .problems import queue_full
from .store import Store

RESUME_TIMEOUT = "Timeout waiting for VM to resume."
CREATE_FAILED = "Workspace is in error state and is going to delete the resource."


def _storage_ids(parameters: dict[str, Any]) -> list[str]:
    return [each["id"] for each in parameters.get("storages", [])]


@dataclass
class Operation:
    """One piece of work on one workspace, from its acceptance to its end."""

    workspace: Workspace
    record: Action
    by_user: bool
    then: list[Action] = field(default_factory=list)
    """Actions to do after this one, in order."""
    plan: Plan | None = None
    came_from: str = ""
    over: bool = False


class Lifecycle(Store):
    """A :class:`Store` whose workspaces live."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: deque[Operation] = deque()
        self.working = 0

    # Acceptance.

    def register(self, *, workspace_id: str | None = None, **values: Any) -> Workspace:
        """Give a new workspace its id and number and keep it."""
        number = len(self.workspaces) + 1
        workspace = Workspace(id=workspace_id or self.new_id(), number=number, **values)
        if workspace.kind == "Compute":
            workspace.rules = list(IMMUTABLE_RULES)
        if workspace.kind in ("Compute", "IP"):
            workspace.address = f"198.18.{number // 250 % 250}.{number % 250 + 1}"
        self.workspaces[workspace.id] = workspace
        self.watch_end(workspace)
        return workspace

    def demand_room(self) -> None:
        """Refuse with 503 when the task queue cannot take another task."""
        switches = self.switches
        if self.working >= switches.queue_working and len(self.waiting) >= switches.queue_waiting:
            raise queue_full(switches.queue_full_form, switches.queue_full_retry_after)

    def accept(self, workspace: Workspace, steps: list[tuple[str, dict[str, Any]]], user: User) -> None:
        """Queue `steps` (operation and parameters) for a workspace, as asked by a user over the API."""
        self.demand_room()
        records = [self._record(workspace, kind, parameters, "API", user) for kind, parameters in steps]
        for record, following in pairwise(records):
            record.next_action = following.id
        if steps[0][0] != "create":
            workspace.stale_status = self.shown_status(workspace)
            workspace.stale_until = self.now() + self.switches.stale_seconds
        for kind, parameters in steps:
            self.note(workspace, kind)
            if kind == "update_storages":
                for storage in _storage_ids(parameters):
                    self.attach(workspace, self.workspaces[storage])
        workspace.busy = True
        self.waiting.append(Operation(workspace, records[0], by_user=True, then=records[1:]))
        self._drain()

    def platform(self, workspace: Workspace, kind: str, reason: str) -> None:
        """An operation that the platform starts by itself: at once, past the queue."""
        record = self._record(workspace, kind, {}, reason, None)
        self.effects[workspace.id][f"{kind}:{reason}"] += 1
        workspace.busy = True
        self._start(Operation(workspace, record, by_user=False))

    def _record(
        self, workspace: Workspace, kind: str, parameters: dict[str, Any], reason: str, user: User | None
    ) -> Action:
        now = self.now()
        issuer = user.display_name if user else None
        record = Action(self.new_id(), kind, "initialized", reason, now, now, issuer, parameters)
        workspace.history.append(record)
        return record

    def settle(self) -> None:
        """Bring everything up to the clock."""
        super().settle()
        self._drain()
        limit = self.switches.long_paused_seconds
        if limit is not None:
            for workspace in self.workspaces.values():
                due = (self.now() if workspace.paused_at is None else workspace.paused_at) + limit
                if workspace.status == "paused" and due <= self.now():
                    self._remove_long_paused(workspace, due)
            super().settle()

    # Start.

    def _start(self, operation: Operation) -> None:
        workspace, record = operation.workspace, operation.record
        plan = operation.plan = self._next_plan(workspace, record.type)
        self._touch(record, "pending")
        operation.came_from = workspace.status
        workspace.status = TRANSITIONAL[record.type]
        if plan and plan.reason:
            record.reason = plan.reason
        if record.type == "create":
            self._start_create(operation)
        if plan and plan.outcome == "stuck":
            return
        if plan and plan.outcome != "success":
            self._later(operation, self._seconds(operation, failing=True), self._fail_as_planned)
        elif record.type in ("create", "resume") and not self.take_capacity(workspace):
            self.wait_for_capacity(workspace, lambda: self._got_capacity(operation))
            self._later(operation, self.switches.no_capacity_seconds, self._fail_without_capacity)
        else:
            self._later(operation, self._seconds(operation), self._succeed)

    def _start_create(self, operation: Operation) -> None:
        workspace = operation.workspace
        workspace.log.append(f"{Clock.iso(self.now())} PLAY [{workspace.offering.application_name}]")
        if workspace.kind == "IP":
            workspace.address_at = self.now()
        elif workspace.kind == "Compute":
            workspace.address_at = self.now() + min(self.switches.ip_seconds, self._seconds(operation))

    def _got_capacity(self, operation: Operation) -> None:
        if not operation.over and self.take_capacity(operation.workspace):
            self._later(operation, self._seconds(operation), self._succeed)

    def _next_plan(self, workspace: Workspace, kind: str) -> Plan | None:
        for plan in self.plans:
            if plan.matches(workspace, kind):
                if plan.times is not None:
                    plan.times -= 1
                return plan
        return None

    def _seconds(self, operation: Operation, failing: bool = False) -> float:
        switches, kind = self.switches, operation.record.type
        if operation.plan and operation.plan.seconds is not None:
            return operation.plan.seconds
        if failing and kind == "resume":
            return switches.no_capacity_seconds
        if kind == "create":
            return {
                "Compute": switches.create_seconds,
                "Network": switches.create_network_seconds,
                "Storage": switches.create_storage_seconds,
                "IP": switches.create_ip_seconds,
            }[operation.workspace.kind]
        if kind in ("update_nsgs", "update_storages"):
            return switches.update_seconds
        return float(getattr(switches, f"{kind}_seconds"))

    def _later(self, operation: Operation, seconds: float, end: Callable[[Operation], None]) -> None:
        self.later(seconds, lambda: None if operation.over else end(operation))

    # End.

    def _succeed(self, operation: Operation) -> None:
        workspace, record = operation.workspace, operation.record
        if record.type == "create":
            workspace.status = "running" if workspace.kind == "Compute" else "available"
            workspace.log.append(f"{Clock.iso(self.now())} PLAY RECAP: ok=42 changed=17 failed=0")
            ip = {"type": "string", "value": workspace.address, "sensitive": False}
            record.result = {"resource_meta": {"ip": ip}} if workspace.kind == "Compute" else {}
        elif record.type == "pause":
            self._paused(workspace)
            record.result = {"paused_at": Clock.iso(self.now())}
        elif record.type in ("resume", "reboot"):
            workspace.status = "running"
        elif record.type == "update_nsgs":
            workspace.rules = record.parameters["network_security_group_rules"]
            workspace.status = operation.came_from
            record.result = {"security_groups": list(workspace.rules)}
        elif record.type == "update_storages":
            record.result = self._swap_storages(workspace, _storage_ids(record.parameters))
            workspace.status = operation.came_from
        elif record.type == "delete":
            self._deleted(workspace)
        self._end(operation, "success")

    def _fail_as_planned(self, operation: Operation) -> None:
        plan = operation.plan
        assert plan is not None
        known = {"create": CREATE_FAILED, "resume": RESUME_TIMEOUT}
        error = known.get(operation.record.type, "Action failed.") if plan.error is None else plan.error
        self._fail(operation, plan.outcome, error)

    def _fail_without_capacity(self, operation: Operation) -> None:
        if not operation.workspace.holds_capacity:
            creating = operation.record.type == "create"
            self._fail(operation, "failed", CREATE_FAILED if creating else RESUME_TIMEOUT)

    def _fail(self, operation: Operation, outcome: str, error: str) -> None:
        workspace, record = operation.workspace, operation.record
        record.result = {"error": error} if error else {}
        if record.type == "create":
            workspace.status = "failed"
            secret = any('"sensitive"' in each["value"] for each in workspace.parameters)
            text = "the output has been hidden because of a secret" if secret else error
            workspace.log.append(f"{Clock.iso(self.now())} fatal: {text}")
            if workspace.kind == "Compute":
                self.later(self.switches.failed_visible_seconds, lambda: self.remove_failed(workspace))
        elif record.type == "reboot":
            self._paused(workspace)
        else:
            self._unreserve(workspace, record)
            workspace.status = operation.came_from
        self._end(operation, outcome)

    def _end(self, operation: Operation, outcome: str) -> None:
        workspace, record, plan = operation.workspace, operation.record, operation.plan
        operation.over = True
        workspace.busy = False
        if plan and plan.status:
            workspace.status = plan.status
        self._touch(record, plan.action_status if plan and plan.action_status else outcome)
        going_on = outcome == "success" and workspace.status != "deleted"
        for left in [] if going_on else operation.then:
            self._unreserve(workspace, left)
            self._touch(left, "cancelled")
        if operation.by_user:
            self.working -= 1
            if going_on and operation.then:
                workspace.busy = True
                self.waiting.append(Operation(workspace, operation.then[0], True, operation.then[1:]))
            self._drain()
        self._platform_rules(workspace)

    def _drain(self) -> None:
        while self.waiting and self.working < self.switches.queue_working:
            self.working += 1
            self._start(self.waiting.popleft())

    def _touch(self, record: Action, status: str) -> None:
        record.status, record.updated = status, self.now()

    def _paused(self, workspace: Workspace) -> None:
        workspace.status = "paused"
        workspace.paused_at = self.now()
        self.release_capacity(workspace)

    def _swap_storages(self, workspace: Workspace, wanted: list[str]) -> dict[str, Any]:
        new = [each for each in wanted if each not in workspace.storages]
        gone = [each for each in workspace.storages if each not in wanted]
        for each in gone:
            self.detach(workspace, self.workspaces[each])
        for each in new:
            self.attach(workspace, self.workspaces[each])
        workspace.storages = list(wanted)
        return {"attached_storages": new, "detached_storages": gone}

    def _unreserve(self, workspace: Workspace, record: Action) -> None:
        for each in _storage_ids(record.parameters):
            if each not in workspace.storages:
                self.detach(workspace, self.workspaces[each])

    def _deleted(self, workspace: Workspace) -> None:
        workspace.status = "deleted"
        workspace.deleted_at = self.now()
        self.release_capacity(workspace)
        for part in self.attachments(workspace):
            self.detach(workspace, part)
        workspace.storages, workspace.ips, workspace.networks = [], [], []

    # What the platform does by itself.

    def remove_failed(self, workspace: Workspace, reason: str = "TRIGGER") -> None:
        if workspace.status in ("failed", "unaccounted") and not workspace.busy:
            self.platform(workspace, "delete", reason)

    def refuse_account(self, workspace: Workspace) -> None:
        """A new workspace without a valid wallet: shown as `unaccounted`, then removed."""
        workspace.status = "unaccounted"
        self.later(self.switches.failed_visible_seconds, lambda: self.remove_failed(workspace, "UNACCOUNTED"))

    def watch_end(self, workspace: Workspace) -> None:
        """Delete the workspace after its present `end_time`, unless that is changed before."""
        if workspace.end_time is not None:
            due = max(workspace.end_time + self.switches.expiry_delay, self.now())
            self.at(due, lambda: self._platform_rules(workspace))

    def _remove_long_paused(self, workspace: Workspace, due: float) -> None:
        def remove() -> None:
            if workspace.status == "paused" and not workspace.busy:
                self.platform(workspace, "delete", "LONG_PAUSED")

        self.at(due, remove)

    def deplete_wallet(self, wallet_id: str) -> None:
        """The wallet's budget is used up: its running machines are paused by the platform."""
        self.wallets[wallet_id].empty = True
        for workspace in list(self.workspaces.values()):
            self._platform_rules(workspace)

    def _platform_rules(self, workspace: Workspace) -> None:
        if workspace.busy or workspace.status in ("deleting", "deleted", "failed", "unaccounted"):
            return
        end = workspace.end_time
        if end is not None and self.now() >= end:
            if self.now() >= end + self.switches.expiry_delay:
                self.platform(workspace, "delete", "WORKSPACE_EXPIRED")
            else:
                self.watch_end(workspace)
        elif workspace.status == "running" and self.wallets[workspace.wallet_id].empty:
            self.platform(workspace, "pause", "DEPLETED_WALLET")
