"""Serving the sandbox: in a background thread for tests, in the foreground for the command line."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from .app import SandboxApp
from .clock import Clock
from .half import Half
from .journal import Journal
from .seed import check_seed, load_seed
from .seven_bridges import SevenBridgesHalf
from .src import SrcHalf


def _connection(kind: str, host: str, token: str) -> str:
    return json.dumps({"conn_type": kind, "host": host, "password": token})


@dataclass(frozen=True)
class State:
    """Direct access to the services' inside, for tests."""

    halves: Mapping[str, Half]

    @property
    def src(self) -> Any:
        """The SURF Research Cloud half."""
        return self.halves["src"]

    @property
    def sb(self) -> Any:
        """The Seven Bridges half."""
        return self.halves["sb"]


def build_app(clock: Clock, seed: Mapping[str, Any] | str | Path | None = None) -> SandboxApp:
    """Both services, started from ``seed``: a mapping, the path of a JSON or YAML file, or None for the built-in one.

    :raises ValueError: when the seed is wrong.
    """
    journal = Journal(clock)
    halves: dict[str, Half] = {"src": SrcHalf(clock, journal), "sb": SevenBridgesHalf(clock, journal)}
    app = SandboxApp(clock, halves, journal)
    parsed = load_seed(seed) if isinstance(seed, str | Path) else check_seed(seed) if seed is not None else None
    app.reset(parsed)
    return app


def bind(host: str, port: int, allow_remote: bool = False) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    :raises ValueError: when ``host`` is not a loopback address and ``allow_remote`` is false.
    :raises OSError: when the address is in use.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not allow_remote and not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"{host} is not a loopback address; the sandbox has no real protection of its data")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Base URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, app: SandboxApp, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=30,
            )
        )
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, and be done with it: uvicorn would raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def serve_forever(app: SandboxApp, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve in this thread until SIGINT or SIGTERM."""
    _Server(app, on_ready).run(sockets=[listener])


class Sandbox:
    """Both services, served on loopback in a background thread; use it as a context manager::

        with Sandbox() as sandbox:
            requests.get(f"{sandbox.sb_url}/user", headers={"X-SBG-Auth-Token": sandbox.tokens["labuser"]})

    :param port: TCP port on 127.0.0.1, default 0: a free one.
    :param speed: virtual seconds per real second of all life cycles, default 1.0.
    :param stepped: time stands still between calls of :meth:`advance`; default false.
    :param seed: mapping or path of a JSON/YAML file to start from; default the built-in seed.
    :param switches: switches to set at once, as for :meth:`configure`.
    :raises ValueError: when speed, seed or a switch is wrong.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        speed: float = 1.0,
        stepped: bool = False,
        seed: Mapping[str, Any] | str | Path | None = None,
        **switches: Any,
    ) -> None:
        self._port = port
        self.clock = Clock(speed, stepped)
        self.app = build_app(self.clock, seed)
        self.app.configure(switches)
        self.state = State(self.app.halves)
        self._thread: threading.Thread | None = None
        self._server: _Server | None = None
        self._url = ""

    def start(self) -> Sandbox:
        """Begin to serve; returns once requests are answered.

        :raises OSError: when the port is in use.
        """
        listener = bind("127.0.0.1", self._port)
        self._url = url_of(listener)
        ready = threading.Event()
        server = self._server = _Server(self.app, ready.set)
        self._thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the sandbox did not start within 10 s")
        return self

    def stop(self) -> None:
        """Stop serving; open connections are closed."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(5)
            self._server = self._thread = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL without a path, such as ``http://127.0.0.1:40123``."""
        return self._url

    @property
    def sb_url(self) -> str:
        """Base URL of the Seven Bridges API, without a trailing slash."""
        return f"{self._url}/v2"

    @property
    def src_urls(self) -> dict[str, str]:
        """Base URLs of the four SURF Research Cloud services, with a trailing slash."""
        names = {
            "workspace": "workspace",
            "user": "user",
            "wallet": "wallet",
            "catalog": "application-market",
        }
        return {name: f"{self._url}/v1/{path}/" for name, path in names.items()}

    @property
    def tokens(self) -> dict[str, str]:
        """Token by user name, of both services."""
        with self.app.lock:
            return {user: token for half in self.app.halves.values() for user, token in half.tokens().items()}

    def connections(self, src: str = "researcher1", sb: str = "labuser") -> dict[str, str]:
        """Both connections as the environment variables that Airflow reads, under their default ids.

        :param src: user whose token the SURF Research Cloud connection has.
        :param sb: likewise for Seven Bridges.
        :raises KeyError: when there is no such user.
        """
        tokens = self.tokens
        return {
            "AIRFLOW_CONN_SRC_DEFAULT": _connection("surf_research_cloud", f"{self._url}/v1", tokens[src]),
            "AIRFLOW_CONN_SEVEN_BRIDGES_DEFAULT": _connection("seven_bridges", self.sb_url, tokens[sb]),
        }

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        """Requests with a number greater than ``since``, oldest first; see :class:`.journal.Entry`."""
        with self.app.lock:
            return self.app.journal.entries(since)

    def counters(self) -> dict[str, Any]:
        """Requests by service, route and status, refusals and effects; see :meth:`.journal.Journal.counters`."""
        with self.app.lock:
            return self.app.journal.counters()

    def reset(self, seed: Mapping[str, Any] | None = None) -> None:
        """State, budgets, journal and faults as at the beginning; switches and the clock stay.

        :param seed: what to start from; None is the seed used last, an empty one the built-in one.
        :raises ValueError: when the seed is wrong.
        """
        self.app.reset(None if seed is None else check_seed(seed))

    def advance(self, seconds: float) -> None:
        """Move the virtual clock forward and let everything due until then happen."""
        with self.app.lock:
            self.clock.advance(seconds)
            for half in self.app.halves.values():
                half.settle()

    def set_speed(self, speed: float) -> None:
        """Virtual seconds per real second from now on."""
        self.clock.set_speed(speed)

    def configure(self, **switches: Any) -> None:
        """Change switches: ``configure(limit=10)`` on both services, ``configure(sb={"limit": 10})`` on one.

        :raises ValueError: when a switch is unknown or a value does not fit.
        """
        self.app.configure(switches)

    def fault(self, **rule: Any) -> str:
        """Add a rule of faults and return its id; for the fields see :class:`.faults.FaultRule`.

        :raises ValueError: when the rule makes no sense.
        """
        with self.app.lock:
            return self.app.faults.add(rule)

    def clear_faults(self) -> None:
        """Remove all rules of faults."""
        with self.app.lock:
            self.app.faults.clear()
