"""Advertisers whose reports have begun to come sooner or later than they did.

The delay curve of such an advertiser still rests on its old habit for weeks: see `delay.py`.
"""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.exact import SHARE_DECIMALS, double, to_units
from convcg_assets.tables.settings import DelaySettings


def shift_lookback_days(settings: DelaySettings) -> int:
    """How many arrival days before T `delay_shifts` reads."""
    return settings.shift_days + settings.cadence_days


def delay_shifts(attributed: ibis.Table, *, settings: DelaySettings, days: Days) -> ibis.Table:
    """One row per day T in `days` and advertiser whose reporting lags have changed.

    The lags (arrival day - event day) of the reports that arrived in the `shift_days` before T
    against those of the `cadence_days` before these, attributed or not, duplicates left out. By
    arrival day no lag is cut off. `largest_gap` is the two-sample Kolmogorov-Smirnov statistic,
    `p_value` Smirnov's bound 2 exp(-2 gap^2 n m / (n + m)) times the number of advertisers that
    have both (Bonferroni), at most `shift_alarm_rate` here. With few distinct lags it is wide.

    Columns: dt (T), advertiser_id, num_before, num_newest, mean_lag_before_days,
    mean_lag_newest_days, largest_gap, p_value, and lag_days, that up to which the shares differ.

    `attributed` must hold the `shift_lookback_days` arrival days before T.
    """
    reports = attributed.filter(_.status != "duplicate", _.advertiser_id.notnull())
    lag = ibis.greatest(reports.dt.delta(reports.event_ts.date(), unit="day"), 0).cast("int64")
    # A conversion credited to several touches has several rows, but one arrival.
    reports = reports.select("dt", "conversion_id", "advertiser_id", lag_days=lag).distinct()
    counts = reports.group_by("dt", "advertiser_id", "lag_days").agg(num=_.count())
    lookback = days.lookback("dt", num_days=shift_lookback_days(settings))
    paired = counts.inner_join(lookback, "dt")
    is_new = paired.day.delta(paired.dt, unit="day") <= settings.shift_days
    by_lag = paired.group_by("day", "advertiser_id", "lag_days").agg(
        newest=paired.num.sum(where=is_new).fill_null(0),
        before=paired.num.sum(where=~is_new).fill_null(0),
    )
    each = ibis.window(group_by=["day", "advertiser_id"])
    upto = ibis.window(group_by=["day", "advertiser_id"], order_by="lag_days", rows=(None, 0))
    shares = by_lag.mutate(
        num_newest=_.newest.sum().over(each).cast("int64"),
        num_before=_.before.sum().over(each).cast("int64"),
        newest_upto=_.newest.sum().over(upto).cast("int64"),
        before_upto=_.before.sum().over(upto).cast("int64"),
        days_newest=(_.newest * _.lag_days).sum().over(each),
        days_before=(_.before * _.lag_days).sum().over(each),
    ).filter(_.num_newest > 0, _.num_before > 0)
    # Whole numbers up to the last step: (a / n - b / m) as (a m - b n) / (n m).
    gap = (shares.newest_upto * shares.num_before - shares.before_upto * shares.num_newest).abs()
    largest = ibis.window(
        group_by=["day", "advertiser_id"], order_by=[ibis.desc("gap"), "lag_days"]
    )
    shares = shares.mutate(gap=gap)
    top = shares.mutate(rank=ibis.row_number().over(largest)).filter(_.rank == 0)
    top = top.mutate(num_tested=_.count().over(ibis.window(group_by="day")))
    n, m = top.num_newest.cast("float64"), top.num_before.cast("float64")
    largest_gap = top.gap / (n * m)
    exponent = double(-2) * largest_gap * largest_gap * n * m / (n + m)
    p_value = ibis.least(exponent.exp() * top.num_tested * double(2), double(1))
    rows = top.select(
        "advertiser_id",
        "num_before",
        "num_newest",
        dt=top.day,
        mean_lag_before_days=top.days_before / m,
        mean_lag_newest_days=top.days_newest / n,
        largest_gap=largest_gap,
        lag_days=top.lag_days,
        p_value=to_units(p_value, decimals=SHARE_DECIMALS) / double(10**SHARE_DECIMALS),
    )
    return rows.filter(_.p_value <= double(settings.shift_alarm_rate))
