"""Reading an Airflow connection field by field, and saying clearly what cannot be used.

A connection reaches a hook from the form, from a URI (where every value is text), or from JSON (where numbers are
numbers), so each field accepts both. All problems of a connection are reported together.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow.sdk.log import mask_secret

from airflow_src_provider.client.errors import on_one_line
from airflow_src_provider.client.redaction import (
    HIDDEN,
    SHORTEST_IN_DATA,
    Secret,
    check_base_url,
    check_token,
    spellings,
)
from airflow_src_provider.exceptions import InvalidInputError, InvalidInputsError

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


#: Longer words are no words, but may be a token, a key or a password.
LONGEST_WORD = 20
_WORD = re.compile(r"[\w+-]+")


class ConnectionFields:
    """The fields of one connection.

    Each reading method returns the value, or its default when the field is absent, null or empty. An unusable value is
    remembered for :meth:`check` and the default returned, so that one look finds every problem.

    :param connection: the connection.
    :param known: names that ``extra`` may hold; others are warned about, since they are most likely misspelt.
    """

    def __init__(self, connection: Connection, known: Iterable[str]) -> None:
        self._connection = connection
        self._problems: list[InvalidInputError] = []
        self._extra = self._read_extra()
        self._known = sorted(known)

    def check(self) -> None:
        """Warn about fields that mean nothing, and raise what was found.

        :raises InvalidInputError: one field is unusable.
        :raises InvalidInputsError: several are.
        """
        if unknown := sorted(set(self._extra) - set(self._known)):
            log.warning(
                "Connection %r has fields in extra that mean nothing here: %s. Known are: %s.",
                self._connection.conn_id,
                ", ".join(HIDDEN if _may_be_secret(name) else on_one_line(name) for name in unknown),
                ", ".join(self._known),
            )
        if len(self._problems) == 1:
            raise self._problems[0]
        if self._problems:
            raise InvalidInputsError(self._problems)

    def refuse(self, name: str, value: object, allowed: str) -> None:
        """Remember that a field is unusable. ``value`` is shown, unless it may be a secret in the wrong field."""
        if self._holds_token(value) or _may_be_secret(value):
            value = HIDDEN
        self._problems.append(InvalidInputError(f"connection {self._connection.conn_id!r}: {name}", value, allowed))

    def token(self) -> str:
        """Return the token, the connection's password, and have Airflow mask it from now on."""
        raw = self._connection.password or ""
        if "\n" in raw or "\r" in raw:
            self.refuse("password", HIDDEN, "the API token alone, on one line; it has a line break in it")
            return ""
        try:
            token = check_token(raw)
        except InvalidInputError as error:
            self.refuse("password", error.value, error.allowed)
            return ""
        mask_secret([*spellings(token)])
        return token

    def _holds_token(self, value: object) -> bool:
        token = (self._connection.password or "").strip().lower()
        return len(token) >= SHORTEST_IN_DATA and token in str(value).lower()

    def base_url(self, default_path: str) -> str | None:
        """Return the API's base URL from host, port and schema, into which Airflow splits a URL of a connection URI.

        :param default_path: path of a URL that has none.
        :return: the URL with a slash at its end, or ``None`` when the connection has no host.
        """
        host = (self._connection.host or "").strip()
        if not host:
            return None
        url = (host if "://" in host else f"https://{host}").rstrip("/")
        if self._connection.port:
            url = f"{url}:{self._connection.port}"
        if self._connection.schema:
            url = f"{url}/{self._connection.schema.strip('/')}"
        if self._holds_token(url):
            self.refuse("host", HIDDEN, "the address of the service, or nothing; it holds the token")
            return None
        try:
            checked = check_base_url(url)
        except InvalidInputError as error:
            self.refuse("host", error.value, error.allowed)
            return None
        return checked if urlsplit(checked).path.strip("/") else f"{checked}{default_path.strip('/')}/"

    def url(self, name: str) -> str | None:
        """Return a field that is a base URL of its own."""
        raw = self.text(name)
        if not raw:
            return None
        try:
            return check_base_url(raw)
        except InvalidInputError as error:
            self.refuse(name, error.value, error.allowed)
            return None

    def private_url(self, name: str, schemes: tuple[str, ...], default: str = "") -> str:
        """Return a URL that may hold a password: it is masked, and never shown in full."""
        raw = self.text(name) or default
        if not raw:
            return ""
        try:
            parts = urlsplit(raw)
            password, usable = parts.password, parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            password, usable = None, False
        if not usable:
            self.refuse(name, HIDDEN, f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
            return ""
        if password:
            pair = f"{unquote(parts.username or '')}:{unquote(password)}"
            mask_secret([password, *spellings(unquote(password)), base64.b64encode(pair.encode()).decode()])
        return Secret(raw)

    def text(self, name: str) -> str:
        """Return a text field, without surrounding white space."""
        raw = self._extra.get(name)
        if raw is None:
            return ""
        if not isinstance(raw, str):
            self.refuse(name, f"a {type(raw).__name__}", "text")
            return ""
        if self._holds_token(raw):
            self.refuse(name, HIDDEN, "something else than the token, which belongs into password only")
            return ""
        return raw.strip()

    def choice(self, name: str, choices: Iterable[str]) -> str:
        """Return one of several words; empty when the field is."""
        value = self.text(name)
        choices = list(choices)
        if value and value not in choices:
            self.refuse(name, value, f"one of {', '.join(choices)}")
            return ""
        return value

    def number(self, name: str, default: float, *, above: float = 0.0, at_most: float = 86400.0) -> float:
        """Return a number greater than ``above`` and not greater than ``at_most``."""
        raw = self._extra.get(name)
        if raw is None or raw == "":
            return default
        try:
            value = math.nan if isinstance(raw, bool) else float(raw)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not above < value <= at_most:
            self.refuse(name, raw, f"a number above {above:g} and at most {at_most:g}")
            return default
        return value

    def count(self, name: str, default: int) -> int:
        """Return a whole number, 1 or more."""
        value = self.number(name, default, at_most=1e9)
        if value != int(value) or value < 1:
            self.refuse(name, self._extra.get(name), "a whole number, 1 or more")
            return default
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return a yes or no, given as a boolean or as a word."""
        raw = self._extra.get(name)
        if raw is None or raw == "":
            return default
        value = raw if isinstance(raw, bool) else WORDS.get(str(raw).strip().lower())
        if value is None:
            self.refuse(name, raw, "true or false")
            return default
        return value

    def file(self, name: str) -> str:
        """Return the path of a file that exists on this machine."""
        path = self.text(name)
        try:
            is_there = Path(path).is_file()
        except OSError:
            # Too long for a name of a file.
            is_there = False
        if path and not is_there:
            self.refuse(name, path, "the path of a file that exists on every machine that runs Airflow")
        return path

    def day(self, name: str) -> date | None:
        """Return a date, given as a date or as a date with a time."""
        raw = self.text(name)
        if not raw:
            return None
        try:
            return datetime.fromisoformat(raw).date()
        except ValueError:
            self.refuse(name, raw, "a date such as 2027-01-31")
            return None

    def _read_extra(self) -> dict[str, Any]:
        # Connection.extra_dejson takes broken JSON for an empty one, and would drop every setting in silence.
        raw = self._connection.extra
        if not raw:
            return {}
        try:
            extra = json.loads(raw)
        except (ValueError, RecursionError) as error:
            where = f" ({error.msg} at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
            self.refuse("extra", HIDDEN, f"a JSON object; this is not JSON{where}")
            return {}
        if not isinstance(extra, dict):
            self.refuse("extra", f"a {type(extra).__name__}", "a JSON object")
            return {}
        mask_secret(extra)
        return extra


def _may_be_secret(value: object) -> bool:
    """Tell whether a value, typed into the wrong field, may be a credential."""
    if value is None or isinstance(value, bool):
        return False
    shown = str(value)
    # What stands before @ is a user with a password, what follows ? or = may be a token, however short.
    return bool(set(shown) & set("@?=")) or any(len(word) > LONGEST_WORD for word in _WORD.findall(shown))
