"""Tables of lakes and databases as a stream's rows: which days they have, and a day's rows.

A day's fingerprint is the number of its rows and a checksum of them, or what the table itself says
has changed. What is read of a table is remembered for as long as its version stays.
"""

import datetime as dt
import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import sqlalchemy.exc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from ibis.backends import BaseBackend
from ibis.common.exceptions import TableNotFound

from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.log_table import LogTable

_DAY = dt.timedelta(days=1)
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class DayStamp:
    """How many rows a table has of a day, and what changes when they do."""

    num_rows: int
    stamp: str


def day_stamps(table: LogTable) -> dict[dt.date, DayStamp]:
    """Every day that a table has rows of; `table` is `located`.

    Raises LandingError where it cannot be read, or has rows without a day.
    """
    with _reading(table), closing(_open(table)) as rows:
        if rows.version is None:
            return _stamps_of(rows, table)
        return _stamps_at(table.model_dump_json(), rows.version)


def table_schema(table: LogTable) -> pa.Schema:
    """The table's columns; values of a database are text, as those of CSV are."""
    with _reading(table), closing(_open(table)) as rows:
        return rows.schema


def read_day(table: LogTable, day: dt.date) -> pa.Table:
    """The rows of a day in the columns of `table_schema`, in no order; errors as `day_stamps`."""
    with _reading(table), closing(_open(table)) as rows:
        found = rows.read(table.day, day).select(rows.schema.names).cast(rows.schema)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("found", found)
        of_day = f"{_day_sql(found.schema, table)} = DATE '{day}'"
        return con.sql(f"SELECT * FROM found WHERE {of_day}").to_arrow_table()


@contextmanager
def _reading(table: LogTable) -> Iterator[None]:
    try:
        yield
    except TableNotFound as error:
        raise LandingError(f"table {table.label} cannot be read: there is none") from error
    except ImportError as error:
        raise LandingError(
            f"table {table.label} cannot be read: {error}. Install what it needs: "
            "pip install 'convcg[iceberg]', 'convcg[postgres]' or Ibis' extra for the database"
        ) from error
    except _faults() as error:
        said = str(error).strip().partition("\n")[0]
        raise LandingError(f"table {table.label} cannot be read: {said}") from error


def _faults() -> tuple[type[Exception], ...]:
    """What lakes and databases raise; of drivers, those of the ones that are there."""
    drivers = (("psycopg", "Error"), ("google.api_core.exceptions", "GoogleAPIError"))
    loaded = (getattr(sys.modules.get(name), kind, None) for name, kind in drivers)
    return (
        *(DeltaError, sqlalchemy.exc.SQLAlchemyError, ibis.IbisError, duckdb.Error, sqlite3.Error),
        *(pa.ArrowException, OSError),
        *(error for error in loaded if error is not None),
    )


class _Rows(Protocol):
    """A table that is open; `version` names what it holds, None where nothing does."""

    version: str | None
    schema: pa.Schema

    def everything(self) -> ds.Dataset | pa.RecordBatchReader:
        """All rows, piece by piece."""
        ...

    def read(self, day_column: str, day: dt.date) -> pa.Table:
        """At least the rows of a day."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


def _open(table: LogTable) -> _Rows:
    if table.delta is not None:
        return _DeltaRows(table.delta)
    if table.iceberg is not None:
        assert table.catalog is not None
        return _IcebergRows(table.iceberg, table.name or "default", table.catalog)
    return _DatabaseRows(table)


class _DeltaRows:
    def __init__(self, place: str):
        self._delta = DeltaTable(place)
        self.version: str | None = f"{self._delta.metadata().id} {self._delta.version()}"
        self._data = self._delta.to_pyarrow_dataset()
        self.schema = self._data.schema

    def everything(self) -> ds.Dataset:
        """The files, which the engine reads one after the other."""
        return self._data

    def close(self) -> None:
        """Nothing is held open."""

    def read(self, day_column: str, day: dt.date) -> pa.Table:
        """By Arrow, which skips the files that hold other days."""
        return self._data.to_table(filter=_arrow_filter(self.schema, day_column, day))


class _IcebergRows:
    def __init__(self, name: str, catalog: str, uri: str):
        from pyiceberg.catalog.sql import SqlCatalog
        from pyiceberg.exceptions import NoSuchTableError

        try:
            self._iceberg = SqlCatalog(catalog, uri=uri).load_table(name)
        except NoSuchTableError as error:
            raise OSError(str(error)) from error
        snapshot = self._iceberg.current_snapshot()
        uuid = self._iceberg.metadata.table_uuid
        self.version: str | None = f"{uuid} {snapshot.snapshot_id if snapshot else None}"
        self.schema = self._iceberg.schema().as_arrow()

    def everything(self) -> pa.RecordBatchReader:
        """A scan of all files."""
        return self._iceberg.scan().to_arrow_batch_reader()

    def close(self) -> None:
        """Nothing is held open."""

    def read(self, day_column: str, day: dt.date) -> pa.Table:
        """By a scan, which skips the files that hold other days."""
        rows = self._iceberg.scan()
        kinds = dict(zip(self.schema.names, self.schema.types, strict=True))
        kind = kinds.get(day_column)
        if kind is not None and pa.types.is_date(kind):
            rows = rows.filter(f"{day_column} == '{day}'")
        elif kind is not None and pa.types.is_timestamp(kind):
            zone = "+00:00" if kind.tz is not None else ""
            first, after = (f"'{d}T00:00:00{zone}'" for d in (day, day + _DAY))
            rows = rows.filter(f"{day_column} >= {first} and {day_column} < {after}")
        return rows.to_arrow()


class _DatabaseRows:
    version: str | None = None

    def __init__(self, table: LogTable):
        self._options = table
        self._con = _connect(table)
        known = self._con.table(table.name) if table.name else self._ask(table.query)
        self._rows: Any = known
        self._is_arrow = self._con.name == "duckdb"
        self.schema = known.schema().to_pyarrow()
        if not self._is_arrow:
            self.schema = pa.schema([(name, pa.string()) for name in known.columns])

    def everything(self) -> pa.RecordBatchReader:
        """A query for the whole table."""
        return self._query(self._rows)

    def close(self) -> None:
        """A database that is held open may be locked to those who write it."""
        self._con.disconnect()

    def read(self, day_column: str, day: dt.date) -> pa.Table:
        """By a query."""
        is_known = day_column in self.schema.names
        rows = self._rows.filter(self._is_of(day_column, day)) if is_known else self._rows
        return self._query(rows).read_all()

    def _query(self, rows: Any) -> pa.RecordBatchReader:
        """Rows batch by batch; of values that Arrow does not bring the text.

        Those are fetched at once: a driver's cursor may be bound to the thread that opened it.
        """
        sql = self._con.compile(rows)
        if self._is_arrow:
            return self._con.con.sql(sql).to_arrow_reader(_BATCH_ROWS)
        return pa.Table.from_batches(list(self._fetch(sql)), self.schema).to_reader()

    def _fetch(self, sql: str) -> Iterator[pa.RecordBatch]:
        with closing(self._con.raw_sql(sql)) as cursor:
            while found := cursor.fetchmany(_BATCH_ROWS):
                columns = ([_as_text(value) for value in c] for c in zip(*found, strict=True))
                arrays = [pa.array(column, pa.string()) for column in columns]
                yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def stamps(self, day_column: str, changed: str) -> list[tuple[Any, int, Any]]:
        """Of each day (as text, null for none) its rows and the greatest of a column."""
        column = self._rows[day_column]
        day = column.date() if column.type().is_timestamp() else column
        counted = self._rows.group_by(day=day.cast("string")[:10]).agg(
            rows=ibis._.count(), last=self._rows[changed].max()
        )
        return self._con.raw_sql(self._con.compile(counted)).fetchall()

    def _ask(self, query: str | None) -> Any:
        """A query as a table; of Postgres the types are asked for here.

        (Ibis 12 makes a view for that, and drops it by SQL that sqlglot 30 writes without a name.)
        """
        if self._con.name != "postgres":
            return self._con.sql(query)
        types = import_module("psycopg.postgres").types  # Of the extra `postgres`.
        with closing(self._con.raw_sql(f"SELECT * FROM ({query}) AS asked LIMIT 0")) as cursor:
            kinds = {c.name: types[c.type_code].name for c in cursor.description}
        schema = {name: _POSTGRES_TIMES.get(kind, "string") for name, kind in kinds.items()}
        return self._con.sql(query, schema=schema)

    def _is_of(self, day_column: str, day: dt.date) -> Any:
        column = self._rows[day_column]
        if column.type().is_date():
            return column == ibis.date(day)
        if column.type().is_string():
            return (column >= str(day)) & (column < str(day + _DAY))
        return (column >= ibis.timestamp(str(day))) & (column < ibis.timestamp(str(day + _DAY)))


_POSTGRES_TIMES = {
    "date": "date",
    "timestamp": "timestamp(6)",
    "timestamptz": "timestamp('UTC', 6)",
}
"""What a day may be told by; of all other columns the text is read, whatever they are."""


def _connect(table: LogTable) -> BaseBackend:
    """A connection that makes no database where none is."""
    assert table.database is not None
    kind, _, place = table.database.partition("://")
    if kind not in ("sqlite", "duckdb"):
        return ibis.connect(table.database)
    path = Path(place.removeprefix("/") if place.startswith("//") else place)
    if not path.is_file():
        raise OSError(f"{path} does not exist")
    return (
        ibis.sqlite.connect(path) if kind == "sqlite" else ibis.duckdb.connect(path, read_only=True)
    )


def _as_text(value: Any) -> str | None:
    """A database's value as it would stand in a log."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)


def _arrow_filter(schema: pa.Schema, column: str, day: dt.date) -> Any:
    if column not in schema.names:
        return None
    kind = schema.field(column).type
    if pa.types.is_date(kind):
        return pc.field(column) == pa.scalar(day, kind)
    first, after = (dt.datetime.combine(d, dt.time()) for d in (day, day + _DAY))
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            first, after = (t.replace(tzinfo=dt.UTC) for t in (first, after))
        bounds = (pa.scalar(first, kind), pa.scalar(after, kind))
        return (pc.field(column) >= bounds[0]) & (pc.field(column) < bounds[1])
    return None


@lru_cache(maxsize=64)
def _stamps_at(options: str, _version: str) -> dict[dt.date, DayStamp]:
    table = LogTable.model_validate_json(options)
    with closing(_open(table)) as rows:
        return _stamps_of(rows, table)


def _stamps_of(rows: _Rows, table: LogTable) -> dict[dt.date, DayStamp]:
    if isinstance(rows, _DatabaseRows) and table.changed is not None:
        counted = rows.stamps(table.day, table.changed)
        found = [(_as_day(day), num, f"{num} {last}") for day, num, last in counted]
    else:
        held = rows.everything()
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            con.register("held", held)
            summed = con.execute(
                f"""SELECT {_day_sql(held.schema, table)} AS day, count(*),
                  sum(CAST(hash(held) AS HUGEINT)), bit_xor(hash(held))
                FROM held GROUP BY 1"""
            ).fetchall()
        found = [(day, num, f"{num} {total} {xor}") for day, num, total, xor in summed]
    lost = sum(num for day, num, _ in found if day is None)
    if lost:
        raise LandingError(
            f"table {table.label}: {lost:,} rows have no day in column {table.day!r}. Right would "
            "be a date, a time or ISO text in every row; a `query` may leave out or fill the others"
        )
    return {
        day: DayStamp(num, hashlib.sha256(said.encode()).hexdigest()[:16])
        for day, num, said in found
        if day is not None
    }


def _day_sql(schema: pa.Schema, table: LogTable) -> str:
    """DuckDB's expression for the day of a row."""
    if table.day not in schema.names:
        raise LandingError(
            f"table {table.label}: no column {table.day!r} (found: {', '.join(schema.names)}). Set "
            "`day` in the stream's table"
        )
    name = '"' + table.day.replace('"', '""') + '"'
    kind = schema.field(table.day).type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return f"TRY_CAST(left({name}, 10) AS DATE)"
    return f"TRY_CAST({name} AS DATE)"


def _as_day(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text or "")
    except ValueError:
        return None
