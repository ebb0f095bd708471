"""Raw logs into the lake: a range of days of all streams, checked, typed and written.

How files are found and read belongs to `sources/reading.py`, the rules for rows to
`sources/contract.py`.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import Compiled, compiled_once
from convcg_assets.builds.record import record_days
from convcg_assets.builds.staleness import Detail, raw_detail, raw_inputs, stale_raw_tables
from convcg_assets.builds.state import load_state
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.lake.delta import NO_VERSION, Lake, Version
from convcg_assets.lake.engine import Files, Query, select_files
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.contract import apply_contract, count_ignored, has_column
from convcg_assets.sources.implied import (
    implied_impressions,
    implied_pins,
    implied_users,
    name_advertisers,
)
from convcg_assets.sources.landed import LandedDay, inspect_day, stream_of
from convcg_assets.sources.reading import check_files, read_files, reading
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW_TABLES, REJECTED, RawRecipe, make_raw_recipes
from convcg_assets.tables.registry import table_schema

IMPLIED = ("impressions", *(stream for stream in STREAMS if stream != "impressions"))
"""Streams that a log may lack: impressions first, since they are implied for events alone."""
READ_ORDER = tuple(sorted(STREAMS, key=lambda stream: STREAMS[stream].kind != "snapshot"))
"""The catalogue first: it names the advertisers of events whose log does not."""
NAMED_BY_PINS = ("impressions", "conversions")
"""Events whose advertiser is that of their Pin where the log is silent."""


@dataclass(frozen=True)
class Ingested:
    """What a landing came to, per stream: rows ignored on purpose per day, and table versions."""

    num_ignored: dict[str, dict[str, int]]
    versions: dict[str, int]


def build_raw(
    deployment: Deployment, days: Days, *, con: Backend, run_id: str | None = None
) -> Ingested:
    """Read the days' landing folders into the raw tables, and record what they hold.

    Only the streams with a file that has changed are read; if none has, all are. The fingerprint of
    the files is taken before they are read: a file that changes meanwhile leaves a day that differs
    from what was recorded.
    """
    recipes = make_raw_recipes(deployment.source)
    logs = {day: inspect_day(deployment.source, day) for day in days}
    tables = _tables_to_read(deployment, recipes, logs) or set(RAW_TABLES)

    def record(table: str, version: Version) -> None:
        details = {day: raw_detail(recipes[table], found) for day, found in logs.items()}
        record_days(deployment, table, version, details=details, con=con, run_id=run_id)

    return ingest(
        deployment.source, days, lake=deployment.lake, con=con, tables=tables, on_write=record
    )


def ingest(
    source: Source,
    days: Days,
    *,
    lake: Lake,
    con: Backend,
    tables: Collection[str] = tuple(RAW_TABLES),
    on_write: Callable[[str, Version], None] | None = None,
) -> Ingested:
    """Replace those days of the raw tables by what their landing folders hold.

    Of fewer `tables` only their streams' files are read; rejected rows of the others are kept as
    they are. `on_write` is told each table with the version that was made of
    it, `rejected_events` last.

    Every file is looked into before anything is written: LandingError leaves the tables as they
    were. Streams that the source lacks are implied by those that it has, or empty.
    """
    present = [stream for stream in READ_ORDER if source.stream(stream) is not None]
    read = [stream for stream in present if stream in tables]
    files = {stream: check_files(source, stream, days) for stream in read}
    num_ignored: dict[str, dict[str, int]] = {}
    made: dict[str, Version] = {}
    rejects: list[Query] = []
    if REJECTED in tables and read != present:
        rejects.append(_other_rejects(lake, days, read=read))

    def held(table: str) -> Files:
        """What was written here, whatever another has written since."""
        version = made.get(table) or lake.snapshot(table) or NO_VERSION
        return version.held(days, lake.schema(table))

    def write(table: str, query: Query) -> None:
        with reading(table):
            made[table] = lake.replace(table, days, query, con=con)
        if on_write is not None:
            on_write(table, made[table])

    for stream in read:
        raw = read_files(source, stream, files[stream], con=con)
        rows = _compile_contract(raw.schema(), stream=stream, source=source, con=con)
        num_bytes = sum(file.path.stat().st_size for file in files[stream])
        given = {"raw": f"SELECT * FROM {raw.get_name()}"}
        named = {"pins": held("pins")} if "pins" in rows["valid"].inputs else {}
        write(stream, Query(rows["valid"].text, {**given, **named}, num_bytes=num_bytes))
        rejects.append(Query(rows["rejected"].text, given, num_bytes=num_bytes))
        with reading(stream):
            ignored = con.con.execute(Query(rows["ignored"].text, given).sql).fetchall()
        num_ignored[stream] = {str(day): count for day, count in ignored}
    for table in IMPLIED:
        if table in tables and table not in present:
            rows = _compile_implied(table, present, source=source, con=con)
            write(table, Query(rows.text, {name: held(name) for name in rows.inputs}))
    if REJECTED in tables:
        together = " UNION ALL BY NAME ".join(f"({query.sql})" for query in rejects)
        sizes = [query.num_bytes for query in rejects]
        known = None if None in sizes else sum(size for size in sizes if size is not None)
        write(REJECTED, Query(together, num_bytes=known))
    return Ingested(num_ignored, {table: version.number for table, version in made.items()})


def _other_rejects(lake: Lake, days: Days, *, read: Collection[str]) -> Query:
    """The rejected rows of the streams that are not read again."""
    kept = (lake.snapshot(REJECTED) or NO_VERSION).held(days, lake.schema(REJECTED))
    again = ", ".join(f"'{stream}'" for stream in read)
    text = f"SELECT * FROM kept WHERE stream NOT IN ({again})" if read else "SELECT * FROM kept"
    return Query(text, {"kept": kept}, num_bytes=kept.num_bytes)


def _compile_contract(
    schema: ibis.Schema, *, stream: str, source: Source, con: Backend
) -> dict[str, Compiled]:
    """SQL over `raw`: the valid rows, the rejected rows, and how many a day are ignored.

    Where the log does not say whose Pin it is, the valid rows ask `pins` of the same days.
    """
    raw = ibis.table(schema, name="raw")
    is_silent = stream in NAMED_BY_PINS and not has_column(
        raw, "advertiser_id", stream=stream, source=source
    )
    asks_pins = is_silent and source.stream("pins") is not None

    def compile(part: str) -> Compiled:
        if part == "ignored":
            return Compiled(con.compile(count_ignored(raw, stream=stream, source=source)))
        valid, rejected = apply_contract(raw, stream=stream, source=source)
        if part == "rejected":
            return Compiled(con.compile(rejected))
        if not asks_pins:
            return Compiled(con.compile(valid))
        pins = ibis.table(table_schema("pins", source.id_types), name="pins")
        return Compiled(con.compile(name_advertisers(valid, pins)), ("pins",))

    key = ("contract", stream, schema, source.model_dump_json())
    parts = ("valid", "rejected", "ignored")
    return {part: compiled_once((*key, part), partial(compile, part)) for part in parts}


def _compile_implied(
    table: str, present: Collection[str], *, source: Source, con: Backend
) -> Compiled:
    """SQL of a table whose stream the log lacks, over the streams that imply it; else no rows."""

    def compile() -> Compiled:
        events = [s for s in READ_ORDER if s in present and STREAMS[s].kind != "snapshot"]
        given = {s: ibis.table(table_schema(s, source.id_types), name=s) for s in present}
        id_types = source.id_types
        if table == "impressions" and "engagements" in present:
            rows = implied_impressions(
                given["engagements"], surface=source.implied_surface, id_types=id_types
            )
            named = ("pins",) if "pins" in present else ()
            if named:
                rows = name_advertisers(rows, given["pins"])
            return Compiled(con.compile(rows), ("engagements", *named))
        if table in ("pins", "users"):
            imply = implied_pins if table == "pins" else implied_users
            rows = imply(*(given[s] for s in events), id_types=id_types)
            return Compiled(con.compile(rows), tuple(events))
        return Compiled(select_files(Files((), table_schema(table, id_types))))

    key = ("implied", table, tuple(present), source.model_dump_json())
    return compiled_once(key, compile)


def _tables_to_read(
    deployment: Deployment, recipes: Mapping[str, RawRecipe], logs: Mapping[dt.date, LandedDay]
) -> set[str]:
    """The raw tables that differ, and those of streams whose rejected rows are not known."""
    state = load_state(
        RAW_TABLES, lake=deployment.lake, ledger=deployment.ledger, home=deployment.home
    )
    tables: set[str] = set()
    for day, found in logs.items():
        stale = stale_raw_tables(state, day, raw_inputs(recipes, found))
        if REJECTED in stale:
            key = state[REJECTED].key(day)
            known = deployment.ledger.build_detail(REJECTED, day, key) or {}
            tables |= _streams_that_differ(known, raw_detail(recipes[REJECTED], found), recipes)
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
