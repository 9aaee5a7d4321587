"""The base of all operators: find or submit, remember, wait, report."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, conf

from airflow_src_provider.exceptions import InvalidInputError, WaitTimeoutError
from airflow_src_provider.remote import RemoteTask, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context

    from airflow_src_provider.client.waiting import Wait


class RemoteOperator(RemoteTask, BaseOperator):
    """An operator whose work is done by a service.

    A subclass says how to make sure that the work is there (:meth:`submit`), what to wait for (:meth:`waits_for`) and
    what to report (:meth:`finish`). What these three hand to each other is the *carry*, a small JSON-able dict, because
    a deferral may lie between them.

    :param wait_for_completion: wait until the work is finished; otherwise only start it.
    :param deferrable: wait in the triggerer instead of in the worker; default ``[operators] default_deferrable``.
    :param poll_interval: seconds between looks, default ``[airflow_src_provider] poll_interval``, which is 30 unless set;
        all waits of a connection are looked at together.
    :param timeout: longest wait, in seconds or as ``timedelta``, default one day. The remote work is ended when it has
        passed, if ``cancel_on_kill``.
    :param cancel_on_kill: end the remote work when this task is killed or its time is over.
    :param durable: remember across retries what has been submitted, so that nothing is submitted twice.
    """

    trigger_path: ClassVar[str]
    template_fields: Sequence[str] = ()
    #: Calls of this process's session that the carry knows about.
    _counted = 0

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
            poll_interval = conf.getfloat("airflow_src_provider", "poll_interval", fallback=30.0)
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

    def execute(self, context: Context) -> Any:
        """Do the work."""
        self.check()
        carry = self.submit(context)
        carry["deadline"] = time.time() + self.timeout
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

    def outcome(self, event: Any, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the checked event; when the time was over, end the remote work and raise."""
        try:
            return self.check_event(event)
        except WaitTimeoutError:
            if self.cancel_on_kill and (wait := self.waits_for(carry)) is not None:
                for line in wait.cancel(self.client):
                    self.log.info(line)
            raise

    def packed(self, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the carry for a deferral: calls made before it would be forgotten with the process."""
        carry["api_calls"] = self.api_calls(carry)
        self._counted = self.client.session.calls
        return carry

    def api_calls(self, carry: dict[str, Any]) -> int:
        """Return the requests that this task has sent by itself; those of a shared poller are not among them."""
        return int(carry.get("api_calls", 0) + self.client.session.calls - self._counted)
