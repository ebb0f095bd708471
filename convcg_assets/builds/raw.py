"""Raw logs into the lake: a range of days of all streams, checked, typed and written.

How files are found and read belongs to `landing.py`, the rules for rows to
`transforms/contract.py`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.lake.delta import Lake, Version
from convcg_assets.sources.contract import apply_contract, count_ignored, has_column
from convcg_assets.sources.implied import implied_impressions, implied_pins, implied_users
from convcg_assets.sources.reading import check_files, read_files, reading
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import STREAMS
from convcg_assets.tables.recipes import RAW_TABLES, REJECTED
from convcg_assets.tables.touches import name_advertisers

EVENT_STREAMS = ("engagements", "impressions", "conversions")


@dataclass(frozen=True)
class Ingested:
    """What a landing came to, per stream: rows ignored on purpose per day, and table versions."""

    num_ignored: dict[str, dict[str, int]]
    versions: dict[str, int]


def ingest(
    source: Source,
    days: Days,
    *,
    lake: Lake,
    con: Backend,
    tables: Collection[str] = RAW_TABLES,
    on_write: Callable[[str, Version], None] | None = None,
) -> Ingested:
    """Replace those days of the raw tables by what their landing folders hold.

    Of fewer `tables` only their streams' files are read; rejected rows of the others are kept as
    they are. `on_write` is told each table with the version that was made of
    it, `rejected_events` last.

    Every file is looked into before anything is written: LandingError leaves the tables as they
    were. Streams that the source lacks are implied by those that it has.
    """
    present = [s for s in STREAMS if source.stream(s) is not None]
    read = [s for s in present if s in tables]
    files = {stream: check_files(source, stream, days) for stream in read}
    num_ignored: dict[str, dict[str, int]] = {}
    made: dict[str, Version] = {}
    rejects: list[ibis.Table] = []
    if REJECTED in tables and read != present:
        kept = lake.read(REJECTED, days, con=con)
        rejects.append(kept.filter(kept.stream.notin(read)))  # pyright: ignore[reportArgumentType]

    def write(table: str, rows: ibis.Table) -> None:
        with reading(table):
            version = lake.replace(table, days, rows, con=con)
        made[table] = version
        if on_write is not None:
            on_write(table, version)

    def stored(table: str) -> ibis.Table:
        """What was written here, whatever another has written since."""
        return lake.read(table, days, con=con, version=made.get(table))

    def is_implied(table: str) -> bool:
        return table in tables and table not in present

    # The catalogue first: it names the advertisers of events whose log does not.
    for stream in ("pins", "users", *EVENT_STREAMS):
        if stream not in read:
            continue
        raw = read_files(source, stream, files[stream], con=con)
        valid, rejected = apply_contract(raw, stream=stream, source=source)
        silent = stream in ("impressions", "conversions") and not has_column(
            raw, "advertiser_id", stream=stream, source=source
        )
        if silent and "pins" in present:
            valid = name_advertisers(valid, stored("pins"))
        write(stream, valid)
        rejects.append(rejected)
        with reading(stream):
            ignored = con.to_pyarrow(count_ignored(raw, stream=stream, source=source))
        num_ignored[stream] = {str(r["dt"]): r["ignored"] for r in ignored.to_pylist()}

    if is_implied("impressions"):
        implied = implied_impressions(
            stored("engagements"), surface=source.implied_surface, id_types=source.id_types
        )
        if "pins" in present:
            implied = name_advertisers(implied, stored("pins"))
        write("impressions", implied)
    for table, imply in (("pins", implied_pins), ("users", implied_users)):
        if is_implied(table):
            events = [stored(s) for s in EVENT_STREAMS if s in present]
            write(table, imply(*events, id_types=source.id_types))
    if REJECTED in tables:
        write(REJECTED, together(rejects))
    return Ingested(num_ignored, {table: version.number for table, version in made.items()})


def together(parts: list[ibis.Table]) -> ibis.Table:
    """The rows of all of one or more tables."""
    return ibis.union(*parts) if len(parts) > 1 else parts[0]
