"""The base of all operators: find or submit, remember, wait, report."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, conf

from airflow_src_provider.client.waiting import NOT_NOW, jitter
from airflow_src_provider.exceptions import (
    ApiError,
    BudgetWaitError,
    InvalidInputError,
    RateLimitError,
    WaitTimeoutError,
)
from airflow_src_provider.operators.durable import BEGAN, RESUMED, Ledger
from airflow_src_provider.remote import BACKSTOP, RemoteTask, listed, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait

CONFIG_SECTION = "airflow_src_provider"
LONGEST_SLEEP = 60.0
PAUSE = 60.0
#: Key of the context in which a task keeps until when it waits.
DEADLINE = "airflow_src_provider_deadline"


class RemoteOperator(RemoteTask, BaseOperator):
    """An operator whose work is done by a service.

    A subclass says how to make sure that the work is there (:meth:`submit`), what to wait for (:meth:`waits_for`) and
    what to report (:meth:`finish`). What these three hand to each other is the *carry*, a small JSON-able dict, because
    a deferral may lie between them.

    A worker does not sleep for long: when the request budget is used up, the queue of the service is full or it is
    under maintenance for longer than ``[airflow_src_provider] longest_sleep`` (60 s), a deferrable, durable task gives
    its worker back until then and goes on where it was. If looks used up the budget before anything was started, it
    waits in the worker the next time: it would begin these looks anew for ever.

    :param wait_for_completion: wait until the work is finished; otherwise only start it.
    :param deferrable: wait in the triggerer instead of in the worker; default ``[operators] default_deferrable``.
    :param poll_interval: seconds between looks, default ``[airflow_src_provider] poll_interval``, which is 30 unless
        set; all waits of a connection are looked at together.
    :param timeout: longest wait, in seconds or as ``timedelta``, default one day; it counts from the first wait of a
        try, or its first pause. The remote work is ended when it has passed, if ``cancel_on_kill``.
    :param cancel_on_kill: end the remote work when this task is killed or its time is over.
    :param durable: remember across retries what has been submitted, so that nothing is submitted twice.
    """

    trigger_path: ClassVar[str]
    template_fields: Sequence[str] = ()
    #: Calls of this process's session that the carry knows about.
    _counted = 0
    _announces_to: Ledger | None = None
    #: Whether this process has sent a request that must not be sent twice.
    _has_acted = False
    #: Whether it waits in the worker for as long as requests may wait.
    _is_patient = False
    #: When it last began with nothing but its memory: at the start of the try or after a pause.
    _began: float | None = None
    #: Whether this try has begun anew after a pause, in this process or before a wait.
    _has_paused = False

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta = 86400.0,
        cancel_on_kill: bool = True,
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        # Every result is a dict, and `task.output["file_ids"]` is what people write.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        if poll_interval is None:
            poll_interval = conf.getfloat(CONFIG_SECTION, "poll_interval", fallback=30.0)
        for name, value in (
            ("wait_for_completion", wait_for_completion),
            ("deferrable", deferrable),
            ("cancel_on_kill", cancel_on_kill),
            ("durable", durable),
        ):
            if not isinstance(value, bool):
                raise InvalidInputError(name, value, "True or False")
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)
        self.cancel_on_kill = cancel_on_kill
        self.durable = durable

    def check(self) -> None:
        """Refuse bad input. Called after templates are rendered and before the first request.

        :raises InvalidInputError: what is wrong.
        """

    def submit(self, context: Context) -> dict[str, Any]:
        """Make sure that the remote work is there, once; return the carry."""
        raise NotImplementedError

    def waits_for(self, carry: dict[str, Any]) -> Wait | None:
        """Return what to wait for; ``None`` when there is nothing."""
        raise NotImplementedError

    def finish(self, context: Context, carry: dict[str, Any], event: dict[str, Any] | None) -> Any:
        """Return the XCom value, or raise when the work did not end well; ``event`` is ``None`` without a wait."""
        raise NotImplementedError

    @cached_property
    def client(self) -> Any:
        """Return the service's client."""
        return self._made(patient=self._is_patient or not self._can_pause)

    def _made(self, *, patient: bool) -> Any:
        client = self.hook.client
        session = client.session.announcing(self._announce)
        if not patient:
            session = session.hasty(conf.getfloat(CONFIG_SECTION, "longest_sleep", fallback=LONGEST_SLEEP))
        return type(client)(session)

    def _announce(self) -> None:
        self.stop_if_killed()
        if self._announces_to is not None:
            self._announces_to.announce()
        self._has_acted = True

    def execute(self, context: Context) -> Any:
        """Do the work, or as much of it as can be done now."""
        conn_id = getattr(self, self.conn_id_field)
        if not isinstance(conn_id, str) or not conn_id.strip():
            raise InvalidInputError(self.conn_id_field, conn_id, "the id of a connection")
        self.rendered = True
        self._began = time.time()
        return self._or_pause(context, lambda: self.work(context))

    def work(self, context: Context) -> Any:
        """Check, submit, wait, finish. What this does a second time in the same task run must have no second effect."""
        self.check()
        carry = self.submit(context)
        carry["deadline"] = context.setdefault(DEADLINE, time.time() + self.timeout)  # type: ignore[misc]
        return self.go_on(context, carry)

    def go_on(self, context: Context, carry: dict[str, Any]) -> Any:
        """Wait for what the carry says and finish. :meth:`finish` may call it again for a further stage."""
        wait = self.waits_for(carry) if self.wait_for_completion else None
        if wait is None:
            return self.finish(context, carry, None)
        event = self.wait_for(wait, trigger=self.trigger_path, deadline=carry["deadline"], carry=carry)
        return self.execute_complete(context, event, carry)

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after the wait."""
        return self.finish(context, carry, self.outcome(event, carry))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Go on after a deferral."""
        event = (next_kwargs or {}).get("event")
        carry = event.get("carry") if isinstance(event, dict) else None
        if isinstance(carry, dict) and "deadline" in carry:
            context[DEADLINE] = carry["deadline"]
        if isinstance(carry, dict) and carry.get("began"):
            context[BEGAN] = self._began = carry["began"]
        if isinstance(carry, dict) and carry.get("paused"):
            # What was sent before the pause may still be without a record, however many waits came since.
            context[RESUMED] = self._has_paused = True
        go_on = super().resume_execution
        return self._or_pause(context, lambda: go_on(next_method, next_kwargs, context))

    @property
    def _can_pause(self) -> bool:
        # Afterwards the work begins anew, and only the memory keeps it from doing things twice.
        return self.deferrable and self.durable

    def _or_pause(self, context: Any, do: Callable[[], Any]) -> Any:
        self._announces_to, self._has_acted = Ledger(context, self.durable), False
        try:
            result = do()
        except NOT_NOW as error:
            if self._is_ending or not self._can_pause:
                raise
            self._pause(context, error)
            raise
        if self._is_ending:
            # What it has started is ended: that is no success.
            self.stop_if_killed()
        return result

    def _pause(self, context: Any, error: ApiError) -> None:
        from airflow_src_provider.triggers.pause import PauseTrigger

        now = time.time()
        give_up_at = context.get(DEADLINE) or now + self.timeout
        until = now + max(error.retry_after or PAUSE, 1.0) * jitter()
        if until > give_up_at:
            if self._waiting_for is not None:
                self._end(self._waiting_for)
            return
        # What needs more requests than the budget has left, and nothing comes of them, would begin anew for ever.
        in_vain = self.client.session.calls > 0 and not self._has_acted
        is_patient = in_vain and isinstance(error, BudgetWaitError | RateLimitError)
        moment = time.strftime("%H:%M:%S", time.localtime(until))
        self.log.info("%s. The worker is given back; next try at %s.", error, moment)
        self.defer(
            trigger=PauseTrigger(
                until=until,
                carry={"give_up_at": give_up_at, "api_calls": self.api_calls({}), "patient": is_patient},
                on_kill_of=self._started_already(),
            ),
            method_name="after_pause",
            timeout=timedelta(seconds=give_up_at - now + BACKSTOP),
        )

    def _started_already(self) -> tuple[str, dict[str, Any]] | None:
        """Return the trigger whose end is the end of what is there already, should the task be killed in a pause."""
        if self._waiting_for is None or not self.cancel_on_kill:
            return None
        wait = self._waiting_for.to_dict()
        return self._waiting_by, {"conn_id": getattr(self, self.conn_id_field), "wait": wait, "deadline": 0.0}

    def after_pause(self, context: Any, event: Any, carry: dict[str, Any]) -> Any:
        """Begin anew after a pause; what is done already is remembered."""
        self.check_event(event)
        context[RESUMED] = self._has_paused = True
        context[DEADLINE] = carry["give_up_at"]
        self._began = time.time()
        self._counted = -carry["api_calls"]
        self._is_patient = carry.get("patient", False)
        if started := carry.get("on_kill_of"):
            path, arguments = started
            self.end_if_killed(resolve_name(path).wait_class(**arguments["wait"]), path)
        return self.work(context)

    def outcome(self, event: Any, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the checked event; when the time was over, end the remote work and raise."""
        try:
            return self.check_event(event)
        except WaitTimeoutError:
            if (wait := self.waits_for(carry)) is not None:
                self._end(wait)
            raise

    def _end(self, wait: Wait) -> None:
        """End remote work whose time is over."""
        if not self.cancel_on_kill:
            return
        try:
            # There is no other time to come back for it, but no worker is kept for each of a thousand ids.
            client = self._made(patient=True)
            if self._waiting_for is None:
                # A kill meanwhile asks once more, and ends the naps.
                self.end_if_killed(wait, self.trigger_path)
            for lines, pause in wait.cancelling(type(client)(client.session.lasting(wait.longest_end))):
                for line in lines:
                    self.log.info(line)
                self._nap(pause)
        except ApiError as error:
            self.log.error("%s. What was started may go on, look at it in the portal: %s", error, listed(wait.ids))

    def packed(self, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the carry for a deferral: calls made before it would be forgotten with the process."""
        carry["api_calls"] = self.api_calls(carry)
        self._counted = self.client.session.calls
        carry["began"] = self._began
        if self._has_paused:
            carry["paused"] = True
        return carry

    def api_calls(self, carry: dict[str, Any]) -> int:
        """Return the requests that this task has sent by itself; those of a shared poller are not among them."""
        return int(carry.get("api_calls", 0) + self.client.session.calls - self._counted)
