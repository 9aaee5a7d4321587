"""Endpoints of the user, wallet and catalog services."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from ..half import Call
from .answers import Service, json_answer, one, page, query
from .model import KINDS, Flavour, Item, Offering
from .problems import bad_request, forbidden, not_found, service_body
from .render import item_json, moment, offering_json, user_json, wallet_json

Endpoints = list[tuple[str, Callable[[Call], Response], list[str]]]


class UserService(Service):
    """Who the caller is, and what collaborations there are."""

    prefix = "user"

    def endpoints(self) -> Endpoints:
        return [
            ("users/self/", self.self, ["GET"]),
            ("users/cos/{co_id}/", self.co, ["GET"]),
            ("users/tokens/", self.tokens, ["GET"]),
        ]

    def self(self, call: Call) -> Response:
        return json_answer(user_json(self.world, self.user(call)))

    def co(self, call: Call) -> Response:
        """A gate: whether the caller is in the collaboration, and has the role."""
        user, co_id, role = self.user(call), call.path_params["co_id"], one(call, "co_role")
        if co_id not in user.roles or (role is not None and not user.has_role(co_id, role)):
            return json_answer(service_body(401, ["Not a member of this collaboration."]), 401)
        response = json_answer({"id": co_id, "co_name": self.world.cos[co_id].name})
        response.headers["username"] = user.username
        return response

    def tokens(self, call: Call) -> Response:
        user = self.user(call)
        mine = [token for token in self.world.tokens.values() if token.user_id == user.id]
        return json_answer([{"name": token.name, "expires_at": moment(token.expires_at)} for token in mine])


class WalletService(Service):
    """The wallets of the caller's collaborations."""

    prefix = "wallet"

    def endpoints(self) -> Endpoints:
        return [("wallets/", self.listing, ["GET"])]

    def listing(self, call: Call) -> Response:
        mine = set(self.user(call).roles)
        found = [wallet for wallet in self.world.wallets.values() if mine & set(wallet.co_ids)]
        if self.world.switches.wallets_as_page:
            return json_answer(page(self.world, call, found, wallet_json))
        return json_answer([wallet_json(wallet) for wallet in found])


class CatalogService(Service):
    """What a collaboration can launch with the products it pays for."""

    prefix = "application-market"

    def endpoints(self) -> Endpoints:
        return [
            ("catalog_items/offerings/", self.items, ["GET"]),
            ("catalog_items/{id}/offerings/", self.offerings, ["GET"]),
            ("components/{id}/", self.component, ["PUT"]),
            ("components/{id}/versions/{version}/promote/", self.component, ["PUT"]),
        ]

    def items(self, call: Call) -> Response:
        kind = one(call, "type")
        if kind not in (None, *KINDS):
            raise bad_request(f"type: {kind!r} is not a valid choice.")
        co_id = self._co(call)
        found = [
            item for item in self.world.items.values() if kind in (None, item.kind) and self._offered(call, item, co_id)
        ]
        return json_answer(page(self.world, call, found, item_json))

    def offerings(self, call: Call) -> Response:
        item = self.world.items.get(call.path_params["id"])
        if item is None:
            raise not_found(self.world.switches.not_found_form)
        found = self._offered(call, item, self._co(call))
        as_object = self.world.switches.optional_parameters_object
        return json_answer(page(self.world, call, found, lambda each: offering_json(each[0], each[1], as_object)))

    def component(self, call: Call) -> Response:
        if not self.user(call).developer:
            raise forbidden(self.world.switches.forbidden_form, "Only developers can change components.")
        body = call.body_json() or {}
        path = call.path_params
        component = self.world.components.setdefault(path["id"], {"id": path["id"]})
        # A PUT always writes the version under development; promoting makes a version of it.
        component.update({"live_version": path["version"]} if "version" in path else body)
        return json_answer(component)

    def _co(self, call: Call) -> str:
        co_id = one(call, "co")
        if co_id is None:
            raise bad_request("co: This field is required.")
        if co_id not in self.user(call).roles:
            raise bad_request("co: Collaboration does not exist.")
        return co_id

    def _offered(self, call: Call, item: Item, co_id: str) -> list[tuple[Offering, list[Flavour]]]:
        """The item's offerings with the flavours that the products of the query pay for."""
        if item.co_ids is not None and co_id not in item.co_ids:
            return []
        products = set(query(call).get("product", []))
        found = []
        for offering in item.offerings:
            sizes = [each for each in offering.flavours if each.category == "size"]
            paid = [each for each in offering.flavours if each.product is None or each.product in products]
            if products and (not sizes or any(each in paid for each in sizes)):
                found.append((offering, paid))
        return found
