"""A creation that is asked for once, whatever dies: the workspace says whose it is."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_src_provider.client.src.bodies import mark_of, marked
from airflow_src_provider.client.src.progress import CLOCK_SKEW, READ_LAG
from airflow_src_provider.client.src.states import kind_of, parse_time, raw_status
from airflow_src_provider.exceptions import ApiError, OutcomeUnknownError

if TYPE_CHECKING:
    from airflow_src_provider.client.src import SrcClient
    from airflow_src_provider.client.src.base import Json, JsonList
    from airflow_src_provider.operators.durable import Ledger

log = logging.getLogger(__name__)

LOOK_AGAIN = 5.0
_GONE = ("failed", "deleting", "deleted", "unaccounted")


def created_at(workspace: Mapping[str, Any]) -> float:
    """Return when the service says it was created (Unix seconds), 0 when it does not say."""
    created = parse_time(workspace.get("time_created"))
    return created.timestamp() if created else 0.0


def namesakes(client: SrcClient, name: str, co_id: str, kind: str | None = None) -> JsonList:
    """Return the workspaces of exactly this name that are not about to vanish, oldest first.

    :param kind: only those of this kind.
    """
    return [
        one
        for one in client.workspaces.list(name=name, co_id=co_id, application_type=kind)
        if one.get("name") == name and raw_status(one) not in _GONE and (kind is None or kind_of(one) in (None, kind))
    ]


class Creation:
    """The workspace that a task run asks for, in whichever of its tries.

    The service knows no idempotency key, and other tasks, other runs and other deployments of the same DAG may create
    workspaces of the same name, kind and minute. So the description ends with a mark, and only what bears it is taken
    for its own. The first half of it is the same in all tries of the run, for a memory that was lost; the other half is
    drawn and written down before the request.

    :param client: the client.
    :param ledger: the memory of the task run.
    :param name: name of the workspace.
    """

    def __init__(self, client: SrcClient, ledger: Ledger, name: str) -> None:
        self._client = client
        self._ledger = ledger
        self._name = name
        #: What is noted before the request: moment, collaboration, kind, mark.
        self._asked: dict[str, Any] = {}

    @property
    def sent(self) -> float:
        """Return the moment (Unix seconds, our clock) before the request."""
        return float(self._asked["sent"])

    def made_before(self) -> Json | None:
        """Return what a try of this run has created, unless it has failed meanwhile.

        One that is so young that it is not shown yet is returned with no more than its id and name.
        """
        record, asked = self._ledger.get("create"), self._ledger.get("create.sent")
        if record is not None and (asked is None or asked["sent"] <= record["sent"]):
            self._asked = {"sent": record["sent"]}
            return self._known(record["id"])
        if older := self._ledger.older("create"):
            log.warning("Before this task was cleared it created workspace %s, which is left alone.", older["id"])
        if asked is None or not self._ledger.may_have_acted:
            return None
        self._asked = asked
        found = self._await()
        if found is not None:
            self.keep(found)
        return found

    def forgotten(self, co_id: str) -> Json | None:
        """Return what a try of this run has created when nothing of it is written down any more.

        :param co_id: the collaboration.
        """
        if self._asked or not self._ledger.may_have_acted:
            return None
        there = namesakes(self._client, self._name, co_id)
        ours = [one for one in there if (mark_of(one) or "").startswith(f"{self._ledger.marker}-")]
        if not ours:
            return None
        self._asked = {"sent": created_at(ours[-1])}
        self.keep(ours[-1])
        return ours[-1]

    def send(self, body: Json) -> Json:
        """Ask for the workspace and return it; when the answer is lost, look for it before asking again."""
        made: Json | None
        kind, mark = body["meta"]["application_type"], f"{self._ledger.marker}-{secrets.token_hex(4)}"
        self._asked = {"sent": time.time(), "co": body["co_id"], "kind": kind, "mark": mark}
        self._ledger.put("create.sent", self._asked)
        body = {**body, "description": marked(body["description"], mark)}
        try:
            made = self._client.workspaces.create(body)
        except OutcomeUnknownError as error:
            log.warning("%s. Looking for %s in the collaboration.", error, self._name)
            made = self._await()
            if made is None:
                log.info("%s is not there, so it is sent again.", self._name)
                made = self._client.workspaces.create(body)
        except ApiError:
            # Certainly not created. A note would make the next try look for it.
            self._ledger.put("create.sent", None)
            raise
        return made

    def keep(self, made: Json) -> None:
        """Write down what was made."""
        self._ledger.put("create", {"id": made["id"], "sent": self.sent})

    def find(self, client: SrcClient) -> Json | None:
        """Look once for what was asked for, by its mark; by name, kind and time where descriptions are not shown.

        :param client: the client to look with.
        """
        asked = self._asked
        if "mark" not in asked:
            # Nothing was asked for, or it is known by its id.
            return None
        there = namesakes(client, self._name, asked["co"])
        ours = [one for one in there if mark_of(one) == asked["mark"]] or [
            one
            for one in there
            if not isinstance(one.get("description"), str)
            and kind_of(one) in (None, asked["kind"])
            and created_at(one) > asked["sent"] - CLOCK_SKEW
        ]
        return ours[-1] if ours else None

    def _known(self, id_: str) -> Json | None:
        found: Json | None = self._client.workspaces.look([id_]).get(id_)
        if found is not None:
            return None if raw_status(found) in _GONE else found
        # The wait has patience with what is not shown yet; creating another one is not to be taken back.
        return {"id": id_, "name": self._name} if time.time() - self.sent <= READ_LAG + CLOCK_SKEW else None

    def _await(self) -> Json | None:
        """Look for a creation whose answer is not known, for as long as reads may lag behind."""
        until = time.time() + READ_LAG
        while True:
            found = self.find(self._client)
            if found is not None or time.time() > until:
                return found
            time.sleep(LOOK_AGAIN)
