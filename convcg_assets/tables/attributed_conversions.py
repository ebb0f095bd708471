"""Attribution: which touches a conversion is credited to, and with what share.

What a touch is belongs to `touches.py`, what a credit is worth as a label to `labels.py`.
"""

import math

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.exact import SHARE_DECIMALS, double, to_units
from convcg_assets.tables.settings import AttributionSettings
from convcg_assets.tables.touches import find_touches

END_SHARE, MIDDLE_SHARE = 0.4, 0.2
"""Position based: the first and the last touch get so much each, those between share so much."""


def attribute(
    conversions: ibis.Table,
    impressions: ibis.Table,
    engagements: ibis.Table,
    *,
    settings: AttributionSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `attributed_conversions` for the arrival days `days`.

    `conversions` must hold the `dedup_lookback_days` before, `impressions` and `engagements` the
    `horizon_days` before. Nothing that arrived after a conversion's own arrival day touches it, so
    a day's result does not change with what arrives later.
    """
    marked = mark_duplicates(conversions, window_hours=settings.dedup_window_hours).filter(
        _.dt.between(days.first, days.last)
    )
    touches = find_touches(impressions, engagements)
    candidates = match_touches(marked.filter(~_.is_duplicate), touches, settings=settings)
    credits = share_credit(candidates, settings=settings)
    rows = marked.left_join(credits, ["dt", "conversion_id"])
    reporting_lag_days = rows.dt.delta(rows.event_ts.date(), unit="day")
    status = ibis.cases(
        (rows.is_duplicate, "duplicate"),
        (rows.user_id.isnull(), "no_user"),
        (rows.credit.notnull(), "attributed"),
        (reporting_lag_days > settings.max_reporting_lag_days, "past_horizon"),
        else_="no_touch",
    )
    return rows.mutate(status=status).drop("is_duplicate", "dt_right", "conversion_id_right")


def mark_duplicates(conversions: ibis.Table, *, window_hours: int) -> ibis.Table:
    """Conversions with `is_duplicate`: the same event was received at most `window_hours` before.

    The same event: equal (advertiser, event name, event id); without an event id, equal conversion
    id. First received is first by arrival day, then received time, then conversion id. A third
    report is compared with the second as well as with the first.
    """
    has_event_id = _.event_id.notnull()
    keyed = conversions.mutate(
        key_advertiser=has_event_id.ifelse(_.advertiser_id, ibis.null()),
        key_event=has_event_id.ifelse(_.event_name, ibis.null()),
        key_conversion=has_event_id.ifelse(ibis.null(), _.conversion_id),
    )
    earlier = ibis.window(
        group_by=["key_advertiser", "key_event", "event_id", "key_conversion"],
        order_by=["dt", "received_ts", "conversion_id"],
        rows=(None, -1),
    )
    previous_ts = keyed.received_ts.max().over(earlier)
    return keyed.mutate(
        is_duplicate=(
            previous_ts + ibis.interval(hours=window_hours) >= keyed.received_ts
        ).fill_null(False)
    ).drop("key_advertiser", "key_event", "key_conversion")


def match_touches(
    conversions: ibis.Table, touches: ibis.Table, *, settings: AttributionSettings
) -> ibis.Table:
    """One row per conversion and touch that it may be credited to.

    The same user, the same Pin or else the same advertiser, `touch_ts <= event_ts < touch_ts +
    window`, touched at most the horizon before and known on the conversion's arrival day.
    """
    enabled = touches.filter(_touch_ends(touches, settings=settings).notnull())
    pairs = conversions.select(
        "dt",
        "conversion_id",
        "user_id",
        "event_ts",
        named_pin_id=_.pin_id,
        reporter_id=_.advertiser_id,
    ).inner_join(enabled, "user_id")
    same_pin = (pairs.pin_id == pairs.named_pin_id).fill_null(False)
    same_advertiser = (pairs.advertiser_id == pairs.reporter_id).fill_null(False)
    ends = _touch_ends(pairs, settings=settings)
    return (
        pairs.filter(
            pairs.touch_ts <= pairs.event_ts,
            pairs.event_ts < ends,
            pairs.touch_dt <= pairs.dt,
            pairs.dt.delta(pairs.impression_day, unit="day") <= settings.horizon_days,
            same_pin | same_advertiser,
        )
        .mutate(match_level=same_pin.ifelse("pin", "advertiser"))
        # A touch that was delivered on two days counts once.
        .group_by("dt", "conversion_id", "event_ts", "touch_type", "impression_id", "touch_ts")
        .agg(
            impression_day=_.impression_day.min(),
            match_level=_.match_level.max(),
            touch_pin_id=_.pin_id.max(),
        )
    )


def share_credit(candidates: ibis.Table, *, settings: AttributionSettings) -> ibis.Table:
    """The touches that get credit, with `credit`; credits of one conversion sum to 1.

    Columns: dt, conversion_id, touch_type, match_level, impression_id, impression_day,
    touch_pin_id, touch_ts, credit.
    """
    conversion = ["dt", "conversion_id"]
    strength = ibis.cases(
        (candidates.touch_type == "click", 0), (candidates.touch_type == "engagement", 1), else_=2
    )
    ranked = candidates.mutate(
        strength=strength, match_rank=(candidates.match_level == "pin").ifelse(0, 1)
    )
    in_time = ibis.window(
        group_by=conversion, order_by=["touch_ts", "impression_id", "strength", "match_rank"]
    )
    by_strength = ibis.window(
        group_by=conversion,
        order_by=["strength", "match_rank", ibis.desc("touch_ts"), "impression_id"],
    )
    all_touches = ibis.window(group_by=conversion)
    if settings.model == "last_touch":
        credit = (ibis.row_number().over(by_strength) == 0).ifelse(double(1), double(0))
    elif settings.model == "first_touch":
        credit = (ibis.row_number().over(in_time) == 0).ifelse(double(1), double(0))
    elif settings.model == "linear":
        credit = double(1) / ranked.count().over(all_touches)
    elif settings.model == "time_decay":
        # Relative to the newest touch: an old touch alone must not underflow to no credit at all.
        aged = ranked.mutate(newest_ts=_.touch_ts.max().over(all_touches))
        age_hours = (aged.newest_ts.epoch_seconds() - aged.touch_ts.epoch_seconds()) / double(3600)
        decay = (age_hours * double(-math.log(2) / settings.half_life_hours)).exp()
        ranked = aged.mutate(decay=to_units(decay, decimals=SHARE_DECIMALS))
        credit = ranked.decay / ranked.decay.sum().over(all_touches)
    else:
        position = ibis.row_number().over(in_time)
        count = ranked.count().over(all_touches)
        is_end = (position == 0) | (position == count - 1)
        between = double(MIDDLE_SHARE) / ibis.greatest(count - 2, 1)
        credit = ibis.cases(
            (count == 1, double(1)),
            (count == 2, double(0.5)),
            (is_end, double(END_SHARE)),
            else_=between,
        )
    return (
        ranked.mutate(credit=credit)
        .filter(_.credit > 0)
        .select(
            "dt",
            "conversion_id",
            "touch_type",
            "match_level",
            "impression_id",
            "impression_day",
            "touch_pin_id",
            "touch_ts",
            "credit",
        )
    )


def _touch_ends(rows: ibis.Table, *, settings: AttributionSettings) -> ibis.Value:
    """When each touch's window ends (excluded); null for a type that is switched off."""
    windows = {
        "click": settings.click_window_days,
        "engagement": settings.engagement_window_days,
        "view": settings.view_window_days,
    }
    enabled = [
        (rows.touch_type == touch_type, rows.touch_ts + ibis.interval(days=days))
        for touch_type, days in windows.items()
        if days > 0
    ]
    never = ibis.null("timestamp")
    return ibis.cases(*enabled, else_=never) if enabled else never
