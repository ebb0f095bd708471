"""The files of a stream's days as rows: checked one by one, read together.

Where they lie belongs to `finding.py`, how a single file is looked into to `files.py`, what a row
must be like to `contract.py`.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb
import ibis
import pyarrow as pa
from ibis.backends.duckdb import Backend

from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.faults import LandingError, shorten, summarize
from convcg_assets.sources.file_rows import create_view, group_files, no_rows_sql, rows_sql
from convcg_assets.sources.files import LogFile, inspect_file, with_text_as_bytes
from convcg_assets.sources.finding import describe_place, find_files, find_table_days
from convcg_assets.sources.log_table import LogTable
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping, Stream, nearest
from convcg_assets.sources.table_rows import table_schema

T = TypeVar("T")
FAULTS_OF_FILES = (duckdb.Error, ibis.IbisError, pa.ArrowException, FileNotFoundError)
"""What is raised where a file does not hold what was found when it was looked into."""
NO_UTF8 = "is not valid UTF8"
"""How the engine puts it, of a Parquet file's text."""
TABLE_VALUE_BYTES = 8
"""What a value of a table is taken to hold, where nobody knows."""
ALIKE = 0.85
"""From this likeness on a column of another name is taken for a misspelt one."""


def check_files(source: Source, stream: str, days: Iterable[dt.date]) -> list[LogFile]:
    """The stream's files, each looked into: readable, of one format, with the columns needed.

    Raises LandingError naming each faulty file, what is wrong with it and what would be right.
    """
    options = stream_options(source, stream)
    if options.table is not None:
        return _check_table(source, stream, options.table, days)
    files: list[LogFile] = []
    faults: dict[dt.date, list[str]] = {}
    for day, name, path in find_files(source, stream, days):
        try:
            file = inspect_file(path, day=day, options=options, name=name)
            _check_columns(file, stream=stream, options=options)
            files.append(file)
        except LandingError as error:
            faults.setdefault(day, []).append(str(error))
    title = f"{source.name}: {stream} cannot be read"
    _raise_faults(title, faults)
    formats = {file.format: file.path for file in files}
    if len(formats) > 1:
        named = ", ".join(f"{path} ({kind})" for kind, path in sorted(formats.items()))
        several = f"files of several formats in one stream: {named}; land one format"
        raise LandingError(summarize(title, [several]))
    try:
        _check_alike(files, stream=stream, options=options)
    except LandingError as error:
        raise LandingError(summarize(title, [str(error)]), days=error.days) from None
    return files


def _raise_faults(title: str, faults: Mapping[dt.date, list[str]]) -> None:
    """LandingError with the faults of each day, if there are any."""
    if faults:
        raise LandingError(
            summarize(title, [fault for of_day in faults.values() for fault in of_day]),
            days={day: shorten(of_day) for day, of_day in faults.items()},
        )


def _check_table(
    source: Source, stream: str, table: LogTable, days: Iterable[dt.date]
) -> list[LogFile]:
    """The days of a stream that lies in a table."""
    located, options = table.located(source.landing), stream_options(source, stream)
    stamps, schema = find_table_days(source, stream, table, days), table_schema(located)
    place, row_bytes = Path(describe_place(source, stream)), TABLE_VALUE_BYTES * len(schema)
    files = [
        LogFile(
            place,
            day,
            "table",
            tuple(schema.names),
            num_bytes=row_bytes * stamp.num_rows,
            num_rows=stamp.num_rows,
            name=table.label,
            is_plain=False,
            types=tuple(map(str, schema.types)),
            table=located,
        )
        for day, stamp in stamps.items()
    ]
    faults: dict[dt.date, list[str]] = {}
    for file in files:
        try:
            _check_columns(file, stream=stream, options=options)
            _check_alike([file], stream=stream, options=options)
        except LandingError as error:
            faults[file.day] = [str(error)]
    _raise_faults(f"{source.name}: {stream} cannot be read", faults)
    return files


def read_stream(
    source: Source, stream: str, days: Iterable[dt.date], *, con: Backend
) -> list[ibis.Table]:
    """The rows of all the days as logged: one table for all files whose columns are of like types.

    Columns: those of the files (`row_text.inner_name`), `_dt`, `_file`, `_row` (from 1), `_defect`
    (why a row could not be read, else null) and, where there is any, `_line`, the text of a row
    that is not read into columns.

    Checks every file first (`check_files`); the rows themselves are read when the result is. CSV
    and JSON values are text, as logged; an empty CSV field is null. Columns that the stream does
    not use are text. Read the result within `reading()`.
    """
    return read_files(source, stream, check_files(source, stream, days), con=con)


def read_files(
    source: Source, stream: str, files: list[LogFile], *, con: Backend
) -> list[ibis.Table]:
    """The rows of a stream's files that `check_files` has looked into, as `read_stream` says."""
    con.raw_sql("SET TimeZone = 'UTC'")  # Timestamps with a zone become UTC by the session's zone.
    options = stream_options(source, stream)
    used = tuple(_needed_columns(stream, options))
    if not files:
        return [create_view(no_rows_sql(used), con=con)]
    with reading(stream, files, options=options):
        groups = group_files(files, used=used)
        return [create_view(rows_sql(g, used, options, con=con), con=con) for g in groups]


def read_any_text(files: list[LogFile], read: Callable[[list[LogFile]], T]) -> T:
    """What `read` makes of files, by way of `reading()`; text of Parquet files may be no UTF-8.

    The engine refuses such a file. The text may be of a column that nothing needs, or of a few
    rows: read again as bytes, none of the others is lost.
    """
    try:
        return read(files)
    except LandingError as error:
        if NO_UTF8 not in str(error.__cause__):
            raise
    return read([with_text_as_bytes(f) if f.format == "parquet" else f for f in files])


def check_counts(
    stream: str, files: Sequence[LogFile], found: Mapping[tuple[dt.date, str], int]
) -> None:
    """LandingError where the engine finds other rows in a file, by day and name, than it holds."""
    for file in files:
        num_rows = found.get((file.day, file.name), 0)
        if num_rows != file.num_rows:
            raise LandingError(
                f"{stream}: {file.path}: {file.num_rows:,} rows were counted and {num_rows:,} "
                "read. Was it written meanwhile? Read it again, and if it stays so, report it"
            )


@contextmanager
def reading(
    stream: str, files: Sequence[LogFile] = (), *, options: Stream | None = None
) -> Iterator[None]:
    """Turn what the engine says of a file that breaks while it is read into a LandingError.

    Of several `files` each is then read by itself, to name the one that breaks.
    """
    try:
        yield
    except FAULTS_OF_FILES as error:
        broken = _find_broken(files, options or Stream())
        if files and broken is None:
            raise  # It is not the files.
        place, cause = (f"{broken[0].path}: ", broken[1]) if broken else ("", error)
        said = str(cause).strip().splitlines()[0]
        days = {broken[0].day: f"{place}broke while it was read: {said}"} if broken else None
        raise LandingError(
            f"{stream}: a file broke while it was read: {place}{said}", days=days
        ) from error


def _needed_columns(
    stream: str, options: Stream, *, required_on: dt.date | None = None
) -> dict[str, str]:
    """Columns of the files: why each is needed; all of them, or those that a day must have."""
    needed = dict.fromkeys(options.where, f"streams.{stream}.where")
    for name in STREAMS[stream].mappable:
        mapping = options.columns.get(name)
        if mapping:
            if required_on is None or mapping.is_required(required_on):
                needed |= dict.fromkeys(mapping.sources, f"streams.{stream}.columns.{name}")
        elif name in STREAMS[stream].logged or required_on is None:
            needed[name] = f"streams.{stream}.columns.{name}"
    return needed


def _check_columns(file: LogFile, *, stream: str, options: Stream) -> None:
    """JSON lines may leave out a key that is null everywhere, unless another key looks like it."""
    for column, place in _needed_columns(stream, options, required_on=file.day).items():
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
        others = "" if required else f", with {_maybe(column)}"
        raise LandingError(
            f"{file.path}: no column {column!r}{hint} (found: {', '.join(file.columns)}). "
            f"Set {place} in the source file{others}"
        )
    _check_case(file, _needed_columns(stream, options))


def _maybe(column: str) -> str:
    """How a column is declared that not every file has."""
    return (
        f"{{column: {column}, optional: true}} if files may lack it, or {{column: {column}, "
        "since: DATE} if it came with a day"
    )


def _check_case(file: LogFile, needed: Mapping[str, str]) -> None:
    """The engine does not tell columns apart that differ in case alone."""
    for column in needed:
        twins = [c for c in file.columns if c.lower() == column.lower()]
        if column in twins and len(twins) > 1 and (file.format != "jsonl" or {*twins} <= {*needed}):
            raise LandingError(
                f"{file.path}: columns {' and '.join(map(repr, twins))} differ in case alone, and "
                "are one to the engine; rename those that are not needed"
            )


def _check_alike(files: list[LogFile], *, stream: str, options: Stream) -> None:
    """An optional column must not be lost to a slip of the pen, nor be in some of a day's files.

    From day to day they may differ: a range gives what its days give.
    """
    used = {column for mapping in options.columns.values() for column in mapping.sources}
    used |= set(options.where) | set(STREAMS[stream].mappable)
    for name in STREAMS[stream].mappable:
        if name in options.columns or name in STREAMS[stream].logged:
            continue
        days_with = {file.day for file in files if name in file.columns}
        for file in files:
            if name in file.columns:
                continue
            spare = [column for column in file.columns if column not in used]
            guess = nearest(name, spare, cutoff=ALIKE)
            place = f"streams.{stream}.columns.{name}"
            if guess is not None:
                said = (
                    f"{file.path}: no column {name!r}, but {guess!r} is like it. Set {place} to "
                    f"{guess}, or to null if the log does not have it"
                )
                raise LandingError(said, days={file.day: said})
            if file.format != "jsonl" and file.day in days_with:
                said = (
                    f"{file.path}: no column {name!r}, which other files of {stream} have. Land "
                    f"it with the column, or set {place} to null to leave it out everywhere, or to "
                    f"{{column: {name}, optional: true}} to take it where it is there"
                )
                raise LandingError(said, days={file.day: said})


def absent_columns(
    stream: str, files: Sequence[LogFile], options: Stream
) -> dict[dt.date, dict[str, int]]:
    """Per day the columns that are null because files lack them, and of how many rows.

    Those that may be lacking, and those that other files have.
    """
    absent: dict[dt.date, dict[str, int]] = {}
    for name in STREAMS[stream].mappable:
        mapping = options.columns.get(name, ColumnMapping(column=name))
        is_there = {file: bool(set(mapping.sources) & set(file.columns)) for file in files}
        if not mapping.sources or not (mapping.optional or mapping.since or any(is_there.values())):
            continue
        for file in files:
            if not is_there[file]:
                of_day = absent.setdefault(file.day, {})
                of_day[name] = of_day.get(name, 0) + file.num_rows
    return absent


def _find_broken(files: Sequence[LogFile], options: Stream) -> tuple[LogFile, BaseException] | None:
    """The first file that cannot be read by itself, and why."""
    for file in files:
        con = ibis.duckdb.connect()
        try:
            rows = rows_sql([file], (), options, con=con)
            con.con.execute(f"SELECT max(hash(COLUMNS(*))) FROM ({rows})").fetchall()
        except (*FAULTS_OF_FILES, LandingError) as error:
            return file, error
        finally:
            con.disconnect()
    return None
