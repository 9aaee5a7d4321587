"""Keeping the token where it belongs: in one header, to one set of origins, in no message."""

from __future__ import annotations

import html
import ipaddress
import json
import re
from collections.abc import Iterable
from html.entities import codepoint2name
from urllib.parse import quote, quote_plus, urlsplit

import requests

from airflow_src_provider.client.prepare import origin
from airflow_src_provider.exceptions import InvalidInputError

HIDDEN = "***"
#: A shorter text may be a part of any answer, so it is taken out of texts for people only, not out of data.
SHORTEST_IN_DATA = 8
LONGEST_HOST_LABEL = 20


class Secret(str):
    """A text that hides where local variables are shown, such as in the reports of crashes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN


def spellings(secret: str) -> list[str]:
    """Return a secret as it may stand in a log line: as it is, and as it is written in URLs, HTML, JSON and Python."""
    found = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret)]
    found += [html.escape(secret), html.escape(secret, quote=False), json.dumps(secret)[1:-1], repr(str(secret))[1:-1]]
    return list(dict.fromkeys(map(str, found)))


def without_credentials(text: str) -> str:
    """Take user and password of every URL out of a text, also of one that is no proper URL."""
    return re.sub(r"\S+@", f"{HIDDEN}@", text)


def _pattern(secret: str) -> str:
    return "".join(c if c.isalnum() else _spelt(c) for c in secret)


def _spelt(char: str) -> str:
    # Each character by itself, because a text may be JSON within HTML, or half of a URL. Every repetition is bounded:
    # the text is a stranger's, and may be a hundred megabytes of backslashes.
    code = ord(char)
    names = [name for name in (codepoint2name.get(code), f"#0{{0,6}}{code}", f"#x0{{0,6}}{code:x}") if name]
    ways = [f"%(?:25){{0,3}}{code:02x}", rf"\\{{1,8}}u00{code:02x}", rf"\\{{1,8}}x{code:02x}"]
    ways += [f"&(?:amp;){{0,3}}{name};" for name in names]
    ways += [r"\+"] if char == " " else []
    # The character itself last: & is also the beginning of &amp;.
    return f"(?i:{'|'.join(ways)}|\\\\{{0,8}}{re.escape(char)})"


def check_token(token: object) -> str:
    """Return the token without surrounding white space; it does not show itself in tracebacks.

    :raises InvalidInputError: it is no text, empty, or holds a character that cannot stand in a header.
    """
    if not isinstance(token, str) or not token.strip():
        raise InvalidInputError("password", "", "the API token; it is empty")
    token = token.strip()
    if any(ord(c) < 32 or ord(c) > 126 for c in token):
        raise InvalidInputError(
            "password", HIDDEN, "an API token of printable ASCII characters on one line; it holds another character"
        )
    return Secret(token)


def check_base_url(url: object, name: str = "") -> str:
    """Return the base URL with a slash at its end.

    :raises InvalidInputError: it is not https (http is allowed to a loopback address only), or has a user, query or
        fragment in it, or looks like a token that was put into the wrong field.
    """
    parameter = f"{name}_url" if name else "host"
    allowed = "an https:// URL (http:// only to a loopback address) without user, query or fragment"
    # What stands before @ or after ? may be a secret.
    shown = HIDDEN if isinstance(url, str) and set(url) & set("@?") else url
    if not isinstance(url, str) or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise InvalidInputError(parameter, shown, allowed)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInputError(parameter, shown, allowed) from None
    if parts.username or parts.password:
        raise InvalidInputError(parameter, shown, allowed)
    if host and len(host) > LONGEST_HOST_LABEL and not set(host) & set(".:"):
        # Looking up such a host would tell the token to everybody on the way.
        raise InvalidInputError(parameter, HIDDEN, f"{allowed}; this looks like a token, which belongs into password")
    if not host or parts.query or parts.fragment or parts.scheme not in ("https", "http"):
        raise InvalidInputError(parameter, shown, allowed)
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidInputError(parameter, shown, allowed)
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
        self._origins = frozenset(origins)
        self._known: list[str] = []
        self.replace(token)

    def __repr__(self) -> str:
        return f"<TokenAuth {self._header}: {HIDDEN}>"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if origin(request.url or "") in self._origins:
            request.headers[self._header] = self._token
        return request

    def renew(self, request: requests.PreparedRequest) -> bool:
        """Put the token in use into a request again; return whether it carried another one."""
        before = request.headers.get(self._header)
        return self(request).headers.get(self._header) != before

    def holds(self, token: str) -> bool:
        """Return whether this is the token in use."""
        return token == self._token

    def replace(self, token: str) -> None:
        """Use another token from now on."""
        self._token = Secret(token)
        self._known.append(self._token)
        # The longest first, should one be the beginning of another.
        known = sorted(self._known, key=len, reverse=True)
        in_data = [secret for secret in known if len(secret) >= SHORTEST_IN_DATA]
        # Kept as functions, because a pattern shows itself.
        self._replace_in_text = re.compile("|".join(map(_pattern, known))).sub
        self._replace_in_data = re.compile("|".join(map(_pattern, in_data)).encode()).sub if in_data else None

    def clean(self, text: str) -> str:
        """Remove the token, and those used before, from a text that the server sent."""
        return self._replace_in_text(HIDDEN, text)

    def clean_data(self, body: bytes) -> bytes:
        """Remove them from the body of a success, which goes on into results; it is data, so short ones stay."""
        return self._replace_in_data(HIDDEN.encode(), body) if self._replace_in_data else body
