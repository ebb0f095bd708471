"""What arrives on one day: rows of that day and the day before, and reports of weeks of touches.

Turns internal numbers into ids, lets clocks go wrong, adds a few broken rows, and writes the files.
"""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_assets.sources.columns import (
    ADJUSTMENT_TYPES,
    ADJUSTMENTS,
    CONVERSION_EVENTS,
    ENGAGEMENT_TYPES,
    SURFACES,
)
from convcg_simulation import snapshots
from convcg_simulation.adjustments import DAYS_TO_LAST_ADJUSTMENT, draw_adjustments
from convcg_simulation.broken import with_broken_rows
from convcg_simulation.catalogue import DAY_US
from convcg_simulation.delays import (
    DUPLICATE_WINDOW_H,
    LONGEST_DELAY_DAYS,
    LONGEST_LAG_DAYS,
)
from convcg_simulation.randomness import generator
from convcg_simulation.vocabulary import COLOURS, TYPE_NAMES, query_text
from convcg_simulation.world import World

DAYS_TO_LAST_REPORT = LONGEST_DELAY_DAYS + LONGEST_LAG_DAYS + DUPLICATE_WINDOW_H // 24 + 1
_QUERIES = pa.array(
    [query_text(t, c) for t in range(len(TYPE_NAMES)) for c in range(-1, len(COLOURS))]
)


def write_day(world: World, day: int, landing_dir: Path) -> dict[str, int]:
    """Writes the logs that arrive on a day, in place of older ones; returns rows by stream."""
    tables = {
        "impressions": impression_log(world, day),
        "engagements": engagement_log(world, day),
        "conversions": conversion_log(world, day),
        "pins": snapshots.pin_snapshot(world.pins(day), advertisers=world.advertisers),
        "users": snapshots.user_snapshot(world.people(day)),
    }
    config = world.config
    if config.adjusted_share:
        tables[ADJUSTMENTS] = adjustment_log(world, day)
    for stream in ("impressions", "engagements", "conversions"):
        rng = generator(config.seed, purpose=f"broken {stream}", day=day)
        tables[stream] = with_broken_rows(
            tables[stream], stream=stream, rate=config.broken_rate, rng=rng
        )
    for stream, table in tables.items():
        folder = landing_dir / stream / f"dt={config.date_of(day)}"
        folder.mkdir(parents=True, exist_ok=True)
        # Readers ignore names that begin with an underscore, so they never see half a file.
        unfinished = folder / "_part-0.parquet"
        pq.write_table(table, unfinished, compression="zstd")
        os.replace(unfinished, folder / "part-0.parquet")
    return {stream: table.num_rows for stream, table in tables.items()}


def impression_log(world: World, day: int) -> pa.Table:
    """The impressions that arrive on a day: its own, and late ones of the day before."""
    parts = []
    for began in range(max(0, day - 1), day + 1):
        shown = world.day(began).impressions
        pins, people = world.pins(began), world.people(began)
        row = np.flatnonzero(shown.late == (began < day))
        pin, user, subject = shown.pin[row], shown.user[row], shown.subject[row]
        # Rows without a query have type -1, which the mask takes out.
        query = shown.product_type[row] * (len(COLOURS) + 1) + shown.colour[row] + 1
        is_search = shown.surface[row] == SURFACES.index("search")
        skew_us = people.clock_skew_s[user] * 1_000_000
        parts.append(
            pa.table(
                {
                    "impression_id": shown.impression_id[row],
                    "user_id": people.user_id[user],
                    "pin_id": pins.pin_id[pin],
                    "advertiser_id": world.advertisers.advertiser_id[pins.advertiser[pin]],
                    "impression_ts": timestamps(shown.shown_us[row] + skew_us),
                    "surface": pa.array(SURFACES).take(pa.array(shown.surface[row])),
                    "subject_pin_id": pa.array(pins.pin_id[subject], mask=subject < 0),
                    "query": _QUERIES.take(pa.array(query, mask=~is_search)),
                    "position": shown.position[row],
                }
            )
        )
    return in_order(pa.concat_tables(parts), by=("impression_ts", "impression_id"))


def engagement_log(world: World, day: int) -> pa.Table:
    """The engagements that arrive on a day: no earlier than the impression they belong to."""
    parts = []
    for began in range(max(0, day - 2), day + 1):
        events = world.day(began)
        engaged, shown = events.engagements, events.impressions
        pins, people = world.pins(began), world.people(began)
        happened = (engaged.engaged_us - world.midnight_us(0)) // DAY_US
        arrival = np.maximum(happened, began + shown.late[engaged.impression])
        chosen = np.flatnonzero(arrival == day)
        row = engaged.impression[chosen]
        skew_us = people.clock_skew_s[shown.user[row]] * 1_000_000
        parts.append(
            pa.table(
                {
                    "engagement_id": engaged.engagement_id[chosen],
                    "impression_id": shown.impression_id[row],
                    "user_id": people.user_id[shown.user[row]],
                    "pin_id": pins.pin_id[shown.pin[row]],
                    "engagement_ts": timestamps(engaged.engaged_us[chosen] + skew_us),
                    "engagement_type": pa.array(ENGAGEMENT_TYPES).take(
                        pa.array(engaged.kind[chosen])
                    ),
                    "duration_s": nullable(engaged.dwell_s[chosen]),
                }
            )
        )
    return in_order(pa.concat_tables(parts), by=("engagement_ts", "engagement_id"))


def conversion_log(world: World, day: int) -> pa.Table:
    """The conversions received on a day, whenever the touch was."""
    parts = []
    pins, people = world.pins(day), world.people(day)
    advertiser_id = world.advertisers.advertiser_id
    for began in range(max(0, day - DAYS_TO_LAST_REPORT), day + 1):
        reports = world.conversions(began)
        row = np.flatnonzero((reports.received_us - world.midnight_us(0)) // DAY_US == day)
        advertiser, pin = reports.advertiser[row], reports.pin[row]
        skew_us = world.advertisers.clock_skew_s[advertiser] * 1_000_000
        event_id = [
            None if number < 0 else f"e{began:x}-{number:x}"
            for number in reports.event_number[row].tolist()
        ]
        parts.append(
            pa.table(
                {
                    "conversion_id": reports.conversion_id[row],
                    "user_id": pa.array(
                        people.user_id[reports.user[row]], mask=~reports.user_known[row]
                    ),
                    "advertiser_id": advertiser_id[advertiser],
                    "pin_id": pa.array(pins.pin_id[pin], mask=pin < 0),
                    "event_name": pa.array(CONVERSION_EVENTS).take(
                        pa.array(reports.event_name[row])
                    ),
                    "event_id": pa.array(event_id, pa.string()),
                    "event_ts": timestamps(reports.event_us[row] + skew_us),
                    "received_ts": timestamps(reports.received_us[row]),
                    "value": nullable(reports.value[row]),
                }
            )
        )
    return in_order(pa.concat_tables(parts), by=("received_ts", "conversion_id"))


def adjustment_log(world: World, day: int) -> pa.Table:
    """The adjustments received on a day, whenever the conversion was."""
    parts = []
    for began in range(max(0, day - DAYS_TO_LAST_ADJUSTMENT), day + 1):
        adjusted, reports = draw_adjustments(world, began), world.conversions(began)
        chosen = np.flatnonzero((adjusted.received_us - world.midnight_us(0)) // DAY_US == day)
        row = adjusted.row[chosen]
        numbers = reports.event_number[row].tolist()
        ids = [f"a{began:x}-{place:x}" for place in chosen.tolist()]
        advertiser_id = world.advertisers.advertiser_id[reports.advertiser[row]]
        parts.append(
            pa.table(
                {
                    "adjustment_id": pa.array(ids, pa.string()),
                    "adjustment_type": pa.array(ADJUSTMENT_TYPES).take(
                        pa.array(adjusted.kind[chosen])
                    ),
                    "advertiser_id": advertiser_id,
                    "event_id": pa.array([f"e{began:x}-{n:x}" for n in numbers], pa.string()),
                    "adjustment_ts": timestamps(adjusted.adjusted_us[chosen]),
                    "received_ts": timestamps(adjusted.received_us[chosen]),
                    "value": nullable(adjusted.value[chosen]),
                }
            )
        )
    return in_order(pa.concat_tables(parts), by=("received_ts", "adjustment_id"))


def timestamps(microseconds: np.ndarray) -> pa.Array:
    """Naive UTC timestamps."""
    return pa.array(microseconds.astype("datetime64[us]"))


def nullable(values: np.ndarray) -> pa.Array:
    """Numbers whose nan is a null."""
    return pa.array(values, mask=np.isnan(values))


def in_order(table: pa.Table, *, by: tuple[str, ...]) -> pa.Table:
    """The table sorted by ascending keys, in one chunk."""
    return table.sort_by([(name, "ascending") for name in by]).combine_chunks()
