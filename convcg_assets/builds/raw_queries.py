"""The SQL of the raw tables' rows, in which `raw` stands for what is read of a stream's files.

Reading, writing and recording them belongs to `raw.py`.
"""

from collections.abc import Collection, Sequence
from functools import partial

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.compiled import Compiled, compiled_once
from convcg_assets.days import Days
from convcg_assets.lake.delta import NO_VERSION, Version
from convcg_assets.lake.engine import Files, date_literal, select_files
from convcg_assets.sources.columns import ADJUSTMENTS, STREAMS
from convcg_assets.sources.contract import (
    apply_contract,
    check_rows,
    content_lengths,
    count_rows,
    has_column,
    valid_rows,
)
from convcg_assets.sources.implied import (
    implied_impressions,
    implied_pins,
    implied_users,
    name_advertisers,
)
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import Stream
from convcg_assets.tables.raw import NAMED_BY_PINS, raw_settings
from convcg_assets.tables.registry import table_schema

READ_ORDER = tuple(sorted(STREAMS, key=lambda stream: STREAMS[stream].kind != "snapshot"))
"""The catalogue first: it names the advertisers of events whose log does not."""


def compile_contract(
    schemas: Sequence[ibis.Schema], *, stream: str, source: Source, con: Backend
) -> dict[str, Compiled]:
    """SQL over `raw_names`: the valid rows, the rejected rows, and how many rows each file has.

    Where the log does not say whose Pin it is, the valid rows ask `pins` of the same days.
    """
    source = _read_by_contract(source, stream)
    names = raw_names(len(schemas))
    raws = [ibis.table(schema, name=name) for schema, name in zip(schemas, names, strict=True)]
    silent: list[int] = []
    if stream in NAMED_BY_PINS and source.stream("pins") is not None:
        silent = [
            number
            for number, raw in enumerate(raws)
            if not has_column(raw, "advertiser_id", stream=stream, source=source)
        ]

    def compile(part: str) -> Compiled:
        if part == "counts":
            return Compiled(con.compile(count_rows(raws, stream=stream, source=source)))
        if part == "lengths":
            return Compiled(con.compile(content_lengths(raws, source=source)))
        valid, rejected = apply_contract(raws, stream=stream, source=source)
        if part == "rejected":
            return Compiled(con.compile(rejected))
        if not silent:
            return Compiled(con.compile(valid))
        pins = ibis.table(table_schema("pins", source.id_types), name="pins")
        if len(silent) == len(raws):
            return Compiled(con.compile(name_advertisers(valid, pins)), ("pins",))
        # Of the files of some days the log says it, of others not: each as by itself.
        checked = check_rows(raws, stream=stream, source=source)
        is_silent = checked._of.isin(silent)
        parts = [
            valid_rows(checked.filter(rows), stream=stream, source=source)
            for rows in (is_silent, ~is_silent)
        ]
        named = ibis.union(name_advertisers(parts[0], pins), parts[1])
        return Compiled(con.compile(named), ("pins",))

    key = ("contract", stream, tuple(schemas), raw_settings(source))
    parts = ["valid", "rejected", "counts"]
    is_measured = stream == "pins" and source.content_dim is None
    if is_measured and any(
        has_column(raw, "content", stream=stream, source=source) for raw in raws
    ):
        parts.append("lengths")
    return {part: compiled_once((*key, part), partial(compile, part)) for part in parts}


def _read_by_contract(source: Source, stream: str) -> Source:
    """The source as far as a stream's contract may read it, so that equal ones have equal SQL.

    Engagements ask whether there are impressions, rows that name no advertiser whether there is a
    catalogue, and adjustments name events as conversions do.
    """
    kept = {stream, "conversions"} if stream == ADJUSTMENTS else {stream}
    asked = {"impressions"} if stream == "engagements" else set[str]()
    asked |= {"pins"} if stream in NAMED_BY_PINS else set()
    others = {name: None for name in STREAMS if name not in kept}
    others |= {name: Stream() for name in asked if source.stream(name) is not None}
    return source.model_copy(update={"streams": source.streams.model_copy(update=others)})


def raw_names(num: int) -> list[str]:
    """What stands in the SQL for the rows of a stream's files, a table for each of like types."""
    return ["raw", *(f"raw_{number}" for number in range(2, num + 1))]


def select_catalogue(version: Version | None, days: Days, *, schema: ibis.Schema) -> Files | str:
    """The Pins that hold on each of the days: of a day without a snapshot those of the newest."""
    landed = version.files if version else {}
    holding = {day: max((d for d in landed if d <= day), default=None) for day in days}
    files = (version or NO_VERSION).held(
        sorted({d for d in holding.values() if d is not None}), schema
    )
    if all(held in (day, None) for day, held in holding.items()):
        return files
    pairs = ", ".join(
        f"({date_literal(day)}, {date_literal(held)})"
        for day, held in holding.items()
        if held is not None
    )
    return (
        "SELECT held.* REPLACE (holding.day AS dt) "
        f"FROM ({select_files(files)}) AS held "
        f"JOIN (VALUES {pairs}) AS holding(day, snapshot_dt) ON held.dt = holding.snapshot_dt"
    )


def compile_implied(
    table: str, present: Collection[str], *, source: Source, con: Backend
) -> Compiled:
    """SQL of a table whose stream the log lacks, over the streams that imply it; else no rows."""

    def compile() -> Compiled:
        events = [s for s in READ_ORDER if s in present and STREAMS[s].is_event]
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

    key = ("implied", table, tuple(present), raw_settings(source))
    return compiled_once(key, compile)
