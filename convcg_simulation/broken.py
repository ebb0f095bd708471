"""A few rows that break the contract, as every real log has them.

They are added, not put in the place of good rows, so that the truth of the world stays whole. Every
kind names the fault that a reader should find.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

Row = dict[str, object]
BROKEN_ID = 900_000_000
"""Ids of broken rows begin here within their day."""


def _without(column: str) -> Callable[[Row], Row]:
    return lambda row: row | {column: None}


def _with(column: str, value: object) -> Callable[[Row], Row]:
    return lambda row: row | {column: value}


def _clock_of(column: str) -> Callable[[Row], Row]:
    # A device whose clock was never set.
    return lambda row: row | {column: np.datetime64("1970-01-01T00:07:12", "us").item()}


ID_COLUMN = {
    "impressions": "impression_id",
    "engagements": "engagement_id",
    "conversions": "conversion_id",
}
FAULTS: dict[str, dict[str, Callable[[Row], Row] | None]] = {
    "impressions": {
        "null user_id": _without("user_id"),
        "null pin_id": _without("pin_id"),
        "unknown surface": _with("surface", "homefeed_v2"),
        "clock": _clock_of("impression_ts"),
        "duplicate impression_id": None,
    },
    "engagements": {
        "negative duration": _with("duration_s", -1.0),
        "unknown event": _with("engagement_type", "hover"),
        "null user_id": _without("user_id"),
        "clock": _clock_of("engagement_ts"),
        "duplicate engagement_id": None,
    },
    "conversions": {
        "unknown event": _with("event_name", "page_visit"),
        "negative value": _with("value", -20.0),
        "null received_ts": _without("received_ts"),
        "duplicate conversion_id": None,
    },
}
"""By stream: fault to change of a copied row; None repeats the row as it is."""


def with_broken_rows(
    table: pa.Table, *, stream: str, rate: float, rng: np.random.Generator
) -> pa.Table:
    """The log with about `rate` broken rows per row added at its end, at least one if rate > 0."""
    if rate == 0 or table.num_rows == 0:
        return table
    faults = list(FAULTS[stream].values())
    num_broken = max(1, rng.poisson(rate * table.num_rows))
    copied = rng.integers(0, table.num_rows, num_broken)
    kinds = rng.integers(0, len(faults), num_broken)
    id_column = ID_COLUMN[stream]
    rows = []
    for number, (row, kind) in enumerate(
        zip(table.take(pa.array(copied)).to_pylist(), kinds.tolist(), strict=True)
    ):
        change = faults[kind]
        if change is not None:
            day_start = row[id_column] // 1_000_000_000 * 1_000_000_000
            # Rows of one arrival day may share a begin day with those of another: spread the ids.
            own_id = day_start + BROKEN_ID + int(rng.integers(0, 90_000_000)) + number
            row = change(row | {id_column: own_id})
        rows.append(row)
    return pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)])
