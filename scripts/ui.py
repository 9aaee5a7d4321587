"""``make ui``: Airflow's UI on loopback with the sandbox, both connections and the example DAGs, until Ctrl-C."""

from __future__ import annotations

import argparse
import socket
import subprocess
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
    try:
        with stops_cleanly():
            serve(options.port or usual_or_free(), options.speed)
    except KeyboardInterrupt:
        print("\nEverything has ended.")
    except (RuntimeError, subprocess.CalledProcessError) as error:
        print(f"ui: {error}", file=sys.stderr)
        return 1
    return 0


def serve(port: int, speed: float) -> None:
    """Start everything, say where it is, and wait to be interrupted."""
    HOME.mkdir(parents=True, exist_ok=True)
    with SandboxProcess.run(speed=speed, log=HOME.with_name("ui-sandbox.log")) as sandbox:
        print(f"Sandbox of both services at {sandbox.url}, life cycles {speed:.0f} times faster.")
        print("Starting Airflow, which takes about half a minute …", flush=True)
        # The triggerer looks often here so that a person does not wait; against the services leave it alone.
        settings = {"AIRFLOW_SRC_PROVIDER__POLL_INTERVAL": "3", "CORE__TEST_CONNECTION": "Enabled"}
        with LocalAirflow.run(HOME, sandbox.connections(), port=port, **settings) as airflow:
            dags = ", ".join(airflow.load_examples())
            print(f"\nAirflow:  {airflow.url}\nLogin:    admin / {airflow.password}\nDAGs:     {dags}")
            print(f"Logs:     {HOME.relative_to(ROOT)}/\nCtrl-C ends everything.", flush=True)
            while True:
                time.sleep(3600)


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
