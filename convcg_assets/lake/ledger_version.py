"""The version of the ledger's tables: an older ledger is brought up to date when it is opened.

What changes from one version to the next belongs to `migrations/`, run by Alembic, which MLflow and
Dagster bring along.
"""

import threading
from pathlib import Path

import sqlalchemy as sa

from convcg_assets.urls import without_password

NEWEST = "0002"
"""The version that this release reads and writes."""
VERSION_TABLE = "ledger_version"
MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 6_724_011_308
"""Of Postgres' advisory locks the one that whoever migrates a ledger holds."""
_one_at_a_time = threading.Lock()


def bring_up_to_date(reading: sa.Engine, writing: sa.Engine) -> None:
    """Give a database the tables of the newest version, in one transaction, whoever else tries.

    Raises ValueError, and changes nothing, where a newer release has written there.
    """
    with reading.connect() as connection:
        if _is_newest(connection):
            return
    with _one_at_a_time, writing.begin() as connection:
        if connection.dialect.name == "postgresql":  # On SQLite the transaction itself is the lock.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if not _is_newest(connection):
            _migrate(connection)


def _is_newest(connection: sa.Connection) -> bool:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return False  # A new ledger, or one of a release that kept no version.
    found = connection.execute(sa.text(f"SELECT max(version_num) FROM {VERSION_TABLE}")).scalar()
    if found is not None and found > NEWEST:
        url = without_password(connection.engine.url.render_as_string(hide_password=True))
        raise ValueError(
            f"ledger {url}: a newer release of convcg has written it (version {found}, this "
            f"release knows those up to {NEWEST}). Install that release again, or name another "
            "ledger in CONVCG_LEDGER"
        )
    return found == NEWEST


def _migrate(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
