"""MLflow's store, new or not: whoever comes first makes its tables, and the others wait.

MLflow itself does not see to that: of several processes that find an empty database one succeeds.
What is tracked belongs to `tracking.py` and `registry.py`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from convcg_assets.postgres import is_postgres, make_engine

EXPERIMENT = "convcg"
_LOCK = 6_724_011_309
"""Of Postgres' advisory locks the one that whoever makes MLflow's tables holds."""


def open_client(tracking_uri: str) -> Any:
    """MLflow's client of a store that has its tables.

    Raises ValueError where the URI cannot be used, ConnectionError where nobody answers.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    _make_tables(tracking_uri)
    return MlflowClient(tracking_uri=tracking_uri)


def open_experiment(client: Any, *, tracking_uri: str, artifacts: str) -> str:
    """The id of the experiment that all runs are of; made where it is not there."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        with _alone(tracking_uri):
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                return client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    return found.experiment_id


@cache
def _make_tables(tracking_uri: str) -> None:
    from mlflow import MlflowClient

    with _alone(tracking_uri):
        MlflowClient(tracking_uri=tracking_uri).get_experiment_by_name(EXPERIMENT)


@contextmanager
def _alone(tracking_uri: str) -> Iterator[None]:
    """Hold what one process at a time can hold; of a server, which sees to it itself, nothing."""
    if is_postgres(tracking_uri):
        engine = make_engine(tracking_uri, store="MLFLOW_TRACKING_URI", poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield
    elif tracking_uri.startswith("sqlite:///"):
        folder = Path(tracking_uri.removeprefix("sqlite:///")).parent
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
        finally:
            os.close(held)
    else:
        yield
