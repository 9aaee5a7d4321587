"""Volumes and their contents ("List the contents of a volume")."""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from ..half import Call
from .area import Area, answer, mapping, own_url, route
from .errors import ApiError
from .fields import Selector
from .model import RIGHTS, Volume
from .render import THIN_VOLUME, object_json, volume_json

_SECRETS = ("secret_access_key", "private_key", "account_key", "client_secret", "sas_token")
_TYPES = {kind.lower(): kind for kind in ("s3", "gcs", "OSS", "azure")}


class Volumes(Area):
    """Calls on volumes."""

    def routes(self) -> list[Route]:
        volume = "/storage/volumes/{owner}/{name}"
        return [
            route("GET", "/storage/volumes", self.listing),
            route("POST", "/storage/volumes", self.create),
            route("GET", volume + "/list", self.contents),
            route("GET", volume + "/object", self.object),
            route("GET", volume, self.details),
            route("PATCH", volume, self.edit),
            route("DELETE", volume, self.delete),
        ]

    def _named(self, call: Call, right: str = "read") -> Volume:
        return self.volume(call.caller.name, f"{call.path_params['owner']}/{call.path_params['name']}", right)

    def listing(self, call: Call) -> Response:
        user, base = call.caller.name, self.base(call)
        own = [volume for volume in self.store.volumes.values() if self.store.may(user, volume, "read")]
        return self.page(call, own, lambda volume: volume_json(base, volume), THIN_VOLUME)

    def details(self, call: Call) -> Response:
        return self.one(call, volume_json(self.base(call), self._named(call)))

    def create(self, call: Call) -> Response:
        body, user, now = self.body(call, 9011), call.caller.name, self.now()
        name = body.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"\w{1,32}", name, re.ASCII):
            raise ApiError(9013, "a volume name has at most 32 letters, digits and underscores")
        volume = Volume(f"{user}/{name}", name, user, now, now)
        if volume.id in self.store.volumes:
            raise ApiError(9010, "there is a volume of that name")
        self._apply(volume, {"access_mode": "RW"} | body)
        kind = _TYPES.get(str(volume.service.get("type", "")).lower())
        if not volume.service.get("bucket") or kind is None:
            raise ApiError(9014, f"a volume needs a bucket and a type: {', '.join(_TYPES.values())}")
        volume.service["type"] = kind
        volume.members[user] = dict.fromkeys(RIGHTS, True)
        self.store.volumes[volume.id] = volume
        self.half.effect("volumes_created")
        return self.one(call, volume_json(self.base(call), volume))

    def _apply(self, volume: Volume, body: dict[str, Any]) -> None:
        if body.get("access_mode", "RW") not in ("RO", "RW"):
            raise ApiError(9015, "access_mode is RO or RW")
        volume.access_mode = body.get("access_mode", volume.access_mode)
        volume.description = body.get("description", volume.description) or ""
        volume.active = bool(body.get("active", volume.active))
        if "service" in body:
            service = dict(mapping(body["service"], 9016, "service"))
            credentials = mapping(service.get("credentials", {}), 9017, "credentials")
            service["credentials"] = {key: value for key, value in credentials.items() if key not in _SECRETS}
            volume.service |= service

    def edit(self, call: Call) -> Response:
        volume = self._named(call, "admin")
        self._apply(volume, self.body(call, 9011))
        volume.modified = self.now()
        return self.one(call, volume_json(self.base(call), volume))

    def delete(self, call: Call) -> Response:
        volume = self._named(call, "admin")
        if volume.active:
            raise ApiError(9011, "a volume must be deactivated before it is deleted")
        del self.store.volumes[volume.id]
        return Response(status_code=204)

    def contents(self, call: Call) -> Response:
        volume = self.active(self._named(call))
        query = call.query_params
        prefix, limit = query.get("prefix", ""), self._limit(call)
        after = self._after(query.get("continuation_token"), volume, prefix)
        entries: list[tuple[str, bool]] = []
        for location in self.store.locations(volume, prefix):
            inner, slash, _ = location[len(prefix) :].partition("/")
            entry = (prefix + inner + "/", True) if slash else (location, False)
            if not entries or entries[-1] != entry:
                entries.append(entry)
        rest = [entry for entry in entries if entry[0] > after]
        shown, base = rest[:limit], self.base(call)
        selector = Selector(query.get("fields"))
        items = [selector(object_json(base, volume, name)) for name, is_prefix in shown if not is_prefix]
        folder = f"{base}/storage/volumes/{volume.id}/list?prefix="
        prefixes = [
            {"href": folder + quote(name), "prefix": name, "volume": volume.id}
            for name, is_prefix in shown
            if is_prefix
        ]
        links = []
        if len(rest) > limit:
            token = base64.urlsafe_b64encode(f"{volume.id}:{prefix}:{shown[-1][0]}".encode()).decode()
            url = call.url.include_query_params(continuation_token=token)
            links = [{"next": f"{call.origin}{url.path}?{url.query}"}]
        return answer({"href": own_url(call), "items": items, "prefixes": prefixes, "links": links})

    @staticmethod
    def _after(token: str | None, volume: Volume, prefix: str) -> str:
        if token is None:
            return ""
        try:
            text = base64.b64decode(token, b"-_", validate=True).decode()
        except ValueError:
            raise ApiError(57000, "the continuation token is malformed") from None
        start = f"{volume.id}:{prefix}:"
        if not text.startswith(start):
            raise ApiError(57001, "the continuation token does not belong to this listing")
        return text[len(start) :]

    def object(self, call: Call) -> Response:
        volume = self.active(self._named(call))
        location = call.query_params.get("location", "")
        if location not in volume.objects:
            raise ApiError(9105, "no such object on the volume")
        return self.one(call, object_json(self.base(call), volume, location))
