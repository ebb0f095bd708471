"""What would arrive if one advertiser changed its habit: a shift of delays to try a check on."""

from datetime import date

import numpy as np
import pyarrow as pa

from convcg_simulation.advertisers import advertiser_number
from convcg_simulation.arrivals import conversion_log, in_order, timestamps
from convcg_simulation.catalogue import DAY_US
from convcg_simulation.delays import (
    DUPLICATE_WINDOW_H,
    LONGEST_LAG_DAYS,
    weekly_upload_us,
)
from convcg_simulation.world import World


def with_weekly_uploads(world: World, *, advertiser_id: int, since: date, days: range) -> pa.Table:
    """The conversions that arrive on `days`, each with its arrival day in `dt`.

    As the world logs them, but for one advertiser: what happens from `since` on is reported with
    the first weekly upload after it, up to 7 days later. No row is added or lost, only moved.
    """
    config = world.config
    advertiser = advertiser_number(world.advertisers, advertiser_id)
    # A report may move from any day on which its event might have been reported, to any other.
    latest = days.stop + LONGEST_LAG_DAYS + DUPLICATE_WINDOW_H // 24
    parts = [
        conversion_log(world, day) for day in range(max(0, days.start - LONGEST_LAG_DAYS), latest)
    ]
    reports = pa.concat_tables(parts).combine_chunks()
    event_us = reports["event_ts"].cast(pa.int64()).to_numpy()
    received_us = reports["received_ts"].cast(pa.int64()).to_numpy()
    moved = (reports["advertiser_id"].to_numpy() == advertiser_id) & (
        event_us >= world.midnight_us(config.day_of(since))
    )
    every = np.full(len(event_us), advertiser)
    weekly_us = weekly_upload_us(world.advertisers, advertiser=every, event_us=event_us)
    received_us = np.where(moved, weekly_us, received_us)
    arrival = (received_us - world.midnight_us(0)) // DAY_US
    place = reports.column_names.index("received_ts")
    reports = reports.set_column(place, "received_ts", timestamps(received_us))
    reports = reports.append_column(
        "dt", pa.array([config.date_of(day) for day in arrival.tolist()], pa.date32())
    )
    wanted = (arrival >= days.start) & (arrival < days.stop)
    return in_order(reports.filter(pa.array(wanted)), by=("received_ts", "conversion_id"))
