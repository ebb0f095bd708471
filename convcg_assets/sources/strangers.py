"""Whether the ids of the streams meet: by a wrong mapping no row is lost, and nothing matches.

How the rows of a stream are read belongs to `preview.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

FEW_IDS = 20
"""Of fewer ids it says nothing that none is found elsewhere."""
MEETINGS = (
    ("conversions", "user_id", ("impressions", "engagements")),
    ("conversions", "pin_id", ("impressions", "engagements", "pins")),
    ("conversions", "advertiser_id", ("impressions", "pins")),
    ("engagements", "impression_id", ("impressions",)),
    ("impressions", "user_id", ("users",)),
    ("impressions", "pin_id", ("pins",)),
)
"""A stream, an id of it, and the streams of which at least one ought to know some of the ids."""


def find_strangers(valid: Mapping[str, ibis.Table], *, con: Backend) -> list[str]:
    """A sentence for each kind of id that a stream shares with none of the others.

    `valid` holds the valid rows of each stream that was read.
    """
    return [
        sentence
        for stream, column, others in MEETINGS
        if stream in valid
        and (sentence := _compare(valid, stream, column, others=others, con=con)) is not None
    ]


def _compare(
    valid: Mapping[str, ibis.Table],
    stream: str,
    column: str,
    *,
    others: Sequence[str],
    con: Backend,
) -> str | None:
    there = [other for other in others if other in valid]
    if not there:
        return None
    asked = _ids(valid[stream], column)
    known = ibis.union(*(_ids(valid[o], column) for o in there), distinct=True)
    both = _ids(asked.semi_join(known, "id"), "id")
    num_asked, num_known, num_both = (_only(rows.count(), con=con) for rows in (asked, known, both))
    if num_both or min(num_asked, num_known) < FEW_IDS:
        return None
    first, other = (_only(rows.id.min(), con=con) for rows in (asked, known))
    return (
        f"none of the {num_asked:,} {column} of {stream} is among the {num_known:,} of "
        f"{' and '.join(there)}: nothing would match. Are they the same ids, written the same way "
        f"({first!r}, {other!r})? --days looks at more days"
    )


def _ids(rows: ibis.Table, column: str) -> ibis.Table:
    return rows.select(id=rows[column]).filter(_.id.notnull()).distinct()


def _only(value: ibis.Scalar, *, con: Backend) -> Any:
    return con.to_pyarrow(value).as_py()
