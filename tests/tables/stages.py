"""Each transform over the rows that its asset would read, no more; engines belong to the caller."""

import datetime as dt
from collections.abc import Callable

import ibis

from convcg_assets.days import Days
from convcg_assets.tables.attributed_conversions import attribute
from convcg_assets.tables.daily_counts import LONG_DAYS
from convcg_assets.tables.delay_curves import describe_delay, lookback_days
from convcg_assets.tables.example_rows import SEEN_DAYS
from convcg_assets.tables.hard_negatives import sample_negatives
from convcg_assets.tables.label_maturity import describe_maturity
from convcg_assets.tables.pin_features import describe_pins
from convcg_assets.tables.settings import (
    AttributionSettings,
    DelaySettings,
    ExampleSettings,
    FeatureSettings,
    LabelSettings,
    NegativeSettings,
)
from convcg_assets.tables.training_examples import build_examples
from convcg_assets.tables.user_features import describe_users
from convcg_assets.tables.weighted_labels import weigh_labels

from .tables import of_days
from .world import DAY, LATE_DAYS, Row, World

SHOWN_DAYS = LATE_DAYS + 1
"""How long after its day an impression is looked for: a clock ahead may add one."""
ENGAGEMENT_DAYS = SHOWN_DAYS + 1
"""How long after its impression's day an engagement may arrive to count."""

Read = Callable[[str, list[Row]], ibis.Table]
"""Makes a table of that name of rows."""


def attributed(
    world: World, read: Read, *, settings: AttributionSettings, days: Days
) -> ibis.Table:
    reports = days.widen(before=settings.dedup_lookback_days)
    touched = days.widen(before=settings.horizon_days)
    return attribute(
        read("conversions", of_days(world.conversions, reports)),
        read("impressions", of_days(world.impressions, touched)),
        read("engagements", of_days(world.engagements, touched)),
        settings=settings,
        days=days,
    )


def delay(
    credited: list[Row], read: Read, *, settings: DelaySettings, horizon_days: int, days: Days
) -> ibis.Table:
    num_days = lookback_days(settings, horizon_days=horizon_days)
    return describe_delay(
        read("attributed_conversions", of_days(credited, before(days, num_days=num_days))),
        settings=settings,
        horizon_days=horizon_days,
        days=days,
    )


def maturity(
    credited: list[Row],
    curves: list[Row],
    read: Read,
    *,
    settings: DelaySettings,
    horizon_days: int,
    days: Days,
) -> ibis.Table:
    return describe_maturity(
        read("attributed_conversions", of_days(credited, before(days, num_days=horizon_days))),
        read("conversion_delay", of_days(curves, days)),
        settings=settings,
        horizon_days=horizon_days,
        days=days,
    )


def arrivals(days: Days) -> Days:
    """The arrival days that labels and negatives of impression days look at."""
    return days.widen(before=1, after=ENGAGEMENT_DAYS)


def labels(
    world: World,
    credited: list[Row],
    read: Read,
    *,
    settings: LabelSettings,
    horizon_days: int,
    days: Days,
) -> ibis.Table:
    return weigh_labels(
        read("attributed_conversions", of_days(credited, days.widen(after=horizon_days))),
        read("engagements", of_days(world.engagements, arrivals(days))),
        read("impressions", of_days(world.impressions, arrivals(days))),
        settings=settings,
        engagement_days=ENGAGEMENT_DAYS,
        days=days,
    )


def negatives(world: World, read: Read, *, settings: NegativeSettings, days: Days) -> ibis.Table:
    return sample_negatives(
        read("impressions", of_days(world.impressions, arrivals(days))),
        read("engagements", of_days(world.engagements, arrivals(days))),
        settings=settings,
        engagement_days=ENGAGEMENT_DAYS,
        days=days,
    )


def before(days: Days, *, num_days: int) -> Days:
    """All days that are one of the `num_days` before one of `days`."""
    return Days(days.first - num_days * DAY, days.last - DAY)


def user_features(
    world: World, credited: list[Row], read: Read, *, settings: FeatureSettings, days: Days
) -> ibis.Table:
    past = before(days, num_days=max(LONG_DAYS, settings.active_days) + SHOWN_DAYS)
    return describe_users(
        read("impressions", of_days(world.impressions, past)),
        read("engagements", of_days(world.engagements, past)),
        read("attributed_conversions", of_days(credited, past)),
        read("users", of_days(world.users, past)),
        settings=settings,
        days=days,
    )


def pin_features(
    world: World,
    credited: list[Row],
    read: Read,
    *,
    has_catalogue: bool,
    settings: FeatureSettings,
    days: Days,
) -> ibis.Table:
    past = before(days, num_days=max(LONG_DAYS, settings.active_days) + SHOWN_DAYS)
    return describe_pins(
        read("impressions", of_days(world.impressions, past)),
        read("engagements", of_days(world.engagements, past)),
        read("attributed_conversions", of_days(credited, past)),
        read("pins", of_days(world.pins, past)),
        has_catalogue=has_catalogue,
        settings=settings,
        days=days,
    )


def examples(
    world: World,
    derived: dict[str, list[Row]],
    read: Read,
    *,
    settings: ExampleSettings,
    delay: DelaySettings,
    days: Days,
    known_before: dt.date | None = None,
) -> ibis.Table:
    """`derived` holds the rows of curves, labels, negatives and both sides' features."""
    num_days = settings.training_days + settings.holdout_days
    past = before(days, num_days=num_days)
    labels, negatives, user_side, pin_side = (
        read(table, of_days(derived[table], past))
        for table in ("weighted_labels", "hard_negatives", "user_features", "pin_features")
    )
    curve_days = days.widen(before=settings.holdout_days)
    if known_before is not None:
        curve_days = Days(curve_days.first, max(curve_days.last, known_before))
    shown = of_days(world.impressions, before(days, num_days=num_days + SEEN_DAYS))
    return build_examples(
        labels,
        negatives,
        user_side,
        pin_side,
        read("impressions", shown),
        read("conversion_delay", of_days(derived["conversion_delay"], curve_days)),
        settings=settings,
        delay=delay,
        days=days,
        known_before=known_before,
    )
