"""The rows of files of one stream as tables of the engine, as they were logged.

Files are read together where their columns are of like types, so that no file's types change what
is read of another. The engine reads Parquet, and large CSV files that are plain; it is given the
rows of the others. No character of a path means anything to it.
"""

import datetime as dt
import re
import uuid
from collections.abc import Collection, Iterator, Sequence

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from convcg_assets.sources.avro import avro_batches, scan_avro
from convcg_assets.sources.csv_records import CsvForm
from convcg_assets.sources.csv_text import batch_names, csv_rows
from convcg_assets.sources.files import LogFile
from convcg_assets.sources.json_text import NOT_AN_OBJECT, SEVERAL_OBJECTS, json_lines
from convcg_assets.sources.log_table import LogTable
from convcg_assets.sources.row_text import inner_name
from convcg_assets.sources.stream import Stream
from convcg_assets.sources.table_rows import read_day, table_schema

NOT_TEXT = "not UTF-8 text"
DEFECT_COLUMN, LINE_COLUMN = "_convcg_defect", "_convcg_line"
"""Of a Parquet file that was cut from text (`split.py`): rows that could not be read there."""
_SMALL_BYTES = 1024 * 1024
"""A smaller CSV file is not worth a query of the engine."""
_ROW = pa.field("_row", pa.int64())
_PLACES = "_dt, _file, _row, _defect"


def group_files(files: Sequence[LogFile], *, used: Collection[str]) -> list[list[LogFile]]:
    """Files whose columns are the same, of the same types, in the same order.

    Of JSON lines only the keys that are `used` count, and a key that one of a day's files has
    belongs to all of that day's.
    """
    keys_of_day: dict[dt.date, set[str]] = {}
    for file in files:
        if file.format == "jsonl":
            keys_of_day.setdefault(file.day, set()).update(set(used) & set(file.columns))
    groups: dict[object, list[LogFile]] = {}
    for file in files:
        is_json = file.format == "jsonl"
        columns = tuple(sorted(keys_of_day[file.day])) if is_json else file.columns
        is_engines = file.is_plain or file.format != "parquet"
        groups.setdefault((columns, file.types, is_engines), []).append(file)
    return list(groups.values())


def rows_sql(
    files: Sequence[LogFile], used: Collection[str] | None, options: Stream, *, con: Backend
) -> str:
    """DuckDB's query for the rows of files of one group, as `reading.read_stream` describes them.

    Rows that the engine is given are staged in a temporary table of the connection. Columns that
    are not `used` become text; None uses all of them as they are.
    """
    if files[0].format == "parquet":
        return _parquet_sql(files, used, con=con)
    if files[0].format == "jsonl":
        return _json_sql(files, used, con=con)
    if files[0].format == "avro":
        return _avro_sql(files, used, con=con)
    if files[0].table is not None:
        return _table_sql(files, files[0].table, used, con=con)
    is_engines = {file: file.is_plain and file.num_bytes > _SMALL_BYTES for file in files}
    parts = [_plain_csv_sql(file, options) for file in files if is_engines[file]]
    given = [file for file in files if not is_engines[file]]
    if given:
        parts.append(_given_csv_sql(given, options, con=con))
    return "\nUNION ALL BY NAME\n".join(parts)


def no_rows_sql(used: Collection[str]) -> str:
    """A query without rows, for days without files."""
    nulls = "".join(f"NULL::VARCHAR AS {_alias(c)}, " for c in used)
    return (
        f"SELECT {nulls}NULL::DATE AS _dt, NULL::VARCHAR AS _file, NULL::BIGINT AS _row, "
        "NULL::VARCHAR AS _defect WHERE false"
    )


def create_view(sql: str, *, con: Backend) -> ibis.Table:
    """A temporary view: it is read anew by every query, never held in memory."""
    name = f"raw_{uuid.uuid4().hex}"
    con.raw_sql(f"CREATE TEMP VIEW {name} AS {sql}")
    return con.table(name)


def literal_path(path: object) -> str:
    """A string literal of DuckDB that names one file, whatever characters it is called by.

    >>> literal_path("logs/export[1].csv")
    "'logs/export[[]1].csv'"
    """
    return _text(re.sub(r"([\\[*?])", r"[\1]", str(path)))


def _plain_csv_sql(file: LogFile, options: Stream) -> str:
    form, names = CsvForm.of(options), batch_names(len(file.columns))
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in names[: len(file.columns)])
    values = ", ".join(f"c{i} AS {_alias(c)}" for i, c in enumerate(file.columns))
    return f"""
SELECT {values}, DATE '{file.day}' AS _dt, {_text(file.name)} AS _file,
  row_number() OVER () AS _row, CAST(NULL AS VARCHAR) AS _defect
FROM read_csv({literal_path(file.path)}, auto_detect = false, header = true,
  columns = {{{columns}}}, delim = {_text(form.delimiter)}, quote = {_text(form.quote)},
  escape = {_text(form.quote)}, encoding = '{form.encoding}', strict_mode = true,
  parallel = false, hive_partitioning = false)"""


def _given_csv_sql(files: Sequence[LogFile], options: Stream, *, con: Backend) -> str:
    form, columns = CsvForm.of(options), files[0].columns
    names = batch_names(len(columns))
    kinds = [pa.int64() if name == "_row" else pa.string() for name in names]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    values = "".join(f"c{i} AS {_alias(c)}, " for i, c in enumerate(columns))
    return _stage(
        f"SELECT {values}_line, {_PLACES} FROM given",
        ((file, csv_rows(file.path, form, columns)) for file in files),
        schema,
        con=con,
    )


def _json_sql(files: Sequence[LogFile], used: Collection[str] | None, *, con: Backend) -> str:
    keys = sorted({key for file in files for key in file.columns if used is None or key in used})
    # By pointer: no character of a key means anything but these two.
    pointers = (_text("/" + key.replace("~", "~0").replace("/", "~1")) for key in keys)
    values = "".join(f"found[{i}] AS {_alias(key)}, " for i, key in enumerate(keys, 1))
    return _stage(
        f"""
SELECT {values}_line, _dt, _file, _row, CASE WHEN kind = 'OBJECT' THEN NULL
  WHEN kind IS NULL AND regexp_matches(_line, '^\\{{.*\\}}\\s*\\{{.*\\}}$')
  THEN '{SEVERAL_OBJECTS}' ELSE '{NOT_AN_OBJECT}' END AS _defect
FROM (SELECT *, CASE WHEN kind = 'OBJECT'
    THEN json_extract_string(_line, [{", ".join(pointers)}]::VARCHAR[]) END AS found
  FROM (SELECT *, CASE WHEN json_valid(_line) THEN json_type(_line) END AS kind FROM given))""",
        ((file, json_lines(file.path)) for file in files),
        pa.schema([("_row", pa.int64()), ("_line", pa.string())]),
        con=con,
    )


def _parquet_sql(files: Sequence[LogFile], used: Collection[str] | None, *, con: Backend) -> str:
    """One scan of all files; a value's place follows from the file and the row that it is of."""
    first = files[0]
    seen: set[str] = set()
    values, defects = "", ["CAST(NULL AS VARCHAR)"]
    line = ""
    for i, column in enumerate(first.columns):
        if column.lower() in seen:
            continue  # The engine does not tell it from the one before; none that is used.
        seen.add(column.lower())
        name = quote_name(column) if first.is_plain else f"c{i}"
        if column == DEFECT_COLUMN and used is not None:
            defects.append(name)
            continue
        if column == LINE_COLUMN and used is not None:
            line = f"{name} AS _line, "
            continue
        is_used = used is None or column in used
        value = name if is_used else f"CAST({name} AS VARCHAR)"
        if column in first.binary and used is not None:
            text = f"TRY(decode({name}))"
            value = f"coalesce({text}, CAST({name} AS VARCHAR))"
            if is_used:
                fault = _text(f"{column}: {NOT_TEXT}")
                defects.append(f"CASE WHEN {name} IS NOT NULL AND {text} IS NULL THEN {fault} END")
        values += f"{value} AS {_alias(column)}, "
    defect = f"coalesce({', '.join(defects)}) AS _defect"
    if not first.is_plain:
        schema = pq.read_schema(first.path)
        kinds = [pa.binary() if field.name in first.binary else field.type for field in schema]
        staged = pa.schema([*((f"c{i}", kind) for i, kind in enumerate(kinds)), _ROW])
        return _stage(
            f"SELECT {values}{line}_dt, _file, _row, {defect} FROM given",
            ((file, _parquet_batches(file, staged)) for file in files),
            staged,
            con=con,
        )
    paths = ", ".join(literal_path(file.path) for file in files)
    day, name = f"DATE '{first.day}'", _text(first.name)
    if len(files) > 1:
        place = "[CAST(file_index AS BIGINT) + 1]"
        all_days = ", ".join(f"DATE '{file.day}'" for file in files)
        all_names = ", ".join(_text(file.name) for file in files)
        day, name = f"[{all_days}]{place}", f"[{all_names}]{place}"
    return f"""
SELECT {values}{line}{day} AS _dt, {name} AS _file,
  CAST(file_row_number + 1 AS BIGINT) AS _row, {defect}
FROM read_parquet([{paths}], hive_partitioning = false)"""


def _avro_sql(files: Sequence[LogFile], used: Collection[str] | None, *, con: Backend) -> str:
    types = scan_avro(files[0].path).types
    names = [f"c{i}" for i in range(len(types))]
    values = "".join(
        f"{name if used is None or c in used else f'CAST({name} AS VARCHAR)'} AS {_alias(c)}, "
        for name, c in zip(names, types, strict=True)
    )
    return _stage(
        f"SELECT {values}_dt, _file, _row, CAST(NULL AS VARCHAR) AS _defect FROM given",
        ((file, avro_batches(file.path, names)) for file in files),
        pa.schema([*zip(names, types.values(), strict=True), ("_row", pa.int64())]),
        con=con,
    )


def _table_sql(
    files: Sequence[LogFile], table: LogTable, used: Collection[str] | None, *, con: Backend
) -> str:
    """A table's rows have no order: they are numbered by what they hold, day by day."""
    schema = table_schema(table)
    names = [f"c{i}" for i in range(len(schema))]
    values = "".join(
        f"{name if used is None or c in used else f'CAST({name} AS VARCHAR)'} AS {_alias(c)}, "
        for name, c in zip(names, schema.names, strict=True)
    )
    return _stage(
        f"""SELECT {values}_dt, _file, CAST(NULL AS VARCHAR) AS _defect,
          row_number() OVER (PARTITION BY _dt ORDER BY {", ".join(names)}) AS _row FROM given""",
        (
            (file, iter(read_day(table, file.day).rename_columns(names).to_batches()))
            for file in files
        ),
        pa.schema(list(zip(names, schema.types, strict=True))),
        con=con,
    )


def _parquet_batches(file: LogFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    first = 1
    for batch in pq.ParquetFile(file.path).iter_batches():
        numbers = pa.array(np.arange(first, first + batch.num_rows))
        first += batch.num_rows
        columns = zip([*batch.columns, numbers], schema.types, strict=True)
        yield pa.RecordBatch.from_arrays([c.cast(kind) for c, kind in columns], schema=schema)


def _stage(
    sql: str,
    given: Iterator[tuple[LogFile, Iterator[pa.RecordBatch]]],
    schema: pa.Schema,
    *,
    con: Backend,
) -> str:
    """Rows that are not read by the engine, in a temporary table: a query for them.

    In `sql` they are called `given`, with the day and the name of their file.
    """
    placed = pa.schema([*schema, ("_dt", pa.date32()), ("_file", pa.string())])

    def rows() -> Iterator[pa.RecordBatch]:
        for file, batches in given:
            for batch in batches:
                day = pa.repeat(pa.scalar(file.day, pa.date32()), batch.num_rows)
                name = pa.repeat(pa.scalar(file.name, pa.string()), batch.num_rows)
                yield pa.RecordBatch.from_arrays([*batch.columns, day, name], schema=placed)

    name, reader = f"raw_{uuid.uuid4().hex}", pa.RecordBatchReader.from_batches(placed, rows())
    con.con.register("given", reader)
    try:
        con.con.execute(f"CREATE TEMP TABLE {name} AS {sql}")
    finally:
        con.con.unregister("given")
    return f"SELECT * FROM {name}"


def _alias(column: str) -> str:
    return quote_name(inner_name(column))


def _text(value: str) -> str:
    """A string literal of DuckDB."""
    return "'" + value.replace("'", "''") + "'"


def quote_name(value: str) -> str:
    """An identifier of DuckDB."""
    return '"' + value.replace('"', '""') + '"'
