"""Within `compiled_once`, equal builds compile their SQL once per process.

Sequences build thousands of tiny tables, and most of such a build would be Ibis at work on the same
expression. What is patched is only where the text of a query comes from: a function of table, days
and settings. Everything else, the engine and the writes too, is the real thing. Every so often a
kept query is compiled again and must be the same.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from unittest.mock import patch

import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend
from ibis.backends.sql.datatypes import DuckDBType
from ibis.expr.operations import InMemoryTable

from convcg_assets.builds import builders
from convcg_assets.builds import raw as ingestion
from convcg_assets.builds.build import Build
from convcg_assets.days import Days
from convcg_assets.lake import delta as lake
from convcg_assets.lake.delta import BATCH_ROWS, Version
from convcg_assets.sources.contract import apply_contract, count_ignored
from convcg_assets.sources.source import Source
from convcg_assets.tables.schema import table_schema

CHECKED_EVERY = 400
"""Of so many uses of kept queries, whichever they are, one compiles its query again."""


@dataclass(frozen=True)
class Query:
    """What stands for an Ibis table where a build writes its rows."""

    text: str


@dataclass
class Kept:
    """A query's text, in which `inputs` stand for days of tables that are read."""

    text: str
    inputs: dict[str, tuple[str, Days]] = field(default_factory=dict)


_kept: dict[tuple, Kept] = {}
_uses = count(1)


@contextmanager
def compiled_once(con: Backend) -> Iterator[None]:
    """Builds on `con` take the text of their queries from earlier ones."""

    def contract(raw: ibis.Table, *, stream: str, source: Source) -> tuple[Query, Query]:
        valid, rejected = contract_queries(raw, stream=stream, source=source, con=con)
        return Query(valid), Query(rejected)

    def ignored(raw: ibis.Table, *, stream: str, source: Source) -> ibis.Table:
        counts = count_ignored(raw, stream=stream, source=source)
        text = _of_raw(raw, (stream, "ignored"), lambda: con.compile(counts))
        name = f"ignored_{raw.get_name()}"
        con.con.execute(f"CREATE TEMP VIEW {name} AS {text}")
        return ibis.table(counts.schema(), name=name)

    def together(parts: list[Query | ibis.Table]) -> Query:
        texts = [p.text if isinstance(p, Query) else _stored(p, con=con) for p in parts]
        return Query(" UNION ALL ".join(f"({text})" for text in texts))

    with (
        patch.object(builders, "write", _write),
        patch.object(ingestion, "apply_contract", contract),
        patch.object(ingestion, "together", together),
        patch.object(ingestion, "count_ignored", ignored),
        patch.object(lake, "stream_rows", _stream_rows),
    ):
        yield


def contract_queries(
    raw: ibis.Table, *, stream: str, source: Source, con: Backend
) -> tuple[str, str]:
    """Queries of a stream's valid and of its rejected rows."""

    def make(part: int) -> str:
        return con.compile(apply_contract(raw, stream=stream, source=source)[part])

    valid, rejected = (_of_raw(raw, (stream, n), partial(make, n)) for n in (0, 1))
    return valid, rejected


def table_query(build: Build, read: Callable[[str, Days], str]) -> str:
    """The query of a build's rows, where `read` gives that of some days of an input."""

    def make() -> Kept:
        symbolic = _Symbolic(**vars(build))
        object.__setattr__(symbolic, "read_inputs", {})
        rows = builders.TRANSFORMS[build.recipe.table](symbolic)
        text = build.con.compile(rows)
        for held in rows.op().find(InMemoryTable):
            assert isinstance(held, InMemoryTable)
            text = text.replace(f'"{held.name}"', f"({_literal(held)})")
        return Kept(text, symbolic.read_inputs)

    settings = build.deployment.settings.model_dump_json()
    kept = _get((build.recipe.table, build.days, settings), make)
    text = kept.text
    for name, (table, days) in kept.inputs.items():
        text = text.replace(f'"{name}"', f"({read(table, days)})")
    return text


class _Symbolic(Build):
    """A build that reads tables by name alone, and remembers which."""

    read_inputs: dict[str, tuple[str, Days]]

    def read_days(self, table: str, days: Days) -> ibis.Table:
        name = f"input_{len(self.read_inputs)}_"
        self.read_inputs[name] = (table, days)
        return ibis.table(table_schema(table, self.deployment.lake.id_types), name=name)


def _write(build: Build) -> None:
    query = Query(table_query(build, partial(_reading, build)))
    build.replace(query)  # pyright: ignore[reportArgumentType]


def _literal(held: InMemoryTable) -> str:
    """The query of a table of days in memory."""
    columns = held.data.to_pyarrow(held.schema).to_pydict()
    assert all(held.schema[name].is_date() for name in columns)
    lists = {n: ", ".join(f"DATE '{day}'" for day in days) for n, days in columns.items()}
    return "SELECT " + ", ".join(f'UNNEST([{days}]) AS "{n}"' for n, days in lists.items())


def _get(key: tuple, make: Callable[[], Kept]) -> Kept:
    if key not in _kept:
        _kept[key] = make()
    elif next(_uses) % CHECKED_EVERY == 0:
        assert make() == _kept[key], key
    return _kept[key]


def _of_raw(raw: ibis.Table, key: tuple, make: Callable[[], str]) -> str:
    """A query of a raw view, whatever its name."""
    name = raw.get_name()
    kept = _get((*key, raw.schema()), lambda: Kept(make().replace(name, "raw_view_")))
    return kept.text.replace("raw_view_", name)


def _stored(rows: ibis.Table, *, con: Backend) -> str:
    """The query of what the lake holds, which is a table in memory where it holds nothing."""
    if rows.op().find(InMemoryTable):
        return (
            f"SELECT {cast_columns(dict.fromkeys(rows.columns, 'NULL'), rows.schema())} WHERE false"
        )
    return con.compile(rows)


def _reading(build: Build, table: str, days: Days) -> str:
    """The query of an input as `Lake.read` makes it."""
    schema = table_schema(table, build.deployment.lake.id_types)
    version = build.state[table].version or Version(-1, {})
    files = version.of(days)
    source = f"read_parquet({files}, hive_partitioning = true)" if files else "(SELECT 1)"
    values = {n: f'"{n}"' if files else "NULL" for n in schema}
    columns = cast_columns(values, schema)
    return f"SELECT {columns} FROM {source}" + ("" if files else " WHERE false")


def cast_columns(values: dict[str, str], schema: ibis.Schema) -> str:
    """Values as columns of a schema's types."""
    return ", ".join(
        f'CAST({v} AS {DuckDBType.to_string(schema[n])}) AS "{n}"' for n, v in values.items()
    )


_stream_table = lake.stream_rows


@contextmanager
def _stream_rows(
    rows: ibis.Table | Query, *, schema: ibis.Schema, con: Backend
) -> Iterator[pa.RecordBatchReader]:
    if not isinstance(rows, Query):
        with _stream_table(rows, schema=schema, con=con) as batches:
            yield batches
        return
    columns = cast_columns({name: f'"{name}"' for name in schema}, schema)
    query = f"SELECT {columns} FROM ({rows.text})"
    with warnings.catch_warnings():
        # Of the copy that `sql` would save: it plans each query twice, which costs more here.
        warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)
        batches: pa.RecordBatchReader = con.con.execute(query).to_arrow_reader(BATCH_ROWS)
    with batches:
        yield batches
