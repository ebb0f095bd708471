"""The embedded engine, DuckDB: a connection, and a query's rows as a stream of batches.

All that the lake and the builds know of an engine is here; another one has these two functions in a
file of its own. (Reading landed files is DuckDB's alone: `sources/reading.py`.)
"""

import datetime as dt
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend
from ibis.backends.sql.datatypes import DuckDBType

from convcg_assets.lake.object_store import attach_store
from convcg_assets.sources.file_rows import literal_path

BATCH_ROWS = 131_072
SMALL_BYTES = 1_000_000
"""The rows of so little are held in memory as a whole: to stream them, DuckDB plans twice."""


@dataclass(frozen=True)
class Files:
    """Days of a table: its Parquet files; a column that the older of them lack reads as null."""

    paths: Sequence[str]
    schema: ibis.Schema
    num_bytes: int = 0
    may_lack_columns: bool = False


@dataclass(frozen=True)
class Query:
    """SQL of the engine, in which the names of `inputs` stand for files or for other SQL."""

    text: str
    inputs: Mapping[str, Files | str] = field(default_factory=dict)
    num_bytes: int | None = None
    """Bytes of the files that it reads; None where they are not known."""

    @property
    def sql(self) -> str:
        """The whole query, its inputs in it."""
        if not self.inputs:
            return self.text
        named = ", ".join(
            f"{_name(name)} AS NOT MATERIALIZED ({_select(held)})"
            for name, held in self.inputs.items()
        )
        return f"WITH {named} SELECT * FROM ({self.text})"


def connect(
    *, memory_limit: str = "3GB", threads: int | None = None, temp: Path | None = None
) -> Backend:
    """A database in memory that spills to `temp` beyond `memory_limit`."""
    options = {"memory_limit": memory_limit, "preserve_insertion_order": False}
    if threads:
        options["threads"] = threads
    if temp:
        options["temp_directory"] = str(temp)
    return ibis.duckdb.connect(**options)


@contextmanager
def stream_rows(
    query: Query, *, schema: ibis.Schema, con: Backend
) -> Iterator[pa.RecordBatchReader]:
    """The rows of a query batch by batch, in the columns and types of `schema`.

    Cast in the engine, from the types that it really has: DuckDB types a literal 0.6 as decimal
    where Ibis expects a double. (Ibis 12's own batches call a method that DuckDB 2 took away.)
    """
    text = f"SELECT {cast_columns(schema)} FROM ({query.sql})"
    attach_store(text, con=con)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)
        is_small = query.num_bytes is not None and query.num_bytes <= SMALL_BYTES
        result = con.con.execute(text) if is_small else con.con.sql(text)
        batches: pa.RecordBatchReader = result.to_arrow_reader(BATCH_ROWS)
    with batches:
        yield batches


@contextmanager
def as_query(rows: ibis.Table | Query, *, con: Backend) -> Iterator[Query]:
    """An expression of the connection as a query, for as long as the block lasts."""
    if isinstance(rows, Query):
        yield rows
        return
    view = con.create_view(f"rows_{uuid.uuid4().hex}", rows)
    try:
        yield Query("SELECT * FROM rows", {"rows": f"SELECT * FROM {view.get_name()}"})
    finally:
        con.con.execute(f"DROP VIEW {view.get_name()}")


def read_files(files: Files, *, con: Backend) -> ibis.Table:
    """The rows of files as a table of the connection."""
    name, text = f"files_{uuid.uuid4().hex}", select_files(files)
    attach_store(text, con=con)
    con.con.execute(f"CREATE TEMP VIEW {name} AS {text}")
    return con.table(name)


def read_query(query: Query, *, schema: ibis.Schema, con: Backend) -> ibis.Table:
    """The rows of a query as a table of the connection, made whenever it is read."""
    name = f"query_{uuid.uuid4().hex}"
    text = f"SELECT {cast_columns(schema)} FROM ({query.sql})"
    attach_store(text, con=con)
    con.con.execute(f"CREATE TEMP VIEW {name} AS {text}")
    return con.table(name)


def select_files(files: Files) -> str:
    """SQL for the rows of files, in the columns and types of their schema."""
    if not files.paths:
        nulls = ", ".join(f"{typed_null(kind)} AS {_name(c)}" for c, kind in files.schema.items())
        return f"SELECT {nulls} WHERE false"
    listed = ", ".join(map(literal_path, files.paths))
    rows = f"read_parquet([{listed}], hive_partitioning = true"
    if not files.may_lack_columns:
        return f"SELECT {cast_columns(files.schema)} FROM {rows})"
    none = select_files(Files((), files.schema))
    every = f"({none}) UNION ALL BY NAME SELECT * FROM {rows}, union_by_name = true)"
    return f"SELECT {cast_columns(files.schema)} FROM ({every})"


def _select(held: Files | str) -> str:
    return held if isinstance(held, str) else select_files(held)


def date_literal(day: dt.date) -> str:
    """A day as Ibis writes it for this engine."""
    return f"MAKE_DATE({day.year}, {day.month}, {day.day})"


def cast_columns(schema: ibis.Schema) -> str:
    """SQL for the columns of a schema, in its types."""
    return ", ".join(
        f"CAST({_name(c)} AS {_type(kind)}) AS {_name(c)}" for c, kind in schema.items()
    )


def typed_null(kind: ibis.DataType) -> str:
    """SQL for a null of a type."""
    return f"CAST(NULL AS {_type(kind)})"


def _type(kind: ibis.DataType) -> str:
    if kind not in _types:
        _types[kind] = DuckDBType.to_string(kind)
    return _types[kind]


_types: dict[Any, str] = {}
"""Names of types, which are made of many objects each time."""


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
