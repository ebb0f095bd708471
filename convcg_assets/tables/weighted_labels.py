"""Labels: what each piece of evidence about an impression is worth, factor by factor.

The division by a label's maturity belongs to training time, not here.
"""

import math

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.exact import SHARE_DECIMALS, double, to_units
from convcg_assets.tables.settings import LabelSettings
from convcg_assets.tables.touches import (
    arrived_within,
    impressions_of_days,
    link_engagements,
)


def weigh_labels(
    attributed: ibis.Table,
    engagements: ibis.Table,
    impressions: ibis.Table,
    *,
    settings: LabelSettings,
    engagement_days: int,
    days: Days,
) -> ibis.Table:
    """Rows of `weighted_labels` for the impression days `days`.

    An engagement counts that arrived up to `engagement_days` after the impression day.

    `impressions` and `engagements` must hold the day before and those after on which engagements
    may still arrive, `attributed` the horizon after.
    """
    shown = impressions_of_days(impressions, days=days)
    columns = shown.select(
        "impression_id",
        "user_id",
        "pin_id",
        "advertiser_id",
        "impression_ts",
        "surface",
        "subject_pin_id",
        "query",
        dt=_.impression_day,
        impression_dt=_.dt,
    )
    evidence = _conversion_evidence(attributed, settings=settings).union(
        _engagement_evidence(engagements, impressions, settings=settings, num_days=engagement_days)
    )
    rows = columns.inner_join(evidence, "impression_id")
    factors = ("event_weight", "value_factor", "credit", "match_factor", "duration_factor")
    return rows.mutate(weight=math.prod((rows[f] for f in factors[1:]), start=rows[factors[0]]))


def click_duration_factor(duration_s: ibis.Value, *, settings: LabelSettings) -> ibis.Value:
    """Factor from a click's duration in seconds: 0 at once back, 1 from t_max on.

    The article gives the weight as an image, in words "log-based, capped by a tunable t_max"; both
    readings are offered: `log_ratio` min(1, log(1+t) / log(1+t_max)), and `log2_share`
    log(1 + min(t, t_max) / t_max) / log 2. A duration that was not logged has its own factor.
    """
    t_max = settings.click_t_max_s
    capped = ibis.least(duration_s, double(t_max))
    if settings.click_formula == "log_ratio":
        factor = (capped + double(1)).ln() / double(math.log1p(t_max))
    else:
        factor = (capped / double(t_max) + double(1)).ln() / double(math.log(2))
    # Not fill_null afterwards: the least of null and t_max is t_max.
    unknown = double(settings.unknown_duration_factor)
    return duration_s.isnull().ifelse(unknown, factor.round(SHARE_DECIMALS))


def value_factor(value: ibis.Value, *, settings: LabelSettings) -> ibis.Value:
    """Factor from a conversion's value: log(1+value) / log(1+reference), clipped; 1 without one."""
    ratio = (value + double(1)).ln() / double(math.log1p(settings.value_reference))
    clipped = ibis.greatest(
        ibis.least(ratio, double(settings.value_factor_max)), double(settings.value_factor_min)
    )
    return value.isnull().ifelse(double(1), clipped.round(SHARE_DECIMALS))


def _conversion_evidence(attributed: ibis.Table, *, settings: LabelSettings) -> ibis.Table:
    """One row per (impression, conversion): credits of several touches of it are summed."""
    strongest = ibis.window(
        group_by=["dt", "conversion_id", "impression_id"],
        order_by=[ibis.desc("credit"), "touch_type", "touch_ts"],
    )
    per_impression = ibis.window(group_by=["dt", "conversion_id", "impression_id"])
    rows = (
        attributed.filter(_.status == "attributed")
        .mutate(
            total_units=to_units(_.credit, decimals=SHARE_DECIMALS).sum().over(per_impression),
            rank=ibis.row_number().over(strongest),
        )
        .filter(_.rank == 0)
    )
    weights = {
        "checkout": settings.checkout_weight,
        "add_to_cart": settings.add_to_cart_weight,
        "signup": settings.signup_weight,
        "lead": settings.lead_weight,
    }
    return rows.select(
        "impression_id",
        "touch_type",
        "match_level",
        task=ibis.literal("conversion"),
        evidence=_.event_name,
        evidence_id=_.conversion_id.cast("string"),
        evidence_dt=_.dt,
        evidence_ts=_.event_ts,
        event_weight=_.event_name.cases(
            *((name, double(weight)) for name, weight in weights.items()), else_=double(0)
        ),
        value_factor=value_factor(_.value, settings=settings),
        credit=_.total_units / double(10**SHARE_DECIMALS),
        match_factor=(_.match_level == "pin").ifelse(
            double(1), double(settings.advertiser_match_factor)
        ),
        duration_factor=double(1),
    )


def _engagement_evidence(
    engagements: ibis.Table, impressions: ibis.Table, *, settings: LabelSettings, num_days: int
) -> ibis.Table:
    linked = arrived_within(link_engagements(engagements, impressions), num_days=num_days)
    weights = {
        "click": settings.click_weight,
        "repin": settings.repin_weight,
        "close_up": settings.close_up_weight,
    }
    one = double(1)
    return linked.select(
        "impression_id",
        touch_type=ibis.null("string"),
        match_level=ibis.null("string"),
        task=ibis.literal("engagement"),
        evidence=_.engagement_type,
        evidence_id=_.engagement_id.cast("string"),
        evidence_dt=_.dt,
        evidence_ts=_.engagement_ts,
        event_weight=_.engagement_type.cases(
            *((name, double(weight)) for name, weight in weights.items()), else_=double(0)
        ),
        value_factor=one,
        credit=one,
        match_factor=one,
        duration_factor=(_.engagement_type == "click").ifelse(
            click_duration_factor(_.duration_s, settings=settings), double(1)
        ),
    )
