"""Cuts one big log file into the landing zone's daily folders.

What the columns mean belongs to the source file (`source.py`); they pass through as they are.
"""

import datetime as dt
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import duckdb
import ibis
import pyarrow.parquet as pq

from convcg_assets.sources.casting import Expr, cast_time
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.file_rows import (
    DEFECT_COLUMN,
    LINE_COLUMN,
    create_view,
    quote_name,
    rows_sql,
)
from convcg_assets.sources.files import LogFile, inspect_file
from convcg_assets.sources.reading import reading
from convcg_assets.sources.row_text import ROW_COLUMNS, inner_name, logged_name
from convcg_assets.sources.stream import Stream, TimeUnit, nearest

EMPTY_MARKER = "_SUCCESS"
MAX_DAYS = 3660
"""Ten years: more are a wrong unit, or a few rows of a wrong year."""


def split_file(
    path: Path,
    *,
    into: Path,
    stream: str,
    time_column: str,
    time_unit: TimeUnit = "iso",
    time_zone: str = "UTC",
    first_day: dt.date | None = None,
    last_day: dt.date | None = None,
    options: Stream | None = None,
    overwrite: bool = False,
) -> dict[dt.date, int]:
    """Cut a CSV, Parquet or JSON-lines file into one Parquet file per UTC day below `into/stream`.

    Returns rows per day, days without rows within the range included: they get an empty-day marker.
    Rows keep their order. A row whose time cannot be read goes to the first day, where the contract
    rejects it with its reason, as does a row that cannot be read at all; rows before `first_day`
    and after `last_day` go to that day. Each day's folder appears whole or not at all. Raises
    LandingError where the file cannot be read, has no such column, or would make more than
    `MAX_DAYS` folders, FileExistsError where a day is there already.
    """
    options = options or Stream()
    file = inspect_file(path, day=dt.date(1970, 1, 1), options=options)
    _check_columns(file, time_column)
    folder = into / stream
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".splitting-", dir=folder) as work:
        con = ibis.duckdb.connect(Path(work) / "rows.duckdb")
        con.raw_sql("SET TimeZone = 'UTC'")
        with reading(stream, [file], options=options):
            raw = create_view(rows_sql([file], None, options, con=con), con=con)
            time, _ = cast_time(
                raw[inner_name(time_column)],
                name=time_column,
                unit=time_unit,
                zone=time_zone,
                first_day=dt.date(2000, 1, 1),
            )
            con.create_view("timed", raw.mutate(_day=_within(time.date(), first_day, last_day)))
            con.raw_sql("CREATE TABLE rows AS FROM timed ORDER BY _day NULLS FIRST, _row")
        counts = _count(con.con)
        if not counts:
            raise LandingError(
                f"{path}: no row has a time that can be read in column {time_column!r} as "
                f"{time_unit}; set --time-unit to iso, s, ms or us"
            )
        _check_range(path, counts)
        every_day = _days_between(min(counts), max(counts))
        _check_sum(path, sum(counts.values()), file.num_rows)
        taken = [day for day in every_day if (folder / f"dt={day}").exists()]
        if taken and not overwrite:
            raise FileExistsError(
                f"{folder}/dt={taken[0]} is there already ({len(taken)} of {len(every_day)} days "
                "are); choose another folder or pass --overwrite"
            )
        columns = _columns(raw)
        num_written = 0
        for day in every_day:
            ready = Path(work) / f"dt={day}"
            num_written += _write_day(
                con.con, day, ready, columns, rows=counts.get(day, 0), first=day == every_day[0]
            )
        _check_sum(path, num_written, file.num_rows)
        for day in every_day:
            _publish(Path(work) / f"dt={day}", folder / f"dt={day}")
        con.disconnect()
    return {day: counts.get(day, 0) for day in every_day}


def _check_columns(file: LogFile, time_column: str) -> None:
    if time_column not in file.columns:
        guess = nearest(time_column, file.columns)
        hint = f"; did you mean {guess!r}?" if guess else "."
        raise LandingError(
            f"{file.path}: no column {time_column!r}{hint} Found: {', '.join(file.columns)}"
        )
    by_lower: dict[str, str] = {}
    for column in file.columns:
        other = by_lower.setdefault(column.lower(), column)
        if other != column:
            raise LandingError(
                f"{file.path}: columns {other!r} and {column!r} differ in case alone, and are one "
                "to the engine; rename one of them"
            )


def _within(day: Expr, first_day: dt.date | None, last_day: dt.date | None) -> Expr:
    """A day, or the nearest of those asked for."""
    if first_day is not None:
        day = ibis.ifelse(day < first_day, ibis.literal(first_day), day)
    if last_day is not None:
        day = ibis.ifelse(day > last_day, ibis.literal(last_day), day)
    return day


def _check_range(path: Path, counts: dict[dt.date, int]) -> None:
    """LandingError where a few rows of a wrong year would make a folder for every day since."""
    first, last = min(counts), max(counts)
    num_days = (last - first).days + 1
    if num_days > MAX_DAYS:
        raise LandingError(
            f"{path}: times from {first} ({counts[first]:,} rows) to {last} ({counts[last]:,} "
            f"rows): {num_days:,} days, and at most {MAX_DAYS:,} are cut. Is --time-unit right? If "
            "some rows have a wrong time, give --first-day or --last-day: rows before and after go "
            "to that day, where they are rejected with their reason"
        )


def _check_sum(path: Path, num_rows: int, num_counted: int) -> None:
    if num_rows != num_counted:
        raise LandingError(
            f"{path}: {num_counted:,} rows were counted and {num_rows:,} read, so that nothing was "
            "cut. Was it written meanwhile? Cut it again, and if it stays so, report it"
        )


def write_days(
    con: duckdb.DuckDBPyConnection, query: str, *, folder: Path, days: Iterable[dt.date]
) -> int:
    """Write a query's rows into one Parquet file per day, by its column `dt`: for importers.

    A day without rows gets an empty-day marker, a day that is there already is replaced. Returns
    the number of rows.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE importing AS {query}")
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    with tempfile.TemporaryDirectory(prefix=".importing-", dir=folder) as work:
        for day in days:
            ready = Path(work) / f"dt={day}"
            ready.mkdir()
            rows = con.sql(f"SELECT * EXCLUDE dt FROM importing WHERE dt = DATE '{day}'")
            if count := len(rows):
                rows.write_parquet(str(ready / "part-0.parquet"))
            else:
                (ready / EMPTY_MARKER).touch()
            total += count
            _publish(ready, folder / ready.name)
    return total


def _count(con: duckdb.DuckDBPyConnection) -> dict[dt.date, int]:
    """Rows of each day that has any; those of no day count with the first."""
    found = dict(con.execute("SELECT _day, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall())
    untimed = found.pop(None, 0)
    if found and untimed:
        found[min(found)] += untimed
    return found


def _days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]


def _columns(raw: ibis.Table) -> str:
    """SQL for the columns of the file, under their own names."""
    own = (name for name in raw.columns if name not in ROW_COLUMNS)
    return ", ".join(f"{quote_name(name)} AS {quote_name(logged_name(name))}" for name in own)


def _write_day(
    con: duckdb.DuckDBPyConnection,
    day: dt.date,
    folder: Path,
    columns: str,
    *,
    rows: int,
    first: bool,
) -> int:
    """Write a day's folder; returns how many rows its file holds."""
    folder.mkdir()
    if not rows:
        (folder / EMPTY_MARKER).touch()
        return 0
    mine = f"_day = DATE '{day}'" + (" OR _day IS NULL" if first else "")
    (broken,) = con.execute(
        f"SELECT count(*) FROM rows WHERE ({mine}) AND _defect IS NOT NULL"
    ).fetchall()[0]
    if broken:
        # What could not be read is rejected with its reason and its text when the day is.
        columns += f", _defect AS {DEFECT_COLUMN}, _line AS {LINE_COLUMN}"
    target = folder / "part-0.parquet"
    named = str(target).replace("'", "''")
    con.execute(
        f"COPY (SELECT {columns} FROM rows WHERE {mine} ORDER BY _row) TO '{named}' "
        "(FORMAT parquet)"
    )
    return pq.read_metadata(target).num_rows


def _publish(ready: Path, folder: Path) -> None:
    """Put a whole day in its place; what was there goes away after."""
    old = ready.with_name(f"old-{folder.name}")
    if folder.exists():
        folder.rename(old)
    ready.rename(folder)
    if old.exists():
        shutil.rmtree(old)
