"""A sandbox with planted tokens, and an Airflow of its own that runs DAGs against it and writes down all it can."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from airflow_src_provider.sandbox import Sandbox
from airflow_src_provider.sandbox.src.seed import DEFAULT_SEED as SRC_SEED
from scripts.local_airflow import airflow_environment, end

HERE = Path(__file__).parent
FERNET_KEY = base64.urlsafe_b64encode(b"a key for tests, of 32 bytes ...").decode()

#: What a header can carry, and what logs, URLs, HTML and JSON write in other ways.
SB_TOKEN = 'Plnt3d/"sb"\\+<&\'%25> 7f1c 9a-Qz'
SB_NEXT_TOKEN = "N3xt~sb|{token}^`;=?# 52e0 b1-Wv"
#: As the services make them.
SRC_TOKEN = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SRC_NEXT_TOKEN = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
TOKENS = [SB_TOKEN, SB_NEXT_TOKEN, SRC_TOKEN, SRC_NEXT_TOKEN]


def seed() -> dict[str, Any]:
    """Return a small world whose users have the planted tokens; each service knows both of them."""
    src = copy.deepcopy(SRC_SEED)
    src["users"][0]["token"] = SRC_TOKEN
    rights = {"nextuser": ["read", "copy", "write", "execute", "admin"]}
    users = {"labuser": SB_TOKEN, "nextuser": SB_NEXT_TOKEN}
    sb = {
        "users": {name: {"token": token, "first_name": "Lab", "last_name": name} for name, token in users.items()},
        "projects": [
            {"id": "labuser/cohort", "name": "Cohort", "fastq": {"samples": 2, "metadata": True}, "members": rights},
            {"id": "labuser/results", "name": "Results", "members": rights},
            {"id": "labuser/imported", "name": "Imported", "members": rights},
        ],
        "volumes": [
            {
                "id": "labuser/bucket",
                "service": {"type": "s3", "bucket": "lab", "prefix": "", "endpoint": "s3.amazonaws.com"},
                "fastq": {"samples": 2, "prefix": "run1/"},
            }
        ],
        "apps": [
            {
                "id": "labuser/cohort/salmon",
                "name": "Salmon",
                "step": "salmon",
                "inputs": {"reads": "File[]"},
                "outputs": {"quant": "{stem}.quant.sf"},
            }
        ],
    }
    return {"sb": sb, "src": src}


def connections(sandbox: Sandbox, sb: str = SB_TOKEN, src: str = SRC_TOKEN) -> dict[str, dict[str, Any]]:
    """Return the fields of both connections."""
    more = {"extra": json.dumps({"rate_limit": 100_000, "read_timeout": 5, "max_wait": 3})}
    return {
        "seven_bridges_default": {"conn_type": "seven_bridges", "host": sandbox.sb_url, "password": sb, **more},
        "src_default": {"conn_type": "surf_research_cloud", "host": f"{sandbox.url}/v1", "password": src, **more},
    }


class Player:
    """An Airflow in a process of its own, with everything switched on that writes down what happens.

    :param folder: for its home, logs, lineage and the budget.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.output = folder / "output.log"
        self.raw = folder / "raw.log"
        self.database = f"sqlite:///{self.home}/airflow.db"
        bundle = {
            "name": "secrets",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(HERE / "dags")},
        }
        lineage = {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
        self._env = airflow_environment(
            self.home,
            AIRFLOW_SRC_PROVIDER__BUDGET_DIR=str(folder / "budget"),
            CORE__FERNET_KEY=FERNET_KEY,
            CORE__DAGS_FOLDER=str(HERE / "dags"),
            DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps([bundle]),
            LOGGING__NAMESPACE_LEVELS="airflow=DEBUG task=DEBUG",
            OPENLINEAGE__TRANSPORT=json.dumps(lineage),
            OPENLINEAGE__NAMESPACE="secrets",
        ) | {"PYTHONFAULTHANDLER": "1", "TMPDIR": str(folder), "PYTHONPATH": str(HERE.parents[1])}

    def __enter__(self) -> Self:
        answers, answers_of_child = os.pipe()
        with self.output.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "play.py"), str(HERE / "dags"), str(answers_of_child), str(self.raw)],
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[answers_of_child],
                start_new_session=True,
                text=True,
            )
        os.close(answers_of_child)
        self._answers = os.fdopen(answers)
        self.dags = json.loads(self._answer())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        # Its work is done and said; how it ends is of no interest.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        end(self._process)
        self._answers.close()

    def _answer(self) -> str:
        line = self._answers.readline()
        assert line, f"it ended by itself:\n{self.output.read_text()[-3000:]}"
        return line

    def run(self, dag: str, given: Mapping[str, Any]) -> dict[str, str]:
        """Run a DAG with these connections and return the states of its tasks."""
        assert self._process.stdin is not None
        print(json.dumps({"dag": dag, "connections": given}), file=self._process.stdin, flush=True)
        states: dict[str, str] = json.loads(self._answer())
        return states
