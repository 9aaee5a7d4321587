"""``make ui``: Airflow's UI on loopback with the sandbox, both connections and the example DAGs, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
import time

from local_airflow import ROOT, LocalAirflow, SandboxProcess, free_port, stops_cleanly

HOME = ROOT / ".airflow" / "ui"
USUAL_PORT = 8080


def main() -> int:
    """Run until Ctrl-C or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.replace("`", ""))
    parser.add_argument("--port", type=int, help=f"port of the UI; default {USUAL_PORT}, or a free one")
    parser.add_argument("--speed", type=float, default=20.0, help="how much faster life cycles go; default 20")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt), stops_cleanly():
        log = HOME.with_name("ui-sandbox.log")
        with SandboxProcess.run(speed=options.speed, log=log) as sandbox:
            print(f"Sandbox of both services at {sandbox.url}, life cycles {options.speed:.0f} times faster.")
            print("Starting Airflow, which takes about half a minute …", flush=True)
            port = options.port or usual_or_free()
            # A triggerer asks often here so that a person does not wait; against the services leave it alone.
            settings = {"AIRFLOW_SRC_PROVIDER__POLL_INTERVAL": "3", "CORE__TEST_CONNECTION": "Enabled"}
            with LocalAirflow.run(HOME, sandbox.connections(), port=port, **settings) as airflow:
                print(f"\nAirflow:  {airflow.url}\nLogin:    admin / {airflow.password}")
                print(
                    f"Logs:     {HOME.relative_to(ROOT)}/\nTry the DAG rnaseq_cohort. Ctrl-C ends everything.",
                    flush=True,
                )
                while True:
                    time.sleep(3600)
    print("\nEverything has ended.")
    return 0


def usual_or_free() -> int:
    """Return the port that people expect, unless somebody has it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return free_port()
    return USUAL_PORT


if __name__ == "__main__":
    sys.exit(main())
