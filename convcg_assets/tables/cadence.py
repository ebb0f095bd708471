"""How advertisers report: from the lags and the weekdays of the reports that have arrived.

What share has arrived after how many days belongs to `delay.py`, a changed habit to `shifts.py`.
"""

import datetime as dt

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.exact import double
from convcg_assets.tables.settings import DelaySettings

SEGMENTS = ("at_once", "daily", "weekly", "slower", "silent")
MONDAY = dt.date(1900, 1, 1)


def weekday(day: ibis.Value) -> ibis.Value:
    """Weekday of a date, 0 for Monday."""
    return (day.delta(ibis.literal(MONDAY), unit="day") % 7).cast("int64")


def describe_cadence(evidence: ibis.Table, *, settings: DelaySettings, days: Days) -> ibis.Table:
    """One row per day T and advertiser with evidence in the `cadence_days` arrival days before T.

    `evidence` has per arrival day `dt`, `advertiser_id` and `event_day` the number `num` of pieces.
    Columns: day (T), advertiser_id, segment, upload_weekday (0 Monday; null unless weekly).

    Lags are read by arrival day, of which all are known, so that none is cut off. By the median lag
    from event to arrival day, 0 is `at_once`, 1 `daily`, more `slower`. `weekly` is who is not at
    once and has `weekly_share` of at least `min_weekly` pieces on one weekday, in two weeks at
    least.
    """
    lookback = days.lookback("dt", num_days=settings.cadence_days)
    recent = evidence.filter(_.advertiser_id.notnull()).inner_join(lookback, "dt")
    lag_days = recent.dt.delta(recent.event_day, unit="day")
    by_weekday = recent.group_by("day", "advertiser_id", weekday=weekday(recent.dt)).agg(
        num=recent.num.sum(),
        num_days=recent.dt.nunique(),
        num_same_day=recent.num.sum(where=lag_days <= 0).fill_null(0),
        num_next_day=recent.num.sum(where=lag_days <= 1).fill_null(0),
    )
    each = ibis.window(group_by=["day", "advertiser_id"])
    commonest = ibis.window(
        group_by=["day", "advertiser_id"], order_by=[ibis.desc("num"), "weekday"]
    )
    top = by_weekday.mutate(
        rank=ibis.row_number().over(commonest),
        total=_.num.sum().over(each),
        total_same_day=_.num_same_day.sum().over(each),
        total_next_day=_.num_next_day.sum().over(each),
    ).filter(_.rank == 0)
    is_weekly = (
        (top.num >= top.total * double(settings.weekly_share))
        & (top.total >= settings.min_weekly)
        & (top.num_days >= 2)
    )
    segment = ibis.cases(
        (top.total_same_day * 2 >= top.total, "at_once"),
        (is_weekly, "weekly"),
        (top.total_next_day * 2 >= top.total, "daily"),
        else_="slower",
    )
    return top.mutate(segment=segment).select(
        "day",
        "advertiser_id",
        "segment",
        upload_weekday=(_.segment == "weekly").ifelse(_.weekday, ibis.null("int64")),
    )
