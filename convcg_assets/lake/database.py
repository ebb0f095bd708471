"""The ledger's tables, and the database that they are in: SQLite, or Postgres.

What the facts mean belongs to `ledger.py`.
"""

import sqlite3
import time
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

MAX_SWITCH_ATTEMPTS = 200
"""The first connections of all switch a new database to another journal, one after the other."""

metadata = sa.MetaData()
contents = sa.Table(
    "contents",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("cells", sa.Text, nullable=False),
)
builds = sa.Table(
    "builds",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("inputs", sa.String(64), primary_key=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("run_id", sa.String(64)),
    sa.Column("built_at", sa.DateTime, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
)
failed_checks = sa.Table(
    "failed_checks",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("files_key", sa.String(64), primary_key=True),
    sa.Column("check_name", sa.String(128), primary_key=True),
    sa.Column("said", sa.Text, nullable=False),
)
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("request_key", sa.String(64), primary_key=True),
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("inputs", sa.String(64), nullable=False),
    sa.Column("num_built", sa.Integer, nullable=False),
    sa.Column("requested_at", sa.DateTime, nullable=False),
)
landed_files = sa.Table(
    "landed_files",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("file", sa.String(1024), primary_key=True),
    sa.Column("stamp", sa.String(64), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("seen_at", sa.DateTime, nullable=False),
)
sa.Index("requests_by_inputs", requests.c.table_name, requests.c.day, requests.c.inputs)


@cache
def open_database(url: str) -> sa.Engine:
    """The database at an SQLAlchemy URL, with its tables; one engine per process."""
    if url.startswith("sqlite"):
        # No connection outlives its use: a forked run process must not share one.
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": 60})
        sa.event.listen(engine, "connect", _wait_instead_of_failing)
    elif url.startswith("postgresql"):
        engine = sa.create_engine(url, pool_pre_ping=True)
    else:
        raise ValueError(f"ledger {url!r}: a URL of sqlite:/// or postgresql+psycopg2:// is known")
    # One by one and only if missing: several processes may be the first.
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
    return engine


def _wait_instead_of_failing(connection: Any, _record: Any) -> None:
    """Readers and one writer at once; a commit survives a crash of the process."""
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
