"""Raw logs into the lake: a range of days of all streams, checked, typed and written.

How files are found and read belongs to `sources/reading.py`, the rules for rows to
`sources/contract.py`, what becomes of days that cannot be read to `good_days.py`.
"""

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import Compiled
from convcg_assets.builds.content_lengths import Length, check_lengths
from convcg_assets.builds.copies import as_first_read, remember_files
from convcg_assets.builds.forgotten import NOBODY, Forgotten, read_forgotten
from convcg_assets.builds.good_days import Ingested, RowCounts, land_good_days
from convcg_assets.builds.raw_queries import (
    READ_ORDER,
    compile_contract,
    compile_implied,
    raw_names,
    select_catalogue,
)
from convcg_assets.builds.record import record_days
from convcg_assets.builds.staleness import (
    Detail,
    held_catalogue,
    raw_detail,
    raw_inputs,
    stale_raw_tables,
)
from convcg_assets.builds.state import load_state, table_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import Lake, Version
from convcg_assets.lake.engine import Files, Query
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.contract import has_column
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.files import LogFile
from convcg_assets.sources.landed import LandedDay, inspect_days, stream_of
from convcg_assets.sources.reading import (
    absent_columns,
    check_counts,
    check_files,
    read_any_text,
    read_files,
    reading,
)
from convcg_assets.sources.repeats import Repeats, check_repeats
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import Stream
from convcg_assets.tables.raw import RAW_TABLES, REJECTED, RawRecipe, make_raw_recipes

IMPLIED = ("impressions", *(stream for stream in STREAMS if stream != "impressions"))
"""Streams that a log may lack: impressions first, since they are implied for events alone."""


def build_raw(
    deployment: Deployment, days: Days, *, con: Backend, run_id: str | None = None
) -> Ingested:
    """Read the days' landing folders into the raw tables, and record what they hold.

    Only the streams with a file that has changed are read; if none has, all are. The fingerprint of
    the files is taken before they are read: a file that changes meanwhile leaves a day that differs
    from what was recorded.

    A day that cannot be read does not hold up the others (`Ingested.failed`). Raises LandingError
    where none of the days can be read.
    """
    recipes = make_raw_recipes(deployment.source)
    landed = inspect_days(deployment.source, days)
    logs = as_first_read(deployment.source, landed, ledger=deployment.ledger)
    tables = _tables_to_read(deployment, recipes, logs) or set(recipes)
    catalogue = deployment.lake.snapshot("pins")

    def land(part: Days) -> Ingested:
        def record(table: str, version: Version) -> None:
            nonlocal catalogue
            if table == "pins":
                catalogue = version
            held: dict[dt.date, dict[str, str]] = {}
            if recipes[table].asks_catalogue:
                pins = table_state("pins", deployment.ledger.facts(["pins"])["pins"], catalogue)
                held = {day: held_catalogue(pins, day) for day in part}
            details = {
                day: raw_detail(recipes[table], logs[day], held.get(day, {})) for day in part
            }
            record_days(deployment, table, version, details=details, con=con, run_id=run_id)

        return ingest(
            deployment.source,
            part,
            lake=deployment.lake,
            con=con,
            tables=tables,
            catalogue=catalogue,
            forgotten=read_forgotten(deployment.home),
            on_write=record,
        )

    done = land_good_days(days, land)
    read = {day: found for day, found in landed.items() if day not in done.failed}
    remember_files(deployment.source, read, ledger=deployment.ledger)
    return done


def ingest(
    source: Source,
    days: Days,
    *,
    lake: Lake,
    con: Backend,
    tables: Collection[str] | None = None,
    catalogue: Version | None = None,
    forgotten: Forgotten = NOBODY,
    on_write: Callable[[str, Version], None] | None = None,
) -> Ingested:
    """Replace those days of the raw tables by what their landing folders hold.

    Of some `tables` only their streams' files are read; rejected rows of the others are kept as
    they are. Where `pins` is not among them, the Pins that name advertisers are those of
    `catalogue`. Rows of `forgotten` people are left out. `on_write` is told each table with the
    version that was made of it, `rejected_events` last.

    Every file is looked into, and every row checked, before anything is written: LandingError
    leaves the tables as they were. Streams that the source lacks are implied by those that it has,
    or empty.
    """
    tables = set(RAW_TABLES) if tables is None else tables
    present = [stream for stream in READ_ORDER if source.stream(stream) is not None]
    read = [stream for stream in present if stream in tables]
    files = _check(source, read, days)
    streams = {
        stream: read_any_text(of_stream, partial(_open_stream, source, stream, con=con))
        for stream, of_stream in files.items()
    }
    if "pins" in streams:
        lengths = streams["pins"].content_lengths(con=con)
        check_lengths(lengths, days, pins=lake.snapshot("pins"), lake=lake, con=con)
    made: dict[str, Version] = {}

    def held(table: str) -> Files | str:
        """What was written here, whatever another has written since; of Pins what holds."""
        if table == "pins":
            return select_catalogue(made.get(table, catalogue), days, schema=lake.schema(table))
        return lake.held(table, days, version=made.get(table) or lake.snapshot(table))

    def write(table: str, query: Query) -> None:
        made[table] = lake.replace(table, days, forgotten.left_out(table, query), con=con)
        if on_write is not None:
            on_write(table, made[table])

    for stream, logs in streams.items():
        valid = logs.rows["valid"]
        named = {"pins": held("pins")} if "pins" in valid.inputs else {}
        with logs.reading():
            write(stream, Query(valid.text, {**logs.raws, **named}, num_bytes=logs.num_bytes))
    for table in IMPLIED:
        if table in tables and table not in present and RAW_TABLES[table].is_there(source):
            rows = compile_implied(table, present, source=source, con=con)
            write(table, Query(rows.text, {name: held(name) for name in rows.inputs}))
    if REJECTED in tables:
        rejects = [f"SELECT * FROM {logs.rejects}" for logs in streams.values()]
        if read != present:
            rejects.append(_other_rejects(lake, days, read=read).sql)
        together = " UNION ALL BY NAME ".join(f"({sql})" for sql in rejects)
        num_bytes = sum(logs.num_bytes for logs in streams.values())
        write(REJECTED, Query(together, num_bytes=num_bytes))
    for logs in streams.values():
        con.raw_sql(f"DROP TABLE {logs.rejects}")
    counts = {stream: logs.counts for stream, logs in streams.items()}
    absent = {
        stream: absent_columns(stream, logs.files, logs.options) for stream, logs in streams.items()
    }
    return Ingested(counts, absent, {table: version.number for table, version in made.items()})


@dataclass(frozen=True)
class _Logs:
    """A stream's files, read through: their rows, and the SQL for what they become.

    `rejects` is a table of the engine: the rows that break the contract.
    """

    stream: str
    files: list[LogFile]
    options: Stream
    raws: dict[str, str]
    rows: dict[str, Compiled]
    counts: dict[str, RowCounts]
    rejects: str

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)

    def content_lengths(self, *, con: Backend) -> list[Length]:
        """Of Pins the lengths of their content, by day and encoder."""
        if "lengths" not in self.rows:
            return []
        with self.reading():
            found = con.con.execute(Query(self.rows["lengths"].text, self.raws).sql).fetchall()
        return [Length(*row) for row in found]

    def reading(self) -> AbstractContextManager[None]:
        """Says of an error which of the files it is of."""
        return reading(self.stream, self.files, options=self.options)


def _check(source: Source, streams: Collection[str], days: Days) -> dict[str, list[LogFile]]:
    """The files of each stream; LandingError names the faults of all streams."""
    files: dict[str, list[LogFile]] = {}
    errors: list[LandingError] = []
    for stream in streams:
        try:
            files[stream] = check_files(source, stream, days)
        except LandingError as error:
            errors.append(error)
    if len(errors) > 1:
        bad = sorted({day for error in errors for day in error.days})
        by_day = {d: "; ".join(e.days[d] for e in errors if d in e.days) for d in bad}
        raise LandingError("\n".join(map(str, errors)), days=by_day)
    if errors:
        raise errors[0]
    return files


def _open_stream(source: Source, stream: str, files: list[LogFile], *, con: Backend) -> _Logs:
    """Read a stream's rows through; LandingError where the engine finds others than were counted.

    The files were counted without it: a row that it does not see would be lost without a word.
    """
    options = stream_options(source, stream)
    raws = read_files(source, stream, files, con=con)
    rows = compile_contract([raw.schema() for raw in raws], stream=stream, source=source, con=con)
    views = {
        name: f"SELECT * FROM {raw.get_name()}"
        for name, raw in zip(raw_names(len(raws)), raws, strict=True)
    }
    rejects = f"rejects_{uuid.uuid4().hex}"
    with reading(stream, files, options=options):
        con.raw_sql(f"CREATE TEMP TABLE {rejects} AS {Query(rows['rejected'].text, views).sql}")
        counted = con.con.execute(Query(rows["counts"].text, views).sql).fetchall()
    check_counts(stream, files, {(day, file): num for day, file, num, *_ in counted})
    counts: dict[str, RowCounts] = {}
    for day, _file, *numbers in counted:
        before = counts.get(str(day), RowCounts())
        counts[str(day)] = RowCounts(*map(sum, zip(before, numbers, strict=True)))
    key = STREAMS[stream].key
    if not any(has_column(raw, key, stream=stream, source=source) for raw in raws):
        late = con.con.execute(
            f"SELECT dt, count(*) FROM {rejects} WHERE reason = 'duplicate {key}' GROUP BY dt"
        ).fetchall()
        repeats = {day: Repeats(num, counts[str(day)].judged) for day, num in late}
        check_repeats(repeats, stream=stream)
    return _Logs(stream, files, options, views, rows, counts, rejects)


def _other_rejects(lake: Lake, days: Days, *, read: Collection[str]) -> Query:
    """The rejected rows of the streams that are not read again."""
    kept = lake.held(REJECTED, days, version=lake.snapshot(REJECTED))
    again = ", ".join(f"'{stream}'" for stream in read)
    text = f"SELECT * FROM kept WHERE stream NOT IN ({again})" if read else "SELECT * FROM kept"
    return Query(text, {"kept": kept}, num_bytes=kept.num_bytes)


def _tables_to_read(
    deployment: Deployment, recipes: Mapping[str, RawRecipe], logs: Mapping[dt.date, LandedDay]
) -> set[str]:
    """The raw tables that differ, and those of streams whose rejected rows are not known."""
    state = load_state(
        RAW_TABLES, lake=deployment.lake, ledger=deployment.ledger, home=deployment.home
    )
    tables: set[str] = set()
    for day, found in logs.items():
        catalogue = held_catalogue(state["pins"], day)
        stale = stale_raw_tables(state, day, raw_inputs(recipes, found, catalogue))
        if REJECTED in stale:
            key = state[REJECTED].key(day)
            known = deployment.ledger.build_detail(REJECTED, day, key) or {}
            tables |= _streams_that_differ(
                known, raw_detail(recipes[REJECTED], found, catalogue), recipes
            )
        tables |= stale
    return tables


def _streams_that_differ(
    known: Detail, now: Detail, recipes: Mapping[str, RawRecipe]
) -> frozenset[str]:
    """The streams of which another file is there now than is known to have been read."""
    if known.get("settings") != now["settings"]:
        return recipes[REJECTED].streams
    old, new = known["landing"], now["landing"]
    return frozenset(stream_of(f) for f in {*old, *new} if old.get(f) != new.get(f))
