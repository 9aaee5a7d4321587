"""Looking for secrets in everything that a run leaves behind, in every form in which one might be written down."""

from __future__ import annotations

import base64
import html
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psutil
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, inspect, text

PIECE = 12
#: Characters before a find that are told with it.
CONTEXT = 120
FERNET_BEGINS = "gAAAAA"
#: Where the secrets themselves are kept: encrypted, and looked into for that.
KEPT_IN = "connection"


class Search:
    """Looks for secrets.

    :param secrets: what must not be found.
    :param fernet_key: opens what Airflow has encrypted, to look into that as well.
    """

    def __init__(self, secrets: Iterable[str], fernet_key: str = "") -> None:
        self._forms = {form: name for secret in secrets for form, name in forms(secret).items()}
        self._fernet = Fernet(fernet_key) if fernet_key else None
        #: How much has been looked through, by kind of place: a search in nothing finds nothing.
        self.looked_at: dict[str, int] = {}

    def inside(self, content: bytes | str, where: str) -> list[str]:
        """Return the forms that are in a text, each with the place and with what stands before it."""
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        return [f"{where}: {name}, {self._context(data, form)}" for form, name in self._forms.items() if form in data]

    def _context(self, data: bytes, form: bytes) -> str:
        before = data[: data.index(form)][-CONTEXT:]
        for other in sorted(self._forms, key=len, reverse=True):
            before = before.replace(other, b"***")
        return f"after {before.decode('utf-8', 'replace')!r}"

    def in_text(self, content: bytes | str, where: str) -> list[str]:
        self._count("texts")
        return self.inside(content, where)

    def in_files(self, folder: Path, except_for: Collection[str] = ()) -> list[str]:
        """Search the names and contents of all files of a folder.

        :param except_for: names of files that hold the secrets for good reason.
        """
        found = []
        for path in sorted(folder.rglob("*")):
            found += self.inside(str(path.relative_to(folder)), "the name of a file")
            if path.is_file() and path.name not in except_for:
                self._count("files")
                found += self.inside(path.read_bytes(), str(path.relative_to(folder)))
        return found

    def in_database(self, url: str) -> list[str]:
        """Search every column of every table; what is encrypted is decrypted, except for the connections."""
        found = []
        engine = create_engine(url)
        with engine.connect() as connection:
            for table in inspect(connection).get_table_names():
                for row in connection.execute(text(f'select * from "{table}"')).mappings():
                    self._count(f"rows of {table}")
                    for column, value in row.items():
                        found += self._in_value(value, f"{table}.{column}", decrypt=table != KEPT_IN)
        engine.dispose()
        return found

    def _in_value(self, value: Any, where: str, decrypt: bool) -> list[str]:
        data = value if isinstance(value, bytes) else bytes(value) if isinstance(value, memoryview) else _text(value)
        if isinstance(data, str) and data.startswith(FERNET_BEGINS) and decrypt:
            assert self._fernet is not None, f"{where} is encrypted and cannot be looked into"
            self._count("encrypted values")
            data = self._fernet.decrypt(data)
        return self.inside(data, where)

    def in_redis(self, client: Any, pattern: str = "*") -> list[str]:
        """Search the names and values of keys."""
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"set": client.smembers,
            b"hash": client.hgetall,
        }
        found = []
        for key in client.scan_iter(pattern, count=1000):
            self._count("keys")
            kind = client.type(key)
            value = read[kind](key) if kind in read else b""
            found += self.inside(key, "the name of a key") + self.inside(repr(value), f"key {key!r}")
        return found

    def _count(self, what: str) -> None:
        self.looked_at[what] = self.looked_at.get(what, 0) + 1


class Processes:
    """Notes the command lines of processes from time to time, as ``ps`` shows them to everybody on the machine.

    :param which: the processes that are looked at; default: this one's children and theirs.
    """

    def __init__(self, which: Callable[[], Iterable[psutil.Process]] | None = None, every: float = 0.2) -> None:
        self._which = which or (lambda: psutil.Process().children(recursive=True))
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: set[str] = set()

    def look(self) -> None:
        for process in self._which():
            try:
                self.seen.add("\0".join([process.name(), *process.cmdline()]))
            except psutil.Error:
                continue

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.look()

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)


def forms(secret: str) -> dict[bytes, str]:
    """Return what to look for, with a name for each that does not show the secret."""
    escaped = json.dumps(secret)[1:-1]
    written = {
        "as it is": secret,
        "in a URL": quote(secret, safe=""),
        "in a path": quote(secret),
        "in a query": quote_plus(secret),
        "in HTML": html.escape(secret),
        "in JSON": escaped,
        "in JSON with escaped slashes": escaped.replace("/", "\\/"),
        "in JSON within JSON": json.dumps(escaped)[1:-1],
        "as a literal": repr(secret)[1:-1],
        "as a literal within JSON": json.dumps(repr(secret)[1:-1])[1:-1],
        "in hexadecimal": secret.encode().hex(),
        "in a URL, in lower case": _lower_escapes(quote(secret, safe="")),
    }
    found = {form.encode(): name for name, form in reversed(written.items())}
    found |= dict.fromkeys(_in_base64(secret.encode()), "in base64")
    for name, piece in (("its beginning", secret[:PIECE]), ("its end", secret[-PIECE:])):
        for form in (piece, quote(piece, safe=""), json.dumps(piece)[1:-1]):
            found.setdefault(form.encode(), name)
    return found


def _lower_escapes(url: str) -> str:
    first, *others = url.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in others)])


def _in_base64(secret: bytes) -> Iterator[bytes]:
    # Encoded together with something before it, such as "user:", it looks different; there are three ways.
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * before + secret).rstrip(b"=")
            # Characters that are not of the secret alone are left out at both ends.
            yield encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
