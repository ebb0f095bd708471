"""Rows of the ledger as they are written, and as they come from another ledger.

What the rows mean belongs to `ledger.py`.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from convcg_assets.lake import ledger_tables as kept
from convcg_assets.lake.database import open_database

DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}
BATCH = 1000


def insert_rows(
    connection: sa.Connection,
    table: sa.Table,
    rows: list[dict[str, Any]],
    *,
    again: Mapping[str, Any] | None = None,
) -> None:
    """Insert rows; of those that are there already change nothing, or what `again` says.

    All go to the rows in one order, and to contents before builds: two that write the same rows at
    once wait one for the other, and never each for the other.
    """
    insert = DIALECTS[connection.dialect.name].insert(table)
    if again:
        insert = insert.on_conflict_do_update(index_elements=table.primary_key, set_=again)
    else:
        insert = insert.on_conflict_do_nothing()
    keys = [column.name for column in table.primary_key]
    if rows:
        ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
        connection.execute(insert, [_writable(row) for row in ordered])


def _writable(row: dict[str, Any]) -> dict[str, Any]:
    """A row as every database keeps it: Postgres has no text with a zero character."""
    return {
        name: value.replace("\0", "\\0") if isinstance(value, str) else value
        for name, value in row.items()
    }


def copy_facts(source: str, target: str) -> dict[str, int]:
    """Copy the facts of one ledger into another, all or none; the number of rows by table.

    Both are URLs. What the other knows already stays as it is there.
    """
    copied = {}
    with (
        open_database(source).reading.connect() as there,
        open_database(target).writing.begin() as here,
    ):
        for table in kept.metadata.sorted_tables:
            copied[table.name] = 0
            for rows in there.execute(sa.select(table)).mappings().partitions(BATCH):
                insert_rows(here, table, [dict(row) for row in rows])
                copied[table.name] += len(rows)
    return copied


def count_facts(url: str) -> dict[str, int]:
    """The number of rows of each table of a ledger."""
    with open_database(url).reading.connect() as connection:
        counts = [
            (table.name, sa.select(sa.func.count()).select_from(table))
            for table in kept.metadata.sorted_tables
        ]
        return {name: connection.execute(count).scalar_one() for name, count in counts}
