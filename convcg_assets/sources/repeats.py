"""Rows that are equal in all that is read of them, in a log without an id to tell them apart.

Their id is made of their content, so that they have one id. What the source file says of them is
`repeats`: `keep`, each is an event of its own, or `drop`, it was written again. Where it says
nothing the first of them is kept and the others are rejected, as long as they are few.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import ibis
from ibis import _

from convcg_assets.sources.casting import Expr, fault_where
from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.faults import LandingError
from convcg_assets.sources.selection import stream_options
from convcg_assets.sources.source import Source

_PLACE = ("_dt", "_file", "_row")
MAX_SHARE, MIN_ROWS = 0.01, 10
"""Of a day's rows more, and so many, are no few: without `repeats` the day is not read."""


def settle_repeats(checked: Expr, *, stream: str, source: Source) -> Expr:
    """Sound rows whose id occurs again within their day: rejected, or what `repeats` says.

    Of equal ids the first row by (file, row) is kept. Under `keep` the others get the id with a
    running number; equal rows are interchangeable, so that no order of files or rows matters. Under
    `drop` they are left out.
    """
    key, repeats = STREAMS[stream].key, stream_options(source, stream).repeats
    ranked = _rank(checked, key=key)
    if repeats != "keep":
        late = ranked.filter(_.rank > 0).select(*_PLACE, _late=ibis.literal(True))
        joined = checked.left_join(late, _PLACE)
        if repeats == "drop":
            return joined.filter(_._late.isnull()).select(checked.columns)
        fault = ibis.coalesce(joined._fault, fault_where((joined._late, f"duplicate {key}")))
        return joined.mutate(_fault=fault).select(checked.columns)
    late = ranked.filter(_.rank > 0).select(*_PLACE, _rank=_.rank)
    joined = checked.left_join(late, _PLACE)
    numbered = joined[key] + ":" + joined._rank.cast("string")
    made = {key: ibis.ifelse(joined._rank.notnull(), numbered, joined[key])}
    if stream == "engagements" and source.streams.impressions is None:
        made["impression_id"] = made[key]
    return joined.mutate(**made).select(checked.columns)


def _rank(checked: Expr, *, key: str) -> Expr:
    """Rank only rows whose id occurs again: a window over all of them would sort the whole log."""
    sound = checked.filter(_._fault.isnull())
    repeated = sound.group_by("_dt", key).having(_.count() > 1).agg(first=_.count()).drop("first")
    window = ibis.window(group_by=["_dt", key], order_by=["_file", "_row"])
    return sound.semi_join(repeated, ["_dt", key]).select(
        *_PLACE, rank=ibis.row_number().over(window)
    )


@dataclass(frozen=True)
class Repeats:
    """Of a day's rows how many are equal to one before them."""

    num_repeats: int
    num_rows: int

    @property
    def share(self) -> float:
        """Of all rows of the day."""
        return self.num_repeats / self.num_rows if self.num_rows else 0.0

    @property
    def are_many(self) -> bool:
        """Whether the source file has to say what they are."""
        return self.num_repeats >= MIN_ROWS and self.share > MAX_SHARE


def explain_repeats(found: Repeats, *, stream: str, proposal: str | None = None) -> str:
    """What is wrong with many equal rows, and the line of the source file that mends it."""
    key = STREAMS[stream].key
    lines = {
        "keep": "if each is an event of its own (times that are coarse make them equal)",
        "drop": "if they were written more than once",
    }
    first = proposal or "keep"
    other = "drop" if first == "keep" else "keep"
    return (
        f"{found.num_repeats:,} of {found.num_rows:,} rows ({found.share:.1%}) are equal to one "
        f"before them in every column that is read, and the log has no {key} to tell them apart: "
        f"set streams.{stream}.repeats to {first} {lines[first]}, or to {other} {lines[other]}; or "
        f"map streams.{stream}.columns.{key}"
    )


def check_repeats(found: Mapping[dt.date, Repeats], *, stream: str) -> None:
    """LandingError for the days that have many equal rows of which the source says nothing."""
    many = {
        day: f"{stream} of {day}: {explain_repeats(repeats, stream=stream)}"
        for day, repeats in found.items()
        if repeats.are_many
    }
    if many:
        raise LandingError("\n".join(many.values()), days=many)
