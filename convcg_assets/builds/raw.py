"""Raw logs into the lake: a range of days of all streams, checked, typed and written.

How files are found and read belongs to `sources/reading.py`, the rules for rows to
`sources/contract.py`.
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ibis.backends.duckdb import Backend

from convcg_assets.builds.raw_queries import (
    READ_ORDER,
    compile_contract,
    compile_implied,
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
from convcg_assets.sources.landed import LandedDay, inspect_day, stream_of
from convcg_assets.sources.reading import check_files, read_files, reading
from convcg_assets.sources.source import Source
from convcg_assets.tables.raw import RAW_TABLES, REJECTED, RawRecipe, make_raw_recipes

IMPLIED = ("impressions", *(stream for stream in STREAMS if stream != "impressions"))
"""Streams that a log may lack: impressions first, since they are implied for events alone."""


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

    catalogue = deployment.lake.snapshot("pins")

    def record(table: str, version: Version) -> None:
        nonlocal catalogue
        if table == "pins":
            catalogue = version
        facts = deployment.ledger.facts(["pins"])["pins"]
        pins = table_state(facts, catalogue)
        details = {
            day: raw_detail(recipes[table], found, held_catalogue(pins, day))
            for day, found in logs.items()
        }
        record_days(deployment, table, version, details=details, con=con, run_id=run_id)

    return ingest(
        deployment.source,
        days,
        lake=deployment.lake,
        con=con,
        tables=tables,
        catalogue=catalogue,
        on_write=record,
    )


def ingest(
    source: Source,
    days: Days,
    *,
    lake: Lake,
    con: Backend,
    tables: Collection[str] = tuple(RAW_TABLES),
    catalogue: Version | None = None,
    on_write: Callable[[str, Version], None] | None = None,
) -> Ingested:
    """Replace those days of the raw tables by what their landing folders hold.

    Of fewer `tables` only their streams' files are read; rejected rows of the others are kept as
    they are. Where `pins` is not among them, the Pins that name advertisers are those of
    `catalogue`. `on_write` is told each table with the version that was made of it,
    `rejected_events` last.

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

    def held(table: str) -> Files | str:
        """What was written here, whatever another has written since; of Pins what holds."""
        if table == "pins":
            return select_catalogue(made.get(table, catalogue), days, schema=lake.schema(table))
        return lake.held(table, days, version=made.get(table) or lake.snapshot(table))

    def write(table: str, query: Query) -> None:
        with reading(table):
            made[table] = lake.replace(table, days, query, con=con)
        if on_write is not None:
            on_write(table, made[table])

    for stream in read:
        raw = read_files(source, stream, files[stream], con=con)
        rows = compile_contract(raw.schema(), stream=stream, source=source, con=con)
        num_bytes = sum(file.num_bytes for file in files[stream])
        given = {"raw": f"SELECT * FROM {raw.get_name()}"}
        named = {"pins": held("pins")} if "pins" in rows["valid"].inputs else {}
        write(stream, Query(rows["valid"].text, {**given, **named}, num_bytes=num_bytes))
        rejects.append(Query(rows["rejected"].text, given, num_bytes=num_bytes))
        with reading(stream):
            ignored = con.con.execute(Query(rows["ignored"].text, given).sql).fetchall()
        num_ignored[stream] = {str(day): count for day, count in ignored}
    for table in IMPLIED:
        if table in tables and table not in present:
            rows = compile_implied(table, present, source=source, con=con)
            write(table, Query(rows.text, {name: held(name) for name in rows.inputs}))
    if REJECTED in tables:
        together = " UNION ALL BY NAME ".join(f"({query.sql})" for query in rejects)
        num_bytes = sum(query.num_bytes or 0 for query in rejects)
        write(REJECTED, Query(together, num_bytes=num_bytes))
    return Ingested(num_ignored, {table: version.number for table, version in made.items()})


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
