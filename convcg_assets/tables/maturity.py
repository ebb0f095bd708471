"""Maturity: what share of an advertiser's conversions has arrived, and what a label stands for.

The curves themselves belong to `delay_curves.py`, label days as a whole to `label_maturity.py`.
"""

import ibis
from ibis import _

from convcg_assets.tables.cadence import weekday
from convcg_assets.tables.exact import SHARE_DECIMALS, double, exact_sum, to_units
from convcg_assets.tables.reverse_hazard import rounded
from convcg_assets.tables.settings import DelaySettings

SUM_DECIMALS = 10
"""For sums of factors: of some hundred million labels the units still fit 64 bits."""


def with_maturity(
    rows: ibis.Table,
    curves: ibis.Table,
    *,
    settings: DelaySettings,
    num_days: int = 1,
    ages: range | None = None,
    num_labels: str | None = None,
) -> ibis.Table:
    """The rows with `maturity` F and `maturity_factor`, how many labels each stands for.

    `rows` have `as_of` (the day before which they had arrived), `impression_day` and
    `advertiser_id`; `curves` are rows of `conversion_delay` of every `as_of`. The maturity of an
    impression day of age a = as_of - 1 - impression_day is the share of its advertiser's curve at
    a, of a weekly reporter's for the weekday. An advertiser without one has the global curve's;
    without any, and past the horizon, a day is ripe: 1. The factor is min(1 / F, w_max).

    With `num_days` > 1 so many `ages`, from the youngest on, share a factor by the mean of their
    shares; `ages` are all that the rows may have. That is the ratio estimator of the days' total if
    all their days are alike: unlike one by one, conversions then also stand for days of which
    nothing has arrived, or whose factor is capped.

    With `num_labels`, a column with the number of labels of a row, the factors are calibrated
    (Deville & Sarndal 1992, JASA 87): of advertisers of whom nothing has arrived no row can stand,
    and what the cap cuts off is lost, so that the sum over all advertisers A falls short of E, the
    same by the global curve. Where it does, all factors of these ages are scaled by E / A, up to
    w_max.
    """
    if settings.maturity == "none":
        return rows.mutate(maturity=double(1), maturity_factor=double(1))
    # A null advertiser must find itself again in a join.
    keyed = rows.mutate(
        curve_of=_.advertiser_id.cast("string").fill_null(""),
        first_age=_first_age(rows, num_days=num_days, youngest=ages.start if ages else 0),
    )
    keys = keyed.select("as_of", "curve_of", "first_age").distinct()
    offsets = ibis.range(0, num_days).unnest().name("offset").as_table()
    shares = keys.cross_join(offsets).mutate(delay_days=(_.first_age + _.offset).cast("int64"))
    if ages:
        shares = shares.filter(shares.delay_days < ages.stop)
    shares = shares.mutate(of_weekday=_weekday_of_age(shares))
    by_all = curves.filter(_.level == "global").select(
        "delay_days", as_of=_.dt, global_share=_.share
    )
    shares = shares.left_join(by_all, ["as_of", "delay_days"]).select(
        *shares.columns, "global_share"
    )
    share = shares.global_share
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
        columns = shares.columns
        shares = shares.left_join(any_weekday, ["as_of", "curve_of", "delay_days"])
        shares = shares.select(*columns, "any_share")
        by_weekday = own.filter(_.of_weekday >= 0).select(
            "as_of", "curve_of", "delay_days", "of_weekday", weekday_share=_.share
        )
        shares = shares.left_join(by_weekday, ["as_of", "curve_of", "delay_days", "of_weekday"])
        shares = shares.select(*columns, "any_share", "weekday_share")
        share = ibis.coalesce(shares.any_share, shares.weekday_share, shares.global_share)
    shares = shares.mutate(
        share=share.fill_null(double(1)), global_share=_.global_share.fill_null(double(1))
    )
    week = ibis.window(group_by=("as_of", "curve_of", "first_age"))
    of_age = shares.select(
        "as_of",
        "curve_of",
        "share",
        age=_.delay_days,
        mean=_mean(shares.share).over(week),
        global_mean=_mean(shares.global_share).over(week),
    )
    joined = keyed.mutate(age=_age(keyed)).left_join(of_age, ["as_of", "curve_of", "age"])
    joined = joined.select(
        *keyed.columns,
        maturity=rounded(joined.share),
        factor=_capped_inverse(joined["mean"], settings=settings),
        global_factor=_capped_inverse(joined.global_mean, settings=settings),
    )
    factor = joined.factor
    if num_labels is not None and settings.maturity == "advertiser":
        scale = _missing_scale(joined, num_labels=joined[num_labels])
        factor = ibis.least(joined.factor * scale, double(settings.max_maturity_factor))
    return joined.select(*rows.columns, "maturity", maturity_factor=factor)


def _mean(share: ibis.Value) -> ibis.Value:
    """Mean of shares, the same in any order."""
    return exact_sum(share, decimals=SHARE_DECIMALS) / share.count()


def _capped_inverse(share: ibis.Value, *, settings: DelaySettings) -> ibis.Value:
    """min(1 / share, w_max)."""
    most, share = double(settings.max_maturity_factor), rounded(share)
    is_capped = share * most <= double(1)
    return is_capped.ifelse(most, double(1) / is_capped.ifelse(double(1), share))


def _missing_scale(rows: ibis.Table, *, num_labels: ibis.Value) -> ibis.Value:
    """By how much the sum that the global curve expects exceeds the advertisers': at least 1."""
    together = ibis.window(group_by=("as_of", "first_age"))
    ours, expected = (
        to_units(num_labels * factor, decimals=SUM_DECIMALS).sum().over(together)
        for factor in (rows.factor, rows.global_factor)
    )
    return ibis.greatest(rounded(expected / ours), double(1))


def _age(rows: ibis.Table) -> ibis.Value:
    """Days from the impression day to the last whose arrivals are known."""
    return (rows.as_of.delta(rows.impression_day, unit="day") - 1).cast("int64")


def _first_age(rows: ibis.Table, *, num_days: int, youngest: int) -> ibis.Value:
    """The least age of those that share a factor with a row's."""
    age = _age(rows)
    return (age - (age - youngest) % num_days).cast("int64")


def _weekday_of_age(rows: ibis.Table) -> ibis.Value:
    """Weekday of the impression day that is so old; weekdays repeat, so that any age works."""
    return ((weekday(rows.as_of) - 1 - rows.delay_days % 7 + 14) % 7).cast("int64")
