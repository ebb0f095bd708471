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

from convcg_assets.sources.casting import cast_time
from convcg_assets.sources.files import LandingError, inspect_file
from convcg_assets.sources.reading import raw_sql
from convcg_assets.sources.stream import Stream, TimeUnit, nearest
from convcg_assets.sources.unpacked import unpacked

EMPTY_MARKER = "_SUCCESS"


def split_file(
    path: Path,
    *,
    into: Path,
    stream: str,
    time_column: str,
    time_unit: TimeUnit = "iso",
    time_zone: str = "UTC",
    options: Stream | None = None,
    overwrite: bool = False,
) -> dict[dt.date, int]:
    """Cut a CSV, Parquet or JSON-lines file into one Parquet file per UTC day below `into/stream`.

    Returns rows per day, days without rows within the range included: they get an empty-day marker.
    Rows keep their order. A row whose time cannot be read goes to the first day, where the contract
    rejects it with its reason. Each day's folder appears whole or not at all. Raises LandingError
    where the file cannot be read or has no such column, FileExistsError where a day is there
    already.
    """
    file = inspect_file(path, day=dt.date(1970, 1, 1), options=options or Stream())
    if time_column not in file.columns:
        guess = nearest(time_column, file.columns)
        hint = f"; did you mean {guess!r}?" if guess else "."
        raise LandingError(
            f"{path}: no column {time_column!r}{hint} Found: {', '.join(file.columns)}"
        )
    folder = into / stream
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".splitting-", dir=folder) as work,
        unpacked([file]) as (plain,),
    ):
        con = ibis.duckdb.connect(Path(work) / "rows.duckdb")
        con.raw_sql("SET TimeZone = 'UTC'")
        con.raw_sql(f"CREATE TEMP VIEW raw AS {raw_sql([plain], options=options or Stream())}")
        raw = con.table("raw")
        raw = raw.drop("_dt", "_file", "_defect", *({"_line"} & set(raw.columns)))
        time, _ = cast_time(
            raw[time_column],
            name=time_column,
            unit=time_unit,
            zone=time_zone,
            first_day=dt.date(2000, 1, 1),
        )
        con.create_view("timed", raw.mutate(_day=time.date()))
        con.raw_sql("CREATE TABLE rows AS FROM timed ORDER BY _day NULLS FIRST, _row")
        counts = _count(con.con)
        if not counts:
            raise LandingError(
                f"{path}: no row has a time that can be read in column {time_column!r} as "
                f"{time_unit}; set --time-unit to iso, s, ms or us"
            )
        taken = [day for day in counts if (folder / f"dt={day}").exists()]
        if taken and not overwrite:
            raise FileExistsError(
                f"{folder}/dt={taken[0]} is there already ({len(taken)} of {len(counts)} days "
                "are); choose another folder or pass --overwrite"
            )
        for day, rows in counts.items():
            _write_day(con.con, day, Path(work) / f"dt={day}", rows=rows, first=day == min(counts))
        for day in counts:
            _publish(Path(work) / f"dt={day}", folder / f"dt={day}")
        con.disconnect()
    return counts


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
    """Rows per day from the first to the last day, those of no day in the first."""
    found = dict(con.execute("SELECT _day, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall())
    untimed = found.pop(None, 0)
    if not found:
        return {}
    first, last = min(found), max(found)
    days = [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]
    return {day: found.get(day, 0) + (untimed if day == first else 0) for day in days}


def _write_day(
    con: duckdb.DuckDBPyConnection, day: dt.date, folder: Path, *, rows: int, first: bool
) -> None:
    folder.mkdir()
    if not rows:
        (folder / EMPTY_MARKER).touch()
        return
    untimed = " OR _day IS NULL" if first else ""
    target = str(folder / "part-0.parquet").replace("'", "''")
    con.execute(
        f"COPY (SELECT * EXCLUDE (_day, _row) FROM rows WHERE _day = DATE '{day}'{untimed} "
        f"ORDER BY _row) TO '{target}' (FORMAT parquet)"
    )


def _publish(ready: Path, folder: Path) -> None:
    """Put a whole day in its place; what was there goes away after."""
    old = ready.with_name(f"old-{folder.name}")
    if folder.exists():
        folder.rename(old)
    ready.rename(folder)
    if old.exists():
        shutil.rmtree(old)
