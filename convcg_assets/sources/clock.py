"""Which day it is, for logs that go on: the wall clock's, and a simulated world's own.

A day is over when the clock is past it. A simulated world may run ahead of the wall clock
(`convcg simulate next-day`): there a day is over once it has landed.
"""

import datetime as dt
from collections.abc import Mapping

from convcg_assets.sources.landed import LandedDay, landed_days
from convcg_assets.sources.source import Source

MAX_DAYS_AHEAD = 7
"""How many days a simulated world may run ahead of the clock (UTC)."""
RETRAIN_HOUR = 6
"""The model of a day is trained from this hour (UTC) on."""


def now(source: Source, landed: Mapping[dt.date, LandedDay] | None = None) -> dt.datetime:
    """Now (UTC); of a simulated world at least the retrain hour after what has landed."""
    wall = dt.datetime.now(dt.UTC)
    if source.simulation is None:
        return wall
    landed = landed_days(source) if landed is None else landed
    whole = [day for day, logs in landed.items() if logs.missing is None]
    if not whole:
        return wall
    after = dt.datetime.combine(max(whole) + dt.timedelta(days=1), dt.time(), dt.UTC)
    return max(wall, after + dt.timedelta(hours=RETRAIN_HOUR)) if after > wall else wall


def today(source: Source, landed: Mapping[dt.date, LandedDay] | None = None) -> dt.date:
    """The day that is not over yet: only logs of days before it are read.

    `landed` is the landing zone, if it was looked at already.
    """
    return now(source, landed).date()
