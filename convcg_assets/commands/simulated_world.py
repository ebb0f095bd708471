"""A simulated world from a command's options, and its days landed one after the other."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from convcg_assets.commands.console import say
from convcg_assets.commands.options import DAY
from convcg_simulation.arrivals import write_day
from convcg_simulation.config import WorldConfig
from convcg_simulation.landed import LandedWorld

LINE_EVERY_DAYS = 5
EVENTS = ("impressions", "engagements", "conversions")


def world_options(function: Any) -> Any:
    """The options that make a world."""
    fields = WorldConfig.model_fields
    for option in (
        click.option("--last-day", type=DAY, help="Last of the days.  [default: yesterday (UTC)]"),
        click.option(
            "--impressions-per-day",
            type=click.IntRange(min=50),
            metavar="N",
            default=fields["impressions_per_day"].default,
            help="On an average day; users grow with it, Pins and advertisers by its square root.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            metavar="N",
            default=fields["seed"].default,
            help="Another seed is another world.",
        ),
        click.option(
            "--days",
            type=click.IntRange(min=1),
            metavar="N",
            default=fields["num_days"].default,
            help="How many days.",
        ),
    ):
        function = option(function)
    return function


def make_config(
    *, days: int, seed: int, impressions_per_day: int, last_day: dt.date | None
) -> WorldConfig:
    """The world of a command's options; without a last day it ends yesterday (UTC)."""
    fields: dict[str, Any] = {"num_days": days, "seed": seed}
    if last_day is not None:
        fields["first_day"] = last_day - dt.timedelta(days=days - 1)
    return WorldConfig.scaled(impressions_per_day=impressions_per_day, **fields)


def land_days(landed: LandedWorld, days: Sequence[int], *, console: Console) -> dict[str, int]:
    """Write the logs of days of a world, with a line every few of them; the rows by stream."""
    started, config = time.monotonic(), landed.world.config
    totals: dict[str, int] = dict.fromkeys(EVENTS, 0)
    for number, day in enumerate(days, 1):
        rows = write_day(landed.world, day, landed.landing_dir)
        totals = {stream: total + rows[stream] for stream, total in totals.items()}
        if number % LINE_EVERY_DAYS == 0 or number == len(days):
            when = f"day {number}/{len(days)} ({config.date_of(day)})"
            say(console, f"{when}: {count_rows(totals)}, {time.monotonic() - started:.1f} s")
    return totals


def count_rows(rows: Mapping[str, int]) -> str:
    """Rows by stream, in words."""
    return ", ".join(f"{count:,} {stream}" for stream, count in rows.items())
