"""Memory of what a task run has done already, so that no effect happens twice.

Airflow keeps a small store for each task instance that outlives the worker. It also outlives a *clear*, by which a user
says: do it again. Every record therefore carries an epoch, which is the same for all automatic retries of a run and
larger after every clear; a record of an older epoch does not count. Airflow does not count clears: they are told from
``max_tries``, which a clear sets to the tries so far and the ``retries`` of the task. These may be changed in the DAG
while the run is under way, so what they were when the epoch began is written down as well.

The store is written after the effect, so a worker can die between the two. Then the next try finds the store silent and
has to look at the service itself. :attr:`Ledger.marker` is what it looks for where the service lets us leave a mark.
Before each effect that it is about to be caused is written down, so a try knows whether there is anything to look for,
and from when on it would be seen.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_src_provider.exceptions import OutcomeUnknownError, RemoteWorkError, SupersededError

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

log = logging.getLogger(__name__)

#: Seconds for which a request without an answer may still be worked on: what is not there yet may come until then.
SETTLING = 60.0
LOOK_AGAIN = 10.0

T = TypeVar("T")

#: Key of the context in which a task says that it paused and begins anew.
RESUMED = "airflow_src_provider_resumed"
#: Key of the context under which a task that goes on after a wait has the moment (epoch seconds) at which it last began
#: with nothing but its memory. A process that ends in a wait has recorded all that it sent, so nothing sent since then
#: is still under way.
BEGAN = "airflow_src_provider_began"
#: Key of the context in which the ledgers of one process share what they read of the store when it began.
SHARED = "airflow_src_provider_memory"


class Ledger:
    """The records of one task run.

    :param context: Airflow's context of the running task.
    :param durable: ``False`` forgets everything: each try starts anew.
    """

    def __init__(self, context: Context, durable: bool = True) -> None:
        ti = context["ti"]
        self._context = cast("dict[str, Any]", context)
        self._store: Any = self._context.get("task_state_store") if durable else None
        self._shared: dict[str, Any] = self._context.setdefault(SHARED, {}) if durable else {}
        self._counts: dict[str, Any] = {
            "max_tries": int(getattr(ti, "max_tries", 0) or 0),
            "retries": int(getattr(self._context.get("task"), "retries", 0) or 0),
            # Of any task of the run.
            "clears": getattr(self._context.get("dag_run"), "clear_number", None),
        }
        self.durable = durable

    @property
    def epoch(self) -> int:
        """Return the number of the epoch, larger after every clear."""
        if "epoch" not in self._shared:
            begun = self._read("epoch")
            self._shared["noted"] = begun is not None and not self._is_cleared_since(begun["value"])
            epoch = self._counts["max_tries"] - self._counts["retries"]
            if begun is not None:
                epoch = begun["epoch"] if self._shared["noted"] else max(epoch, begun["epoch"] + 1)
            self._shared["epoch"] = epoch
        return int(self._shared["epoch"])

    def _is_cleared_since(self, then: dict[str, Any]) -> bool:
        now = self._counts
        if now["max_tries"] != then["max_tries"]:
            return True
        # A clear after the retries were reduced can come to the same number as before.
        differ: bool = now["retries"] != then["retries"] and now["clears"] != then["clears"]
        return differ and 0 < now["max_tries"] - now["retries"] < int(self._context["ti"].try_number)

    @functools.cached_property
    def marker(self) -> str:
        """Return the mark of this epoch of the task run, for a service that keeps one."""
        ti = self._context["ti"]
        who = (ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, self.epoch)
        return hashlib.sha256("\n".join(map(str, who)).encode()).hexdigest()[:16]

    @functools.cached_property
    def may_have_acted(self) -> bool:
        """Tell whether an effect of this epoch may be there without a record of it."""
        if not self.durable or self._is_beginning:
            return False
        # Each effect replaces the note of the last one: one from before a clear says that none has been caused since.
        before = self._announced_before()
        return before is None or before["epoch"] == self.epoch

    @property
    def _is_beginning(self) -> bool:
        return int(self._context["ti"].try_number) <= 1 and RESUMED not in self._context

    def _announced_before(self) -> dict[str, Any] | None:
        """Return the last note of an effect that was written before this process."""
        if "announced" not in self._shared:
            self._shared["announced"] = self._read("announced")
        record: dict[str, Any] | None = self._shared["announced"]
        return record

    def get(self, key: str) -> Any:
        """Return what this epoch recorded under the key, or ``None``."""
        record = self._read(key)
        return record["value"] if record and record["epoch"] == self.epoch else None

    def older(self, key: str) -> Any:
        """Return what an older epoch recorded under the key and this one has not replaced, or ``None``."""
        record = self._read(key)
        return record["value"] if record and record["epoch"] != self.epoch else None

    @property
    def keeps(self) -> bool:
        """Tell whether what is put into it can be had again, also after a deferral."""
        return self._store is not None

    def whole(self, key: str, parts: int) -> list[Any]:
        """Return what :meth:`plan` or :meth:`each` has recorded in so many parts.

        :raises RemoteWorkError: some of it is gone.
        """
        found = [self.get(f"{key}.{number}") for number in range(parts)]
        if None in found:
            raise RemoteWorkError(f"the memory of this task has lost {key}; a retry looks at the service instead")
        return [one for part in found for one in part]

    def put(self, key: str, value: Any) -> None:
        """Record a JSON-able value."""
        if self._store is None:
            return
        epoch = self.epoch
        if not self._shared["noted"]:
            self._store.set("epoch", {"epoch": epoch, "value": self._counts})
            self._shared["noted"] = True
        self._store.set(key, {"epoch": epoch, "value": value})

    def announce(self) -> None:
        """Note that an effect is about to be caused.

        Airflow takes a note only from the try that it knows of. A worker that stood still until another one replaced it
        learns of that here, instead of causing the effect beside its replacement.

        :raises SupersededError: Airflow did not take the note.
        """
        try:
            if not self._is_beginning:
                # What was announced before this process is known only until it announces something.
                self._announced_before()
            self.put("announced", time.time())
        except Exception as error:
            raise SupersededError(
                f"nothing more is sent: Airflow takes no notes from this try; maybe it was replaced ({error})"
            ) from error

    def _read(self, key: str) -> dict[str, Any] | None:
        if self._store is None:
            return None
        record = self._store.get(key)
        return record if isinstance(record, dict) and {"epoch", "value"} <= set(record) else None

    def once(self, key: str, send: Callable[[], Any], find: Callable[[], Any | None] | None) -> Any:
        """Cause one effect, once.

        :param key: name of the record.
        :param send: causes the effect; returns a JSON-able record of it.
        :param find: looks for the effect at the service; returns its record, or ``None`` when it is not there. ``None``
            instead of a function: a second time does no harm.
        :return: the record, whether found in the store, at the service, or just made.
        """
        record = self.get(key)
        if record is not None:
            return record
        if self.may_have_acted and find is not None:
            self._settle()
            record = find()
            if record is not None:
                log.info("Found what an earlier try had done already: %s", record)
        if record is None:
            record = self._send_or_find(send, find)
        self.put(key, record)
        return record

    def _send_or_find(self, send: Callable[[], Any], find: Callable[[], Any | None] | None) -> Any:
        try:
            return send()
        except OutcomeUnknownError as error:
            record = None
            if find is not None:
                log.warning("%s. Looking whether it is there.", error)
                record = _look(find, lambda found: found is not None, error)
            if record is None:
                log.info("It is not there, so it is sent again.")
                record = send()
            return record

    def each(
        self,
        key: str,
        items: Sequence[Any],
        send: Callable[[Sequence[Any]], list[Any]],
        find: Callable[[Sequence[Any]], list[Any | None]],
        chunk: int = 100,
    ) -> list[Any]:
        """Cause many effects, each once, in chunks whose progress is recorded.

        :param key: name of the records.
        :param items: what to act on, in the same order at every try.
        :param send: acts on a chunk with one call; returns a JSON-able record for each item, in order.
        :param find: looks at the service for the effects of a chunk; ``None`` for those that are not there.
        :param chunk: items per call.
        :return: one record per item, in order.
        """
        records: list[Any] = []
        # Chunks go out one after the other, so only the first one without a record can have been sent …
        uncertain = self.may_have_acted
        # … unless the store has lost what it was told.
        silent = uncertain and self._announced_before() is None
        for number, start in enumerate(range(0, len(items), chunk)):
            part = items[start : start + chunk]
            done = self.get(f"{key}.{number}")
            silent = silent and done is None
            done = done or [None] * len(part)
            if None in done:
                if uncertain:
                    known = len(part) - done.count(None)
                    done = self._look_at(part, done, find)
                    uncertain = silent and len(part) - done.count(None) > known
                done = self._send_part(part, done, send, find)
                self.put(f"{key}.{number}", done)
            records += done
        return records

    def forget(self, key: str, positions: Iterable[int], chunk: int = 100) -> None:
        """Drop records of :meth:`each`, so that a retry acts on these items again.

        :param key: name of the records.
        :param positions: places of the items.
        :param chunk: as it was for :meth:`each`.
        """
        by_part: dict[int, set[int]] = {}
        for position in positions:
            by_part.setdefault(position // chunk, set()).add(position % chunk)
        for number, places in by_part.items():
            done = self.get(f"{key}.{number}")
            if done is not None:
                self.put(f"{key}.{number}", [None if i in places else record for i, record in enumerate(done)])

    def plan(self, key: str, make: Callable[[], list[Any]], chunk: int = 100) -> list[Any]:
        """Fix what a task run acts on: every try has the same items in the same order, whatever happens meanwhile.

        :param key: name of the record.
        :param make: makes the list of JSON-able items; called once per epoch.
        :param chunk: items per record, because a record is not meant to be large.
        """
        parts = self.get(key)
        if parts is not None:
            return [item for number in range(parts) for item in self.get(f"{key}.{number}")]
        items = make()
        starts = range(0, len(items), chunk)
        for number, start in enumerate(starts):
            self.put(f"{key}.{number}", items[start : start + chunk])
        self.put(key, len(starts))
        return items

    def _settle(self) -> None:
        """Let what an earlier process has sent last become visible, before it is looked for."""
        last = self._announced_before()
        if last is None or last["epoch"] != self.epoch or self._shared.get("settled"):
            return
        if last["value"] >= self._context.get(BEGAN, math.inf):
            return
        self._shared["settled"] = True
        left = min(SETTLING, last["value"] + SETTLING - time.time())
        if left > 0:
            log.info("The last request of an earlier try may still be worked on. Looking in %d s.", math.ceil(left))
            time.sleep(left)

    def _look_at(
        self,
        part: Sequence[Any],
        done: Sequence[Any | None],
        find: Callable[[Sequence[Any]], list[Any | None]],
    ) -> list[Any]:
        self._settle()
        records = list(done)
        missing = [i for i, record in enumerate(records) if record is None]
        for i, record in zip(missing, find([part[i] for i in missing]), strict=True):
            records[i] = record
        return records

    def _send_part(
        self,
        part: Sequence[Any],
        done: Sequence[Any | None],
        send: Callable[[Sequence[Any]], list[Any]],
        find: Callable[[Sequence[Any]], list[Any | None]],
    ) -> list[Any]:
        records = list(done)
        for attempt in (1, 2, 3):
            missing = [i for i, record in enumerate(records) if record is None]
            if not missing:
                break
            try:
                sent = send([part[i] for i in missing])
            except OutcomeUnknownError as error:
                if attempt == 3:
                    raise
                log.warning("%s. Looking which of the %d are there.", error, len(missing))
                look = functools.partial(find, [part[i] for i in missing])
                sent = _look(look, lambda found: None not in found, error)
            for i, record in zip(missing, sent, strict=True):
                records[i] = record
        return records


def _look(find: Callable[[], T], is_whole: Callable[[T], bool], error: OutcomeUnknownError) -> T:
    """Look for what a request without an answer has done, until it is whole or will not become so any more."""
    # A service that has answered has ended its work; one that was too slow, or whose answer was lost, may go on.
    until = time.monotonic() + (SETTLING if error.status in (None, 502, 504) else 0.0)
    while not is_whole(found := find()) and time.monotonic() < until:
        time.sleep(LOOK_AGAIN)
    return found
