"""What the groups of calls have in common: answers, pages, bulk answers, look-ups with rights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .errors import ApiError
from .fields import Selector
from .model import Node, Project, Volume
from .store import Store
from .switches import SevenBridgesSwitches

if TYPE_CHECKING:
    from .half import SevenBridgesHalf

T = TypeVar("T")
MAX_LIMIT = 100
Endpoint = Callable[[Call], Response]


def answer(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json.dumps(data, separators=(",", ":")), status, headers, "application/json")


def route(method: str, path: str, endpoint: Endpoint) -> Route:
    """A route below ``/v2``."""
    return Route(f"/v2{path}", endpoint, methods=[method])


def flag(value: Any) -> bool:
    """A boolean as clients write it in a query: true, True, 1."""
    return str(value).lower() in ("true", "1")


def own_url(call: Call) -> str:
    """The URL of this very request."""
    raw = bytes(call.scope.get("raw_path") or call.path.encode()).split(b"?")[0].decode("latin-1")
    return f"{call.origin}{raw}" + (f"?{call.query}" if call.query else "")


class Area:
    """A group of calls of one half."""

    def __init__(self, half: SevenBridgesHalf) -> None:
        self.half = half

    def routes(self) -> list[Route]:
        """The routes of this group, most specific first."""
        raise NotImplementedError

    @property
    def store(self) -> Store:
        """State; a new object after every reset."""
        return self.half.store

    @property
    def switches(self) -> SevenBridgesSwitches:
        """Switches in force."""
        return self.half.switches

    def now(self) -> float:
        """Virtual time."""
        return self.half.clock.now()

    def iso(self, moment: float | None) -> str | None:
        """ISO-8601 UTC with second precision, or None."""
        return None if moment is None else self.half.clock.iso(moment)

    def base(self, call: Call) -> str:
        """Base URL as the client wrote it."""
        return f"{call.origin}/v2"

    def one(self, call: Call, item: dict[str, Any], status: int = 200) -> Response:
        """One object, cut to the ``fields`` asked for."""
        return answer(Selector(call.query_params.get("fields"))(item), status)

    def body(self, call: Call, code: int = 90000) -> dict[str, Any]:
        """The body as an object; ``code`` is the error when it is something else."""
        body = call.body_json()
        if not isinstance(body, dict):
            raise ApiError(code, "the body must be a JSON object")
        return body

    def page(
        self,
        call: Call,
        items: Sequence[T],
        full: Callable[[T], dict[str, Any]],
        thin: tuple[str, ...],
        ordered: bool = False,
    ) -> Response:
        """One page of a list with offset paging.

        :param full: complete form of an item; without ``fields`` only the keys in ``thin`` are sent.
        :param ordered: the caller has sorted the items, so the order switch does not apply.
        """
        selector = Selector(call.query_params.get("fields"))
        offset, limit = self._offset(call), self._limit(call)
        total = len(items)
        if not ordered and self.switches.list_order == "reversed":
            items = list(reversed(items))
        shown = [full(item) for item in items[offset : offset + limit]]
        if selector.given:
            shown = [selector(item) for item in shown]
        else:
            shown = [{key: item[key] for key in thin if key in item} for item in shown]
        links = []
        if offset + limit < total:
            links.append(self._link(call, "next", offset + limit, limit))
        if offset > 0:
            links.append(self._link(call, "prev", max(offset - limit, 0), limit))
        data = {"href": own_url(call), "items": shown, "links": links}
        return answer(data, headers={"X-Total-Matching-Query": str(total)})

    def _link(self, call: Call, rel: str, offset: int, limit: int) -> dict[str, str]:
        query = [pair for pair in parse_qsl(call.query, True) if pair[0] not in ("offset", "limit")]
        query += [("offset", str(offset)), ("limit", str(limit))]
        plain = own_url(call).split("?")[0]
        return {"href": f"{plain}?{urlencode(query)}", "rel": rel, "method": "GET"}

    def _number(self, call: Call, name: str, default: int) -> int:
        text = call.query_params.get(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise ApiError(90000, f"{name} must be a number") from None

    def _offset(self, call: Call) -> int:
        offset = self._number(call, "offset", 0)
        if offset < 0:
            raise ApiError(90000, "offset must not be negative")
        return offset

    def _limit(self, call: Call) -> int:
        limit = self._number(call, "limit", self.switches.default_limit)
        if limit > MAX_LIMIT and self.switches.clamp_limit:
            return MAX_LIMIT
        if not 1 <= limit <= MAX_LIMIT:
            raise ApiError(90000, f"limit must lie between 1 and {MAX_LIMIT}")
        return limit

    def bulk(
        self, call: Call, entries: Any, work: Callable[[Any], dict[str, Any]], name_of: Callable[[Any], Any]
    ) -> Response:
        """A bulk answer: each entry is done on its own; a refusal becomes the error of its item.

        :param work: does one entry and returns its resource.
        :param name_of: what identifies an entry, for the switches about repeated ids and ids in errors.
        """
        self.check_bulk(entries, name_of)
        items: list[dict[str, Any]] = []
        for entry in entries:
            try:
                items.append({"resource": work(entry)})
            except ApiError as error:
                extra = {"id": name_of(entry)} if self.switches.bulk_error_ids else {}
                items.append({"error": error.problem} | extra)
        selector = Selector(call.query_params.get("fields"))
        if selector.given:
            items = [selector(item) if "resource" in item else item for item in items]
        if self.switches.shuffle_bulk:
            self.store.random.shuffle(items)
        return answer({"items": items})

    def check_bulk(self, entries: Any, name_of: Callable[[Any], Any]) -> None:
        """Refuse a bulk call as a whole when it has no entries, too many, or repeated ones where that is refused."""
        if not isinstance(entries, list) or (not entries and not self.switches.allow_empty_bulk):
            raise ApiError(90000, "a bulk call needs a list with at least one entry")
        if len(entries) > self.switches.max_bulk:
            raise ApiError(90000, f"a bulk call takes at most {self.switches.max_bulk} entries")
        if self.switches.bulk_duplicates == "refuse":
            names = [str(name_of(entry)) for entry in entries]
            if len(set(names)) < len(names):
                raise ApiError(90000, "a bulk call must not name an entry twice")

    def project(self, user: str, project_id: Any, right: str = "read") -> Project:
        """A project on which ``user`` has ``right``."""
        if not isinstance(project_id, str) or project_id.count("/") != 1:
            raise ApiError(3012, "a project id has the form owner/project")
        project = self.store.projects.get(project_id)
        if project is None:
            raise ApiError(3002, f"no project {project_id}")
        if not self.store.may(user, project, "read") or not self.store.may(user, project, right):
            raise ApiError(3001, f"no right to {right} in project {project_id}")
        return project

    def node(self, user: str, node_id: Any, missing: int = 5002) -> Node:
        """A file or folder that ``user`` may read."""
        if not isinstance(node_id, str) or not node_id:
            raise ApiError(5004, "a file id is missing")
        node = self.store.nodes.get(node_id)
        if node is None:
            raise ApiError(missing, "no such file")
        if not self.store.may(user, self.store.projects[node.project], "read"):
            raise ApiError(5001, "no right to read this file")
        return node

    def folder(self, user: str, folder_id: Any, missing: int = 5026) -> Node:
        """A folder that ``user`` may read."""
        folder = self.node(user, folder_id, missing)
        if not folder.is_folder:
            raise ApiError(5022, "the parent is not a folder")
        return folder

    def can_write(self, user: str, node: Node) -> bool:
        """Whether ``user`` may change files in the project of ``node``."""
        return self.store.may(user, self.store.projects[node.project], "write")

    def volume(self, user: str, volume_id: Any, right: str = "read") -> Volume:
        """An active volume on which ``user`` has ``right`` (read: list, copy: import, write: export)."""
        volume = self.store.volumes.get(volume_id) if isinstance(volume_id, str) else None
        if volume is None:
            raise ApiError(9007, "no such volume")
        if not self.store.may(user, volume, right):
            raise ApiError(9020, f"no right to {right} on this volume")
        return volume

    def active(self, volume: Volume) -> Volume:
        """The volume, if it is active."""
        if not volume.active:
            raise ApiError(9069, "the volume is inactive")
        return volume

    def advance_access(self, call: Call) -> None:
        """Refuse a call that lacks the header for early features, where that is enforced."""
        given = call.headers.get("x-sbg-advance-access", "").lower() == "advance"
        if self.switches.require_advance_access and not given:
            raise ApiError(90002, "this needs the advance access header")

    def fails(self, pattern: str | None, text: str) -> bool:
        """Whether a failure switch names this text."""
        return pattern is not None and re.search(pattern, text) is not None


def mapping(value: Any, code: int, what: str) -> Mapping[str, Any]:
    """``value`` as an object, or the error ``code``."""
    if not isinstance(value, Mapping):
        raise ApiError(code, f"{what} must be an object")
    return value


def optional_name(value: Any, code: int) -> str | None:
    """``value`` as a name, None when there is none, or the error ``code``: a name is text without a slash."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "/" in value:
        raise ApiError(code, "a name is text without a slash")
    return value
