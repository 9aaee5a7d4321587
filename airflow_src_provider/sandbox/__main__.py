"""Command line: ``python -m airflow_src_provider.sandbox``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from .clock import Clock
from .server import bind, build_app, serve_forever, url_of


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_src_provider.sandbox",
        description="A local double of SURF Research Cloud and Seven Bridges. Prints `ready URL` once it serves.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8900, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per second (default: %(default)s)")
    parser.add_argument("--stepped", action="store_true", help="time moves only by POST /_sandbox/clock")
    parser.add_argument("--seed", metavar="FILE", help="JSON or YAML file to start from instead of the built-in seed")
    parser.add_argument("--no-limits", action="store_true", help="no request budgets")
    parser.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="[SERVICE.]NAME=VALUE",
        help="set a switch, such as sb.limit=10; may be repeated",
    )
    parser.add_argument("--allow-remote", action="store_true", help="permit a --host that is not loopback")
    return parser


def _switches(settings: Sequence[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--switch needs NAME=VALUE, got {setting!r}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        service, dot, switch = name.partition(".")
        if dot:
            changes.setdefault(service, {})[switch] = value
        else:
            changes[name] = value
    return changes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox until SIGINT or SIGTERM; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        app = build_app(Clock(options.speed, options.stepped), options.seed)
        app.configure(_switches(options.switch) | ({"limits": False} if options.no_limits else {}))
        listener = bind(options.host, options.port, options.allow_remote)
    except (ValueError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    serve_forever(app, listener, lambda: print(f"ready {url_of(listener)}", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
