"""What a day of a table holds, as digests that two builds with equal rows have in common.

A day's rows are told apart into *cells* where those who read the table need a part of a day only:
`attributed_conversions` by impression day, since a label day rests on its own conversions alone;
what training examples read by the day on which it was known, since a model of day T rests on what
was known before. Equal rows have equal digests whatever their order and files; how a day came about
belongs to its recipe.
"""

import datetime as dt
from collections.abc import Iterable

from ibis.backends.duckdb import Backend

from convcg_assets.lake.engine import typed_null
from convcg_assets.lake.object_store import attach_store
from convcg_assets.sources.columns import type_schema
from convcg_assets.sources.file_rows import literal_path
from convcg_assets.tables.registry import TABLES
from convcg_assets.tables.table import Table

NO_CELL = ""
"""Rows that belong to no cell, and all rows of tables without cells."""


def digest_days(table: str, files: Iterable[str], *, con: Backend) -> dict[dt.date, dict[str, str]]:
    """Digest of each cell of each day that the files of a table's days hold.

    The sum and the exclusive or of 64-bit hashes of the rows, with their number: the same for the
    same rows in any order. A table without cells has one, `NO_CELL`.
    """
    files = list(files)
    if not files:
        return {}
    entry = TABLES[table]
    attach_store(literal_path(files[0]), con=con)
    days = _rows_of(entry, files, con=con)
    later, cell = entry.later, entry.cell or "NULL"
    first = [
        c for c, column in entry.columns.items() if c not in ("dt", later) and not column.added
    ]
    facts = [(cell, _row_hash(entry, first), "true")]
    if later:
        facts.append((later, _row_hash(entry, [*first, later]), f"{later} IS NOT NULL"))
    rows = " UNION ALL ".join(
        f"SELECT dt, CAST({cell} AS DATE) AS cell, {hashed} AS h FROM days WHERE {chosen}"
        for cell, hashed, chosen in facts
    )
    found = con.con.execute(f"""
        WITH days AS ({days}),
        facts AS ({rows})
        SELECT CAST(dt AS DATE), cell, count(*), sum(CAST(h AS HUGEINT)), bit_xor(h)
        FROM facts GROUP BY ALL""").fetchall()
    digests: dict[dt.date, dict[str, str]] = {}
    for day, cell, count, total, xor in found:
        digest = f"{count:x}.{(int(total) ^ (int(xor) << 64)) % 2**128:032x}"
        digests.setdefault(day, {})[NO_CELL if cell is None else str(cell)] = digest
    return digests


def _rows_of(table: Table, files: list[str], *, con: Backend) -> str:
    """SQL for the rows of files; a column that was added after they were written is null."""
    listed = ", ".join(map(literal_path, files))
    rows = f"SELECT * FROM read_parquet([{listed}], hive_partitioning = true"
    added = {name: column for name, column in table.columns.items() if column.added}
    if not added:
        return f"{rows})"
    rows = f"{rows}, union_by_name = true)"
    there = {name for name, *_ in con.con.execute(f"DESCRIBE {rows}").fetchall()}
    lacking = type_schema({n: c for n, c in added.items() if n not in there}, {})
    nulls = [f", {typed_null(kind)} AS {name}" for name, kind in lacking.items()]
    return f"SELECT *{''.join(nulls)} FROM ({rows})"


def _row_hash(table: Table, columns: list[str]) -> str:
    """SQL for a row's hash; a column that was added later counts where it says something."""
    hashed = f"hash({', '.join(columns)})"
    for name, column in table.columns.items():
        if column.added and name != table.later:
            said = f"CASE WHEN {name} IS NULL THEN 0::UBIGINT ELSE hash('{name}', {name}) END"
            hashed = f"xor({hashed}, {said})"
    return hashed
