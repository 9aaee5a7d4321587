"""Keeping the token where it belongs: in one header, to one set of origins, in no message."""

from __future__ import annotations

import html
import ipaddress
import json
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

import requests

from airflow_src_provider.exceptions import InvalidInputError

HIDDEN = "***"


def check_token(token: object) -> str:
    """Return the token without surrounding white space.

    :raises InvalidInputError: it is no text, empty, or holds a character that cannot stand in a header.
    """
    if not isinstance(token, str) or not token.strip():
        raise InvalidInputError("password", "", "the API token; it is empty")
    token = token.strip()
    if any(ord(c) < 32 or ord(c) > 126 for c in token):
        raise InvalidInputError(
            "password", HIDDEN, "an API token of printable ASCII characters on one line; it holds another character"
        )
    return token


def check_base_url(url: object, name: str = "") -> str:
    """Return the base URL with a slash at its end.

    :raises InvalidInputError: it is not https (http is allowed to a loopback address only), or has a user, query or
        fragment in it.
    """
    parameter = f"{name}_url" if name else "host"
    allowed = "an https:// URL (http:// only to a loopback address) without user, query or fragment"
    if not isinstance(url, str) or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise InvalidInputError(parameter, url, allowed)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInputError(parameter, url, allowed) from None
    if parts.username or parts.password:
        raise InvalidInputError(parameter, HIDDEN, allowed)
    if not host or parts.query or parts.fragment or parts.scheme not in ("https", "http"):
        raise InvalidInputError(parameter, url, allowed)
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidInputError(parameter, url, allowed)
    return url.rstrip("/") + "/"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class TokenAuth(requests.auth.AuthBase):
    """Puts the token into its header, for requests to the configured origins only.

    :param header: name of the header.
    :param token: the token.
    :param origins: scheme, host and port of each base URL.
    """

    def __init__(self, header: str, token: str, origins: Iterable[str]) -> None:
        self._header = header
        self._tokens = [token]
        self._origins = frozenset(origins)

    def __repr__(self) -> str:
        return f"<TokenAuth {self._header}: {HIDDEN}>"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(request.url or "")
        if f"{parts.scheme}://{parts.netloc}".lower() in self._origins:
            request.headers[self._header] = self._tokens[-1]
        return request

    def renew(self, request: requests.PreparedRequest) -> bool:
        """Put the token in use into a request again; return whether it carried another one."""
        before = request.headers.get(self._header)
        return self(request).headers.get(self._header) != before

    def holds(self, token: str) -> bool:
        """Return whether this is the token in use."""
        return token == self._tokens[-1]

    def replace(self, token: str) -> None:
        """Use another token from now on."""
        self._tokens.append(token)

    def clean(self, text: str) -> str:
        """Remove the token, and those used before, from a text that the server sent."""
        for token in self._tokens:
            for form in {token, quote(token, safe=""), html.escape(token), json.dumps(token)[1:-1]}:
                text = text.replace(form, HIDDEN)
        return text
