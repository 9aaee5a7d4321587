"""The base of all sensors: one question to the service, asked in the worker or in the triggerer, with one outcome."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_src_provider.client.waiting import Progress, Wait
from airflow_src_provider.exceptions import ApiError, InvalidInputError, RemoteWorkError, WaitTimeoutError
from airflow_src_provider.remote import RemoteTask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.context import Context


class RemoteSensor(RemoteTask, BaseSensorOperator):
    """A sensor that waits for remote work which somebody else started, and therefore never ends it.

    Work that ended badly does not get better, so the sensor fails without a retry, or skips with ``soft_fail``. That,
    the time-out and the XCom are the same in the modes ``poke`` and ``reschedule`` and with ``deferrable``.

    :param deferrable: wait in the triggerer instead of in the worker; default ``[operators] default_deferrable``.
    :param poke_interval: seconds between looks, default 60; deferred waits of a connection are looked at together.
    """

    trigger_path: ClassVar[str]
    template_fields: Sequence[str] = ()

    def __init__(self, *, deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        if not isinstance(deferrable, bool):
            raise InvalidInputError("deferrable", deferrable, "True or False")
        self.deferrable = deferrable
        self.cancel_on_kill = False
        self._progress: Progress | None = None

    @cached_property
    def client(self) -> Any:
        """Return the service's client."""
        return self.hook.client

    @cached_property
    def _looker(self) -> Any:
        return self.looker()

    @property
    def poll_interval(self) -> float:  # type: ignore[override]
        """Return the seconds between looks."""
        return float(max(self.poke_interval, 1.0))

    def check(self) -> None:
        """Refuse bad input. Called after templates are rendered and before the first request.

        :raises InvalidInputError: what is wrong.
        """

    def waits_for(self) -> Wait:
        """Return what to wait for."""
        raise NotImplementedError

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the XCom value.

        :raises RemoteWorkError: the work did not end well.
        """
        raise NotImplementedError

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once."""
        if self._progress is None:
            self.check()
            self._progress = Progress(self.waits_for())
        try:
            line = self._progress.update(self._progress.wait.look(self._looker, self._progress.pending))
        except ApiError as error:
            if not error.retryable:
                raise
            line = f"No answer this time, still waiting: {error}"
        if line:
            self.log.info(line)
        if self._progress.pending:
            return False
        return PokeReturnValue(True, self._finish(context, self._progress.event()))

    def execute(self, context: Context) -> Any:
        """Wait."""
        self.rendered = True
        if not self.deferrable:
            return super().execute(context)
        self.check()
        try:
            deadline = time.time() + self.timeout
            wait = self.waits_for()
            event = self.wait_for(wait, trigger=self.trigger_path, deadline=deadline, carry={})
            return self.execute_complete(context, event, {})
        except (AirflowFailException, AirflowSensorTimeout) as error:
            # Airflow does this by itself in the other modes and after a deferral.
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after the wait."""
        try:
            outcome = self.check_event(event)
        except WaitTimeoutError as error:
            raise AirflowSensorTimeout(str(error)) from error
        return self._finish(context, outcome)

    def _finish(self, context: Context, event: dict[str, Any]) -> Any:
        try:
            return self.finish(context, event)
        except RemoteWorkError as error:
            raise AirflowFailException(str(error)) from error
