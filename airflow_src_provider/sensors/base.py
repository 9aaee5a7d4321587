"""The base of all sensors: one question to the service, asked in the worker or in the triggerer, with one outcome."""

from __future__ import annotations

import contextlib
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_src_provider.client.waiting import Progress, Wait, is_final, silence_began
from airflow_src_provider.exceptions import ApiError, InvalidInputError, RemoteWorkError, WaitTimeoutError
from airflow_src_provider.operators.durable import Ledger
from airflow_src_provider.remote import LONGEST, RemoteTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.sdk.definitions.context import Context

#: Ends of a wait; all other failures are none of what is waited for.
ENDS = (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout, RemoteWorkError)
#: Ids whose ends share a record of the task's store, because a record is not meant to be large.
ENDS_PER_RECORD = 50


class RemoteSensor(RemoteTask, BaseSensorOperator):
    """A sensor that waits for remote work which somebody else started, and therefore never ends it.

    The modes ``poke`` and ``reschedule`` and ``deferrable`` differ in where the time passes, not in what comes of it:

    - *What* is waited for is found once for a task run: what a name, a filter or a template stood for at the first look
      holds for all later ones and for retries. A clear looks anew.
    - What was seen to be finished stays so for this try. A retry looks at all of it again.
    - Work that ended badly does not get better: the sensor fails without a retry.
    - A refused token or the like, or an hour without an answer, ends the wait with ``RemoteWorkError``, which may be
      retried. Maintenance and a used-up budget are waited out.
    - ``timeout`` counts from the first look of the task run, over retries.
    - ``soft_fail`` turns these three ends into a skip, ``never_fail`` any error.
    - The XCom is the same, but for ``api_calls``: those of the triggerer, which all its waits share, are not counted.

    ``mode``, ``exponential_backoff``, ``max_wait`` and ``silent_fail`` are about looks of the worker and mean nothing
    with ``deferrable``.

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
        self._deadline = 0.0
        self._silent_since: float | None = None
        self._ended: list[int] = []
        self._calls_before = self._counted = 0

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

    @property
    def api_calls(self) -> int:
        """Return the requests of this try so far; those of a shared poller are not among them."""
        return int(self._calls_before + self.client.session.calls - self._counted)

    def check(self) -> None:
        """Refuse bad input. Called after templates are rendered and before the first request.

        :raises InvalidInputError: what is wrong.
        """

    def find(self) -> list[str]:
        """Return the ids of what to wait for. Called at the first look of a task run only."""
        raise NotImplementedError

    def waits_for(self, ids: list[str]) -> Wait:
        """Return the wait for what was found."""
        raise NotImplementedError

    def finish(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the XCom value.

        :raises RemoteWorkError: the work did not end well.
        """
        raise NotImplementedError

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once."""
        if self._progress is None:
            self._progress = Progress(self._begin(context))
            self._silent_since = None
            self._ended = []
            if self.reschedule:
                self._recall(context, self._progress)
        progress = self._progress
        try:
            line = progress.update(progress.wait.look(self._looker, progress.pending))
            self._silent_since = None
        except ApiError as error:
            moment = time.time()
            self._silent_since = silence_began(error, self._silent_since, moment)
            if is_final(error, 0.0 if self._silent_since is None else moment - self._silent_since):
                raise RemoteWorkError(f"waiting came to an end: {error}") from error
            line = f"No answer this time, still waiting: {error}"
        if line:
            self.log.info(line)
        if not progress.pending:
            return PokeReturnValue(True, self._finish(context, progress.event()))
        if time.time() > self._deadline:
            self._check_end(progress.event("timeout"))
        if self.reschedule:
            self._note(context, progress)
        return False

    def execute(self, context: Context) -> Any:
        """Wait."""
        self.rendered = True
        self._progress = None
        with self._skipping():
            conn_id = getattr(self, self.conn_id_field)
            if not isinstance(conn_id, str) or not conn_id.strip():
                raise InvalidInputError(self.conn_id_field, conn_id, "the id of a connection")
            if not self.deferrable:
                return super().execute(context)
            wait = self._begin(context)
            try:
                event = self.wait_for(wait, trigger=self.trigger_path, deadline=self._deadline, carry={})
            except ApiError as error:
                raise RemoteWorkError(f"waiting came to an end: {error}") from error
            return self._finish(context, self._check_end(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Go on after a deferral."""
        with self._skipping():
            return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(self, context: Context, event: Any, carry: dict[str, Any]) -> Any:
        """Resume after the wait."""
        self._calls_before = carry.get("api_calls", 0)
        return self._finish(context, self._check_end(event))

    def packed(self, carry: dict[str, Any]) -> dict[str, Any]:
        """Return the carry for a deferral: calls made before it would be forgotten with the process."""
        return {**carry, "api_calls": self._count()}

    def _begin(self, context: Context) -> Wait:
        self.check()
        ledger = Ledger(context)
        started = ledger.get("started")
        if started is None:
            started = time.time()
            ledger.put("started", started)
        self._deadline = started + min(self.timeout, LONGEST)
        return self.waits_for(ledger.plan("ids", self.find))

    def _note(self, context: Context, progress: Progress) -> None:
        """Keep for the next look, which is that of another process, what this try knows."""
        ledger = Ledger(context)
        ids = progress.wait.ids
        parts = [ids[start : start + ENDS_PER_RECORD] for start in range(0, len(ids), ENDS_PER_RECORD)]
        ended = []
        for number, part in enumerate(parts):
            results, failed = (
                {id_: known[id_] for id_ in part if id_ in known} for known in (progress.results, progress.failed)
            )
            ended.append(len(results) + len(failed))
            if ended[number] > (self._ended[number] if self._ended else 0):
                ledger.put(f"ends.{number}", [results, failed])
        self._ended = ended
        # Last, because it says which of the others count.
        look = {"try": context["ti"].try_number, "calls": self._count(), "ended": ended}
        ledger.put("look", {**look, "silent_since": self._silent_since})

    def _recall(self, context: Context, progress: Progress) -> None:
        ledger = Ledger(context)
        look = ledger.get("look")
        if look is None or look["try"] != context["ti"].try_number:
            return
        self._silent_since, self._calls_before, self._ended = look.get("silent_since"), look["calls"], look["ended"]
        for number, ended in enumerate(self._ended):
            results, failed = (ledger.get(f"ends.{number}") if ended else None) or ({}, {})
            progress.results.update(results)
            progress.failed.update(failed)

    def _count(self) -> int:
        self._calls_before, self._counted = self.api_calls, self.client.session.calls
        return self._calls_before

    def _check_end(self, event: Any) -> dict[str, Any]:
        try:
            return self.check_event(event)
        except WaitTimeoutError as error:
            raise AirflowSensorTimeout(str(error)) from error

    def _finish(self, context: Context, event: dict[str, Any]) -> Any:
        try:
            return self.finish(context, event)
        except RemoteWorkError as error:
            raise AirflowFailException(str(error)) from error

    @contextlib.contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip what was asked to be skipped: Airflow does it for some errors of some modes."""
        try:
            yield
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except (Exception, AirflowTaskTimeout) as error:
            if self.never_fail or (self.soft_fail and isinstance(error, ENDS)):
                raise AirflowSkipException(str(error)) from error
            raise
