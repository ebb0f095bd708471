"""The files of a stream's days as rows: checked one by one, read together.

Where they lie belongs to `finding.py`, how a single file is looked into to `files.py`, what a row
must be like to `contract.py`.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import duckdb
import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.files import LandingError, LogFile, inspect_file, summarize
from convcg_assets.sources.finding import find_files
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import Stream, nearest
from convcg_assets.sources.unpacked import is_packed, unpacked

ALIKE = 0.85
"""From this likeness on a column of another name is taken for a misspelt one."""


def check_files(source: Source, stream: str, days: Iterable[dt.date]) -> list[LogFile]:
    """The stream's files, each looked into: readable, of one format, with the columns needed.

    Raises LandingError naming each faulty file, what is wrong with it and what would be right.
    """
    options = stream_options(source, stream)
    files: list[LogFile] = []
    faults: list[tuple[dt.date, str]] = []
    for day, name, path in find_files(source, stream, days):
        try:
            file = inspect_file(path, day=day, options=options, name=name)
            _check_columns(file, stream=stream, options=options)
            files.append(file)
        except LandingError as error:
            faults.append((day, str(error)))
    title = f"{source.name}: {stream} cannot be read"
    if faults:
        by_day: dict[dt.date, list[str]] = {}
        for day, fault in faults:
            by_day.setdefault(day, []).append(fault)
        raise LandingError(
            summarize(title, [fault for _, fault in faults]),
            days={day: _shorten(of_day) for day, of_day in by_day.items()},
        )
    formats = {file.format: file.path for file in files}
    if len(formats) > 1:
        named = ", ".join(f"{path} ({kind})" for kind, path in sorted(formats.items()))
        several = f"files of several formats in one stream: {named}; land one format"
        raise LandingError(summarize(title, [several]))
    try:
        _check_alike(files, stream=stream, options=options)
    except LandingError as error:
        raise LandingError(summarize(title, [str(error)])) from None
    return files


def read_stream(
    source: Source, stream: str, days: Iterable[dt.date], *, con: Backend
) -> ibis.Table:
    """The rows of all the days as logged, in one query.

    Columns: those of the files, `_dt`, `_file`, `_row` (from 1), `_defect` (why a row could not be
    read, else null) and, for JSON lines, `_line`.

    Checks every file first (`check_files`); the rows themselves are read when the result is. CSV
    and JSON values are text, as logged; an empty CSV field is null. Read the result within
    `reading()`.
    """
    return read_files(source, stream, check_files(source, stream, days), con=con)


def read_files(source: Source, stream: str, files: list[LogFile], *, con: Backend) -> ibis.Table:
    """The rows of a stream's files that `check_files` has looked into, as `read_stream` says."""
    con.raw_sql("SET TimeZone = 'UTC'")  # Timestamps with a zone become UTC by the session's zone.
    if not files:
        needed = _needed_columns(stream, stream_options(source, stream), only_required=False)
        nulls = "".join(f"NULL::VARCHAR AS {_name(c)}, " for c in needed)
        return _view(_NO_ROWS.format(columns=nulls), con=con)
    options = stream_options(source, stream)
    with reading(stream):
        if any(is_packed(file) for file in files):
            with unpacked(files) as plain:
                return _stage(plain, options=options, con=con)
        if files[0].format == "jsonl":
            return _stage(files, options=options, con=con)
        return _view(raw_sql(files, options=options), con=con)


def raw_sql(files: list[LogFile], *, options: Stream) -> str:
    """DuckDB's query for the rows of files of one format, as `read_stream` describes them."""
    if files[0].format == "parquet":
        return _parquet_sql(files)
    if files[0].format == "csv":
        return "\nUNION ALL BY NAME\n".join(_csv_sql(f, options=options) for f in files)
    keys = sorted({key for file in files for key in file.columns})
    return "\nUNION ALL BY NAME\n".join(_jsonl_sql(f, keys=keys) for f in files)


def _shorten(faults: list[str]) -> str:
    more = f" (and {len(faults) - 1} more files)" if len(faults) > 1 else ""
    return faults[0] + more


@contextmanager
def reading(stream: str) -> Iterator[None]:
    """Turn what the engine says of a file that breaks while it is read into a LandingError."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise LandingError(f"{stream}: a file broke while it was read: {_said(error)}") from error


def name_broken(files: list[LogFile], *, options: Stream, con: Backend) -> None:
    """Raise LandingError naming those of a stream's files that the engine cannot read to the end.

    Nothing happens where it can read each: what broke may be mended, or is no file's fault.
    """
    faults: dict[dt.date, list[str]] = {}
    for file in files:
        try:
            con.con.execute(f"SELECT bit_xor(hash(rows)) FROM ({raw_sql([file], options=options)}) rows")
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            said = f"{file.path}: broke while it was read: {_said(error)}. Land the file again"
            faults.setdefault(file.day, []).append(said)
    if faults:
        listed = [fault for of_day in faults.values() for fault in of_day]
        by_day = {day: _shorten(of_day) for day, of_day in faults.items()}
        raise LandingError(summarize("files broke while they were read", listed), days=by_day)


def _said(error: duckdb.Error) -> str:
    return str(error).strip().splitlines()[0]


def _needed_columns(stream: str, options: Stream, *, only_required: bool) -> dict[str, str]:
    """Columns of the files: why each is needed."""
    needed = dict.fromkeys(options.where, f"streams.{stream}.where")
    for name in STREAMS[stream].mappable:
        mapping = options.columns.get(name)
        if mapping:
            for column in mapping.sources:
                needed[column] = f"streams.{stream}.columns.{name}"
        elif name in STREAMS[stream].logged or not only_required:
            needed[name] = f"streams.{stream}.columns.{name}"
    return needed


def _check_columns(file: LogFile, *, stream: str, options: Stream) -> None:
    """JSON lines may leave out a key that is null everywhere, unless another key looks like it."""
    for column, place in _needed_columns(stream, options, only_required=True).items():
        if column in file.columns:
            continue
        guess = nearest(column, file.columns)
        required = place.endswith("where") or place.rpartition(".")[2] in STREAMS[stream].logged
        if file.format == "jsonl" and not required and guess is None:
            continue
        hint = f"; nearest: {guess!r}" if guess else ""
        if (
            file.format == "csv"
            and len(file.columns) == 1
            and options.delimiter not in file.columns[0]
        ):
            others = [d for d in ";\t|," if d != options.delimiter and d in file.columns[0]]
            hint = f"; is the delimiter {others[0]!r}?" if others else hint
        raise LandingError(
            f"{file.path}: no column {column!r}{hint} (found: {', '.join(file.columns)}). "
            f"Set {place} in the source file"
        )


def _check_alike(files: list[LogFile], *, stream: str, options: Stream) -> None:
    """An optional column must not be lost to a slip of the pen, nor be in some days' files only."""
    used = {column for mapping in options.columns.values() for column in mapping.sources}
    used |= set(options.where) | set(STREAMS[stream].mappable)
    for name in STREAMS[stream].mappable:
        if name in options.columns or name in STREAMS[stream].logged:
            continue
        lacking = [file for file in files if name not in file.columns]
        for file in lacking:
            spare = [column for column in file.columns if column not in used]
            guess = nearest(name, spare, cutoff=ALIKE)
            place = f"streams.{stream}.columns.{name}"
            if guess is not None:
                raise LandingError(
                    f"{file.path}: no column {name!r}, but {guess!r} is like it. Set {place} to "
                    f"{guess}, or to null if the log does not have it"
                )
            if file.format != "jsonl" and len(lacking) < len(files):
                raise LandingError(
                    f"{file.path}: no column {name!r}, which other files of {stream} have. Land "
                    f"it with the column, or set {place} to null to leave it out everywhere"
                )


_NO_ROWS = """SELECT {columns} NULL::DATE AS _dt, NULL::VARCHAR AS _file, NULL::BIGINT AS _row,
NULL::VARCHAR AS _defect WHERE false"""


def _parquet_sql(files: list[LogFile]) -> str:
    """One scan of all files; each row is given the day and the name of its file."""
    paths = ", ".join(_text(str(f.path)) for f in files)
    scan = f"""read_parquet([{paths}], union_by_name = true, hive_partitioning = false,
  binary_as_string = true, filename = '_path', file_row_number = true)"""
    number = "CAST(file_row_number + 1 AS BIGINT) AS _row, CAST(NULL AS VARCHAR) AS _defect"
    if len(files) == 1:
        (file,) = files
        return f"""
SELECT * EXCLUDE (_path, file_row_number), DATE '{file.day}' AS _dt, {_text(file.name)} AS _file,
  {number}
FROM {scan}"""
    places = ", ".join(f"({_text(str(f.path))}, DATE '{f.day}', {_text(f.name)})" for f in files)
    return f"""
SELECT logged.* EXCLUDE (_path, file_row_number), _dt, _file, {number}
FROM {scan} AS logged
JOIN (VALUES {places}) AS places(_place, _dt, _file) ON logged._path = places._place"""


def _csv_sql(file: LogFile, *, options: Stream) -> str:
    """Missing fields come as null, empty ones as '': a short row is told from an empty field."""
    columns = ", ".join(f"{_text(c)}: 'VARCHAR'" for c in (*file.columns, "_surplus"))
    values = ", ".join(f"nullif({_name(c)}, '') AS {_name(c)}" for c in file.columns)
    quote = options.quote.replace("'", "''")
    return f"""
SELECT {values}, DATE '{file.day}' AS _dt, {_text(file.name)} AS _file, _row,
  CASE WHEN _surplus IS NOT NULL OR {_name(file.columns[-1])} IS NULL
    THEN 'wrong number of fields' END AS _defect
FROM (SELECT *, row_number() OVER () AS _row FROM read_csv({_text(str(file.path))},
  auto_detect = false, header = true, columns = {{{columns}}}, delim = {_text(options.delimiter)},
  quote = '{quote}', escape = '{quote}', encoding = '{options.encoding}', nullstr = '\x01',
  compression = '{file.compression or "none"}', null_padding = true, strict_mode = false, parallel = false, hive_partitioning = false))"""


def _jsonl_sql(file: LogFile, *, keys: list[str]) -> str:
    values = "".join(f"""json ->> {_text(f'$."{k}"')} AS {_name(k)}, """ for k in keys)
    return f"""
SELECT {values}CAST(json AS VARCHAR) AS _line, DATE '{file.day}' AS _dt,
  {_text(file.name)} AS _file, _row,
  CASE WHEN json IS NULL OR json_type(json) <> 'OBJECT' THEN 'not a JSON object' END AS _defect
FROM (SELECT *, row_number() OVER () AS _row FROM read_ndjson_objects({_text(str(file.path))},
  ignore_errors = true, maximum_object_size = 67108864, hive_partitioning = false,
  compression = '{file.compression or "none"}'))"""


def _stage(files: list[LogFile], *, options: Stream, con: Backend) -> ibis.Table:
    """The rows as a temporary table, JSON lines file by file: each scan holds a buffer of 128 MB."""
    name = f"raw_{uuid.uuid4().hex}"
    if files[0].format != "jsonl":
        con.raw_sql(f"CREATE TEMP TABLE {name} AS {raw_sql(files, options=options)}")
        return con.table(name)
    keys = sorted({key for file in files for key in file.columns})
    threads = con.con.execute("SELECT current_setting('threads')").fetchall()[0][0]
    con.raw_sql("SET threads = 1")  # Rows are numbered in the order of the file.
    try:
        for number, file in enumerate(files):
            verb = f"INSERT INTO {name}" if number else f"CREATE TEMP TABLE {name} AS"
            con.raw_sql(f"{verb} {_jsonl_sql(file, keys=keys)}")
    finally:
        con.raw_sql(f"SET threads = {threads}")
    return con.table(name)


def _view(sql: str, *, con: Backend) -> ibis.Table:
    """A temporary view: it is read anew by every query, never held in memory."""
    name = f"raw_{uuid.uuid4().hex}"
    con.raw_sql(f"CREATE TEMP VIEW {name} AS {sql}")
    return con.table(name)


def _text(value: str) -> str:
    """A string literal of DuckDB."""
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    """An identifier of DuckDB."""
    return '"' + value.replace('"', '""') + '"'
