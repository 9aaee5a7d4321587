"""Runs DAGs in this process and says what became of their tasks; the child process of the test.

Usage: play.py FOLDER_OF_DAGS FD LOG. Each line of the standard input is an order: a DAG and the connections it finds.
Answers are lines of JSON on the file descriptor: first the DAGs that are there, then the states of each run's tasks.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any


def connect(connections: dict[str, dict[str, Any]]) -> None:
    """Put connections into the database, where Airflow encrypts them."""
    from airflow.models import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(Connection))
        for conn_id, fields in connections.items():
            session.add(Connection(conn_id=conn_id, **fields))


def log_all(path: str) -> None:
    """Write what the libraries and the package log past Airflow, which would mask it."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter())
    for name in ("urllib3", "redis", "airflow_src_provider"):
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).addHandler(handler)


def main(folder: str, descriptor: int, log: str) -> None:
    """Do it in the database that the environment names."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    log_all(log)
    bag = DagBag(folder)
    assert not bag.import_errors, bag.import_errors
    with os.fdopen(descriptor, "w") as answers:
        print(json.dumps(sorted(bag.dags)), file=answers, flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            connect(order["connections"])
            run = bag.dags[order["dag"]].test()
            states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
            print(json.dumps(states), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
