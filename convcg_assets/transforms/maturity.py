"""Maturity: the share of a label day's conversions that has arrived, and what a label stands for.

The curves themselves belong to `delay.py`.
"""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.settings import DelaySettings
from convcg_assets.transforms.cadence import weekday
from convcg_assets.transforms.delay import count_evidence
from convcg_assets.transforms.exact import SHARE_DECIMALS, double, exact_sum
from convcg_assets.transforms.reverse_hazard import rounded


def with_maturity(
    rows: ibis.Table, curves: ibis.Table, *, settings: DelaySettings, num_days: int = 1
) -> ibis.Table:
    """The rows with `maturity` and `maturity_factor` = min(1 / maturity, w_max).

    `rows` have `as_of` (the day before which they had arrived), `impression_day` and
    `advertiser_id`; `curves` are rows of `conversion_delay` of every `as_of`. The maturity of an
    impression day of age a = as_of - 1 - impression_day is the share of its advertiser's curve at
    a, of a weekly reporter's for the weekday. An advertiser without one has the global curve's;
    without any, and past the horizon, a day is ripe: 1.

    With `num_days` > 1 the ages 0 to `num_days` - 1, and so on, have the mean of their shares. That
    is the ratio estimator of the days' total if all their days are alike: unlike one by one,
    conversions then also stand for days of which nothing has arrived, or whose factor is capped.
    """
    if settings.maturity == "none":
        return rows.mutate(maturity=double(1), maturity_factor=double(1))
    # A null advertiser must find itself again in a join.
    keyed = rows.mutate(
        curve_of=_.advertiser_id.cast("string").fill_null(""),
        first_age=_first_age(rows, num_days=num_days),
    )
    keys = keyed.select("as_of", "curve_of", "first_age").distinct()
    offsets = ibis.range(0, num_days).unnest().name("offset").as_table()
    ages = keys.cross_join(offsets).mutate(delay_days=(_.first_age + _.offset).cast("int64"))
    ages = ages.mutate(of_weekday=_weekday_of_age(ages))
    shared = curves.filter(_.level == "global").select(
        "delay_days", as_of=_.dt, global_share=_.share
    )
    ages = ages.left_join(shared, ["as_of", "delay_days"]).select(*ages.columns, "global_share")
    share = ages.global_share
    if settings.maturity == "advertiser":
        own = curves.filter(_.level == "advertiser").select(
            "delay_days",
            as_of=_.dt,
            curve_of=_.advertiser_id.cast("string"),
            of_weekday=_.weekday.fill_null(-1),
            share=_.share,
        )
        any_weekday = own.filter(_.of_weekday == -1).select(
            "as_of", "curve_of", "delay_days", any_share=_.share
        )
        columns = ages.columns
        ages = ages.left_join(any_weekday, ["as_of", "curve_of", "delay_days"])
        ages = ages.select(*columns, "any_share")
        by_weekday = own.filter(_.of_weekday >= 0).select(
            "as_of", "curve_of", "delay_days", "of_weekday", weekday_share=_.share
        )
        ages = ages.left_join(by_weekday, ["as_of", "curve_of", "delay_days", "of_weekday"])
        ages = ages.select(*columns, "any_share", "weekday_share")
        share = ibis.coalesce(ages.any_share, ages.weekday_share, ages.global_share)
    means = (
        ages.mutate(share=share.fill_null(double(1)))
        .group_by("as_of", "curve_of", "first_age")
        .agg(mean=exact_sum(_.share, decimals=SHARE_DECIMALS) / double(num_days))
    )
    joined = keyed.left_join(means, ["as_of", "curve_of", "first_age"])
    most = double(settings.max_maturity_factor)
    maturity = rounded(joined["mean"])
    is_capped = maturity * most <= double(1)
    factor = is_capped.ifelse(most, double(1) / is_capped.ifelse(double(1), maturity))
    return joined.select(*rows.columns, maturity=maturity, maturity_factor=factor)


def _first_age(rows: ibis.Table, *, num_days: int) -> ibis.Value:
    """The least age of those that share a maturity with a row's."""
    age = rows.as_of.delta(rows.impression_day, unit="day") - 1
    return (age - age % num_days).cast("int64")


def _weekday_of_age(ages: ibis.Table) -> ibis.Value:
    """Weekday of the impression day that is so old; weekdays repeat, so that any age works."""
    return ((weekday(ages.as_of) - 1 - ages.delay_days % 7 + 14) % 7).cast("int64")


def describe_maturity(
    attributed: ibis.Table,
    curves: ibis.Table,
    *,
    settings: DelaySettings,
    horizon_days: int,
    days: Days,
) -> ibis.Table:
    """Rows of `label_maturity` for the days T in `days`: one per label day of the H days before T.

    A day as a whole ripens by the global curve: the sum of the advertisers' factors misses those of
    whom nothing has arrived, and what the cap cuts off. Both are shown, whatever training uses.
    `attributed` must hold the H arrival days before T, `curves` the days T.
    """
    label_days = days.lookback("impression_day", num_days=horizon_days)
    evidence = count_evidence(attributed).inner_join(label_days, "impression_day")
    known = evidence.filter(evidence.dt < evidence.day).group_by(
        "impression_day", "advertiser_id", as_of=_.day
    )
    weighed = with_maturity(
        known.agg(num=_.num.sum()),
        curves,
        settings=settings.model_copy(update={"maturity": "advertiser"}),
    )
    sums = weighed.group_by("as_of", "impression_day").agg(
        num=_.num.sum(),
        weighted=exact_sum(_.num * _.maturity_factor, decimals=SHARE_DECIMALS // 2),
    )
    nobody = ibis.null(curves.advertiser_id.type())
    whole = with_maturity(
        label_days.rename(as_of="day").mutate(advertiser_id=nobody),
        curves,
        settings=settings.model_copy(update={"maturity": "global"}),
    )
    joined = whole.left_join(sums, ["as_of", "impression_day"])
    num = joined.num.fill_null(0).cast("int64")
    share = (joined.maturity > 0).ifelse(joined.maturity, double(1 / settings.max_maturity_factor))
    return joined.select(
        dt=joined.as_of,
        impression_day=joined.impression_day,
        age_days=(joined.as_of.delta(joined.impression_day, unit="day") - 1).cast("int64"),
        num_conversions=num,
        maturity=joined.maturity,
        expected_conversions=num / share,
        weighted_conversions=joined.weighted.fill_null(double(0)),
    )
