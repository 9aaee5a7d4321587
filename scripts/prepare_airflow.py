"""Make Airflow's database and put the connections of the environment into it, where the UI shows them."""

from __future__ import annotations

import json
import os

PREFIX = "AIRFLOW_CONN_"


def main() -> None:
    """Do it in the database that the environment names."""
    from airflow.models import Connection
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        for name, value in os.environ.items():
            if name.startswith(PREFIX):
                fields = json.loads(value)
                conn_id = name.removeprefix(PREFIX).lower()
                session.add(Connection(conn_id=conn_id, **fields))


if __name__ == "__main__":
    main()
