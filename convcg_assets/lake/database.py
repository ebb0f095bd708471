"""The database that the ledger is in, by an SQLAlchemy URL: SQLite, or Postgres.

Which tables it has belongs to `ledger_tables.py` and `migrations/`.
"""

import os
import sqlite3
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from convcg_assets.lake.ledger_version import bring_up_to_date
from convcg_assets.postgres import KNOWN, is_postgres, make_engine
from convcg_assets.urls import without_password

MAX_SWITCH_ATTEMPTS = 200
"""The first connections of all switch a new database to another journal, one after the other."""
RESTART_S = 30
"""So long a server of Postgres that has answered before is waited for."""


@dataclass(frozen=True)
class Database:
    """Two ways into one database; both share its connections."""

    reading: sa.Engine
    """Transactions that see all tables as of one moment."""
    writing: sa.Engine
    """Transactions that may write; on SQLite one at a time, the others wait."""

    def close(self) -> None:
        """Let go of connections that are kept; used again, it opens new ones."""
        self.writing.dispose()


@cache
def open_database(url: str) -> Database:
    """The database at a URL, with the tables of this release; one per process.

    Raises ValueError where the URL or what is there cannot be used, ConnectionError where nobody
    answers. No error says the password.
    """
    if url.startswith("sqlite"):
        database = _open_sqlite(url)
    elif is_postgres(url):
        database = _open_postgres(url)
    else:
        raise ValueError(
            f"ledger {without_password(url)}: a URL of sqlite:///FILE or {KNOWN} is known"
        )
    bring_up_to_date(database.reading, database.writing)
    return database


def _open_sqlite(url: str) -> Database:
    # No connection outlives its use: a forked run process must not share one.
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": 60})
    sa.event.listen(engine, "connect", _wait_instead_of_failing)
    reading = engine.execution_options(begin="BEGIN")
    # Who reads before it writes would fail, and not wait, where another has written in between.
    writing = engine.execution_options(begin="BEGIN IMMEDIATE")
    for one in (reading, writing):
        sa.event.listen(one, "begin", _begin)
    return Database(reading, writing)


def _wait_instead_of_failing(connection: Any, _record: Any) -> None:
    """Readers and one writer at once; a commit survives a crash of the process."""
    connection.isolation_level = None  # Transactions begin where `_begin` says.
    cursor = connection.cursor()
    for attempt in range(1, MAX_SWITCH_ATTEMPTS + 1):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError:  # Of all that SQLite does, this alone does not wait.
            if attempt == MAX_SWITCH_ATTEMPTS:
                raise
            time.sleep(0.05)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()["begin"])


def _open_postgres(url: str) -> Database:
    # A process keeps one connection, and opens more where threads need them; one that a restart of
    # the server broke is replaced.
    engine = make_engine(url, store="ledger", pool_size=1, pool_pre_ping=True)
    _wait_for_restarts(engine)
    # A forked process must not write to the connections of the one that it came from.
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Database(reading, engine)


def _wait_for_restarts(engine: sa.Engine) -> None:
    """A server that was there and is gone may come back; one that never was is told at once."""
    was_there = False

    def connect(dialect: Any, _record: Any, given: Any, named: Any) -> Any:
        nonlocal was_there
        waits_until = time.monotonic() + RESTART_S
        while True:
            try:
                made = dialect.connect(*given, **named)
                was_there = True
                return made
            except dialect.loaded_dbapi.OperationalError:
                if not was_there or time.monotonic() > waits_until:
                    raise
                time.sleep(0.2)

    sa.event.listen(engine, "do_connect", connect)
