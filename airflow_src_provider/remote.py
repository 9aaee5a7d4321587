"""What operators and sensors share: the client of their connection, and waiting in the worker or in the triggerer."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_src_provider.client.waiting import Wait, wait_blocking
from airflow_src_provider.exceptions import (
    ApiError,
    InvalidInputError,
    KilledError,
    RemoteWorkError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUSES = frozenset({"success", "failed", "timeout", "error"})
# Airflow's own limit on a deferral only catches what the trigger's deadline did not; it must come later.
BACKSTOP = 600.0
SHOWN_FAILURES = 20
#: Seconds that a worker waits inside the look before a deferral, and inside other looks.
FIRST_LOOK, LOOK = 5.0, 900.0
#: Seconds after which a wait in the worker notices that the task was killed.
NAP = 5.0
#: Ten years, in seconds; a moment much later than that does not fit into a date.
LONGEST = 10 * 366 * 86400.0


def seconds(parameter: str, value: Any, *, least: float = 0.0) -> float:
    """Return a duration in seconds.

    :param parameter: name of the parameter, for the error.
    :param value: a number of seconds or a ``timedelta``.
    :param least: the value must be above this, and not above ten years.
    :raises InvalidInputError: anything else.
    """
    raw = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not least < raw <= LONGEST:
        allowed = f"seconds as a number, or a timedelta, above {least:g} and at most {LONGEST:.0f}"
        raise InvalidInputError(parameter, value, allowed)
    return float(raw)


def is_template(value: Any) -> bool:
    """Tell whether a value, or a part of it, is known only when the task runs."""
    todo, seen = [value], set()
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            if "{{" in one or "{%" in one:
                return True
        elif isinstance(one, dict | list | tuple | set):
            if id(one) not in seen:
                # What holds itself, or is nested deeply, is refused by the check that follows.
                seen.add(id(one))
                todo += [part for pair in one.items() for part in pair] if isinstance(one, dict) else one
        elif hasattr(one, "iter_references"):
            return True
    return False


class RemoteTask:
    """A task that works with one of the services; mixed into operators and sensors.

    Subclasses name the hook, the attribute that holds the connection id, and the trigger that waits.
    """

    hook_path: ClassVar[str]
    conn_id_field: ClassVar[str]

    poll_interval: float
    deferrable: bool
    cancel_on_kill: bool
    #: Whether templates have been rendered, so that what still looks like one is meant.
    rendered = False
    _waiting_for: Wait | None = None
    _waiting_by = ""
    _urgent_client: Any = None
    _killed = False

    @cached_property
    def hook(self) -> Any:
        """Return the hook; the connection is read when it is first needed."""
        return resolve_name(self.hook_path)(getattr(self, self.conn_id_field))

    @property
    def client(self) -> Any:
        """Return the service's client."""
        return self.hook.client

    def looker(self, max_wait: float = LOOK) -> Any:
        """Return the client for looks, which leaves the last of the budget to requests that do something.

        :param max_wait: seconds that one request may spend waiting.
        """
        return type(self.client)(self.client.session.yielding(max_wait))

    def wait_for(
        self,
        wait: Wait,
        *,
        trigger: str,
        deadline: float,
        carry: dict[str, Any],
        found: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Wait until the remote work is finished.

        Looks once before anything else: work may be over already. Then it defers, or waits in the worker.

        :param wait: what is waited for.
        :param trigger: class path of the trigger for this kind of wait.
        :param deadline: moment (epoch seconds) at which to stop.
        :param carry: JSON-able facts that ``execute_complete`` needs after a deferral.
        :param found: what is known already, instead of a first look.
        :return: the event; a deferral does not return.
        """
        from airflow_src_provider.client.waiting import Progress

        # A look that cannot be had soon is taken by the triggerer, later.
        client = self.looker(FIRST_LOOK) if self.deferrable else self.looker()
        self.end_if_killed(wait, trigger)
        progress = Progress(wait)
        line = None
        try:
            found = wait.look(client, wait.ids) if found is None else found
            line = progress.update(found)
        except ApiError as error:
            if not error.retryable:
                raise
            line = f"No answer this time, waiting: {error}"
        if not progress.pending:
            return progress.event()
        if not self.deferrable:
            return wait_blocking(
                client,
                wait,
                interval=self.poll_interval,
                deadline=deadline,
                first=found,
                tell=self.log.info,  # type: ignore[attr-defined]
                sleep=self._nap,
            )
        if self._is_ending:
            self.stop_if_killed()
        if line:
            self.log.info(line)  # type: ignore[attr-defined]
        # What is finished already is not asked again.
        carry["finished"] = {"results": progress.results, "failed": progress.failed}
        left = type(wait)(progress.pending, **wait.options)
        self.defer(  # type: ignore[attr-defined]
            trigger=resolve_name(trigger)(
                conn_id=getattr(self, self.conn_id_field),
                wait=left.to_dict(),
                deadline=deadline,
                poll_interval=self.poll_interval,
                cancel_on_kill=self.cancel_on_kill,
                carry=self.packed(carry),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + BACKSTOP),
        )
        raise AssertionError("defer() does not return")

    def end_if_killed(self, wait: Wait, trigger: str) -> None:
        """Have the work of a wait ended, instead of that of an earlier call, when this task is killed from now on.

        :param trigger: class path of the trigger for this kind of wait.
        """
        self._waiting_for, self._waiting_by = wait, trigger
        if self.cancel_on_kill:
            # on_kill runs in a signal handler: it can neither ask Airflow for the connection nor share locks with the
            # code it interrupted.
            self._urgent_client = type(self.client)(self.client.session.urgent())
        if self._is_ending:
            # It was killed while a request was on its way, and so is what that has started.
            self._end_now()
            self.stop_if_killed()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Hand the event and the carry to the method that goes on after a deferral.

        The carry comes back inside the event, not through ``defer(kwargs=…)``: ``dag.test()`` drops those.
        """
        self.rendered = True
        event = (next_kwargs or {}).get("event")
        if isinstance(event, dict) and "carry" in event:
            event = dict(event)
            carry = dict(event.pop("carry") or {})
            for outcome, known in carry.pop("finished", {}).items():
                event[outcome] = {**known, **(event.get(outcome) or {})}
            if event.get("status") == "success" and event.get("failed"):
                event["status"] = "failed"
            next_kwargs = {"event": event, "carry": carry}
        return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]

    def packed(self, carry: dict[str, Any]) -> dict[str, Any]:
        """Return what ``execute_complete`` gets after a deferral."""
        return carry

    def check_event(self, event: Any) -> dict[str, Any]:
        """Return a trigger's event, or raise when it is none that this version understands.

        :raises RemoteWorkError: the trigger gave up, or sent something unknown.
        :raises WaitTimeoutError: the deadline passed.
        """
        status = event.get("status") if isinstance(event, dict) else None
        if status not in STATUSES:
            raise RemoteWorkError(f"the trigger sent an event that is not understood: {event!r:.300}")
        if status == "error":
            raise RemoteWorkError(f"waiting came to an end: {event.get('message')}")
        if status == "timeout":
            pending = event.get("pending") or []
            raise WaitTimeoutError(f"the time to wait is over with {len(pending)} unfinished: {listed(pending)}")
        return dict(event)

    def on_kill(self) -> None:
        """End the remote work when the task is killed while it starts it, or waits for it, in the worker.

        Airflow calls this in a signal handler and then goes on with whatever that interrupted, for five seconds when a
        user kills the task, without an end when the host is to end. So nothing may come up here, and the task has to
        end by itself: see :meth:`stop_if_killed`.
        """
        self._killed = True
        if self.cancel_on_kill:
            self._end_now()

    def stop_if_killed(self) -> None:
        """Keep a killed task from starting anything more.

        :raises KilledError: it was killed meanwhile.
        """
        if self._killed:
            raise KilledError("the task was told to end, so nothing more is started")

    @property
    def _is_ending(self) -> bool:
        # What was left running may as well be waited for, for as long as this process is left running.
        return self._killed and self.cancel_on_kill and self._waiting_for is not None

    def _end_now(self) -> None:
        if self._waiting_for is None or self._urgent_client is None:
            return
        try:
            for line in self._waiting_for.cancel(self._urgent_client):
                self.log.info(line)  # type: ignore[attr-defined]
        except Exception as error:
            left = listed(self._waiting_for.ids)
            self.log.error("%s. What was started may go on, look at it in the portal: %s", error, left)  # type: ignore[attr-defined]

    def _nap(self, seconds: float) -> None:
        """Sleep; a signal handler that returns does not end a sleep, so it is a series of short ones."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, NAP))
            if self._is_ending:
                self.stop_if_killed()


def listed(items: Any, most: int = SHOWN_FAILURES) -> str:
    """Return ids as text, cut after ``most`` of them."""
    items = list(items)
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(str(item) for item in items[:most]) + rest


def failures_text(failed: Mapping[str, str]) -> str:
    """Return failures as text, one line each, cut after the first twenty."""
    lines = [f"- {id_}: {reason}" for id_, reason in list(failed.items())[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        lines.append(f"- and {len(failed) - SHOWN_FAILURES} more")
    return "\n".join(lines)
