"""Where Dagster keeps runs and events: Postgres if the environment names it, else its own SQLite.

`dagster.yaml` names this, so that webserver, daemon, runs and commands follow one variable.
"""

import os
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from convcg_assets.defs.sqlite_events import SqliteStorage
from convcg_assets.postgres import is_postgres, needed, read_url
from convcg_assets.urls import without_password

VARIABLE = "CONVCG_DAGSTER_STORAGE"
LAST_TABLE = "jobs"
"""Of the tables that Dagster makes in a new database one of the last."""
_LOCK = 6_724_011_310
"""Of Postgres' advisory locks the one that whoever makes Dagster's tables holds."""


class StorageByEnvironment(DagsterStorage, ConfigurableClass):
    """Names the storage in `dagster.yaml`; is never made itself."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Where SQLite's files are, as Dagster has them by default."""
        return DagsterSqliteStorage.config_type()  # type: ignore[return-value]

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterStorage:
        """The storage that the environment names."""
        url = os.environ.get(VARIABLE)
        if not url:
            return SqliteStorage.from_local(inst_data=inst_data, **config_value)
        return open_postgres(url, inst_data=inst_data)


def open_postgres(url: str, *, inst_data: ConfigurableClassData | None = None) -> DagsterStorage:
    """Dagster's storage in a Postgres database, with its tables.

    Raises ValueError where the URL cannot be used, ConnectionError where nobody answers.
    """
    database = read_url(url, store=VARIABLE)
    _check_apart_from_mlflow(database)
    try:
        package = import_module("dagster_postgres")  # Of the extra `postgres`.
        utils = import_module("dagster_postgres.utils")
    except ImportError as error:
        raise ValueError(needed(error, url, store=VARIABLE)) from None
    spoken = database.set(drivername="postgresql+psycopg2")  # The driver that Dagster knows.
    engine = sa.create_engine(spoken, poolclass=sa.NullPool)
    try:
        with utils.create_pg_connection(engine) as connection, connection.begin():
            # Of several that find an empty database one makes the tables, and the others wait.
            if not sa.inspect(connection).has_table(LAST_TABLE):
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            written = spoken.render_as_string(hide_password=False)
            return package.DagsterPostgresStorage(written, inst_data=inst_data)
    except utils.DagsterPostgresException as error:
        said = str(getattr(error.__cause__, "orig", error)).strip()
        raise ConnectionError(f"{VARIABLE} {without_password(url)}: {said}") from None


def _check_apart_from_mlflow(database: sa.URL) -> None:
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not is_postgres(tracking):
        return
    theirs = read_url(tracking, store="MLFLOW_TRACKING_URI")
    if database.set(drivername="any") == theirs.set(drivername="any"):
        raise ValueError(
            f"{VARIABLE} and MLFLOW_TRACKING_URI name one database, and both Dagster and MLflow "
            "keep their version in its table alembic_version: give each a database of its own"
        )
