"""A late batch: conversions of one advertiser that ought to have come on a day already landed.

Written beside the day's log as a file of its own. Which clicks they may follow belongs to
`late_clicks.py`, which of them it takes to `late_choice.py`.
"""

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_simulation.advertisers import advertiser_number
from convcg_simulation.landed import LandedWorld, whole_days
from convcg_simulation.late_choice import MAX_ROWS, choose_clicks, most_clicked_advertiser
from convcg_simulation.late_clicks import find_late_clicks
from convcg_simulation.randomness import generator

DEFAULT_AGE_DAYS = 2
"""By default the batch is late for the day so many days before the newest."""
FIRST_LATE_ID = 10**15
"""Conversion ids from here on are those of late files; a world takes a million days to get here."""
MAX_FILES = 1_000
"""Per advertiser and arrival day: each file has a range of ids of its own."""
SOON_US = 12 * 3_600 * 1_000_000


@dataclass(frozen=True)
class LateBatch:
    """What a late file holds: its conversions by the label day that gains them."""

    advertiser_id: int
    arrival_date: date
    gained: dict[date, int]
    path: Path


def write_late_file(
    landed: LandedWorld,
    *,
    num_label_days: int = 3,
    advertiser_id: int | None = None,
    arrival_date: date | None = None,
    num_conversions: int | None = None,
) -> LateBatch:
    """Lands a further file of conversions, each credited to the click it was made for.

    Without an advertiser it is the one with the most clicks to choose from, without a date
    `DEFAULT_AGE_DAYS` before the newest landed day. Every call adds another file with other rows.
    ValueError where the day has not landed or there are too few clicks.
    """
    arrival_day = _arrival_day(landed, arrival_date=arrival_date)
    clicks = find_late_clicks(landed, arrival_day=arrival_day)
    if advertiser_id is None:
        advertiser_id = most_clicked_advertiser(clicks)
    advertiser = advertiser_number(landed.world.advertisers, advertiser_id)
    folder = landed.log("conversions", arrival_day).parent
    number = _next_number(folder, advertiser_id=advertiser_id)
    rng = generator(
        landed.world.config.seed, purpose=f"late {advertiser_id} {number}", day=arrival_day
    )
    chosen = choose_clicks(
        clicks,
        advertiser_id=advertiser_id,
        num_label_days=num_label_days,
        num_conversions=num_conversions,
        rng=rng,
    )
    rows = _conversions(
        chosen,
        landed=landed,
        advertiser=advertiser,
        arrival_day=arrival_day,
        number=number,
        rng=rng,
    )
    name = f"late-{advertiser_id}{'' if number == 1 else f'-{number}'}.parquet"
    # Readers ignore names that begin with an underscore, so they never see half a file.
    pq.write_table(rows, folder / f"_{name}", compression="zstd")
    os.replace(folder / f"_{name}", folder / name)
    dates = [click["label_date"] for click in chosen]
    return LateBatch(
        advertiser_id=advertiser_id,
        arrival_date=landed.world.config.date_of(arrival_day),
        gained={label_date: dates.count(label_date) for label_date in sorted(set(dates))},
        path=folder / name,
    )


def _arrival_day(landed: LandedWorld, *, arrival_date: date | None) -> int:
    days, config = whole_days(landed), landed.world.config
    if arrival_date is None:
        day = max(days[0], days[-1] - DEFAULT_AGE_DAYS)
    else:
        day = config.day_of(arrival_date)
    if day not in days:
        first, last = config.date_of(days[0]), config.date_of(days[-1])
        raise ValueError(
            f"{config.date_of(day)} has not landed whole, so that nothing can be late for it: "
            f"choose a landed day, from {first} to {last}"
        )
    return day


def _next_number(folder: Path, *, advertiser_id: int) -> int:
    """One more than that of the newest late file of the advertiser in a day's folder."""
    pattern = re.compile(rf"late-{advertiser_id}(?:-(\d+))?\.parquet")
    matches = [match for file in folder.iterdir() if (match := pattern.fullmatch(file.name))]
    number = 1 + max((int(match[1] or 1) for match in matches), default=0)
    if number > MAX_FILES:
        raise ValueError(f"{folder} holds {MAX_FILES} late files of advertiser {advertiser_id}")
    return number


def _conversions(
    chosen: list[dict[str, Any]],
    *,
    landed: LandedWorld,
    advertiser: int,
    arrival_day: int,
    number: int,
    rng: np.random.Generator,
) -> pa.Table:
    """One checkout (or signup) per click, with the columns of the day's log, in its order."""
    world = landed.world
    advertisers, config = world.advertisers, world.config
    pins = pq.read_table(landed.log("pins", arrival_day), columns=["pin_id", "price"])
    price = dict(zip(pins["pin_id"].to_pylist(), pins["price"].to_pylist(), strict=True))
    signs_up = bool(advertisers.sells_service[advertiser])
    received_us = world.midnight_us(arrival_day) + int(advertisers.upload_s[advertiser]) * 1_000_000
    file_number = (arrival_day * config.num_advertisers + advertiser) * MAX_FILES + number - 1
    rows = []
    for row, click in enumerate(chosen):
        room_us = min(SOON_US, click["until_us"] - click["from_us"])
        event_us = click["from_us"] + int(rng.integers(0, room_us))
        rows.append(
            {
                "conversion_id": FIRST_LATE_ID + file_number * MAX_ROWS + row,
                "user_id": click["user_id"],
                "advertiser_id": click["advertiser_id"],
                "pin_id": click["pin_id"] if advertisers.names_pin[advertiser] else None,
                "event_name": "signup" if signs_up else "checkout",
                "event_id": f"late-{config.date_of(arrival_day)}-{number}-{row}",
                "event_ts": np.datetime64(event_us, "us").item(),
                "received_ts": np.datetime64(received_us, "us").item(),
                "value": None if signs_up else price[click["pin_id"]],
            }
        )
    return pa.Table.from_pylist(rows, schema=pq.read_schema(landed.log("conversions", arrival_day)))
