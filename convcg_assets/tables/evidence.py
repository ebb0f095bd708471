"""What each piece of evidence about an impression is worth as a label, factor by factor.

Which impressions they belong to is put together in `weighted_labels.py`.
"""

import math

import ibis
from ibis import _

from convcg_assets.sources.columns import CONVERSION_EVENTS, ENGAGEMENT_TYPES
from convcg_assets.tables.exact import SHARE_DECIMALS, double, to_units
from convcg_assets.tables.settings import LabelSettings
from convcg_assets.tables.standing import SPAN, span_of


def conversion_evidence(attributed: ibis.Table, *, settings: LabelSettings) -> ibis.Table:
    """One row per (impression, conversion): credits of several touches of it are summed.

    With spans (see `standing.py`) one row for each value that the conversion had.
    """
    span = span_of(attributed)
    strongest = ibis.window(
        group_by=["dt", "conversion_id", "impression_id", *span],
        order_by=[ibis.desc("credit"), "touch_type", "touch_ts"],
    )
    per_impression = ibis.window(group_by=["dt", "conversion_id", "impression_id", *span])
    rows = (
        attributed.filter(_.status == "attributed")
        .mutate(
            total_units=to_units(_.credit, decimals=SHARE_DECIMALS).sum().over(per_impression),
            rank=ibis.row_number().over(strongest),
        )
        .filter(_.rank == 0)
    )
    return rows.select(
        "impression_id",
        "touch_type",
        "match_level",
        task=ibis.literal("conversion"),
        evidence=_.event_name,
        evidence_id=_.conversion_id.cast("string"),
        evidence_dt=_.dt,
        evidence_ts=_.event_ts,
        **_span(rows),
        event_weight=event_weight(rows.event_name, CONVERSION_EVENTS, settings),
        value_factor=value_factor(_.value, settings=settings),
        credit=_.total_units / double(10**SHARE_DECIMALS),
        match_factor=(_.match_level == "pin").ifelse(
            double(1), double(settings.advertiser_match_factor)
        ),
        duration_factor=double(1),
    )


def engagement_evidence(linked: ibis.Table, *, settings: LabelSettings) -> ibis.Table:
    """One row per linked engagement, with the `impression_day` of its impression."""
    one = double(1)
    return linked.select(
        "impression_id",
        "impression_day",
        touch_type=ibis.null("string"),
        match_level=ibis.null("string"),
        task=ibis.literal("engagement"),
        evidence=_.engagement_type,
        evidence_id=_.engagement_id.cast("string"),
        evidence_dt=_.dt,
        evidence_ts=_.engagement_ts,
        **_span(linked),
        event_weight=event_weight(linked.engagement_type, ENGAGEMENT_TYPES, settings),
        value_factor=one,
        credit=one,
        match_factor=one,
        duration_factor=(_.engagement_type == "click").ifelse(
            click_duration_factor(_.duration_s, settings=settings), double(1)
        ),
    )


def _span(rows: ibis.Table) -> dict[str, ibis.Value]:
    return {name: rows[name] if name in rows.columns else ibis.null("date") for name in SPAN}


def event_weight(event: ibis.Value, names: tuple[str, ...], settings: LabelSettings) -> ibis.Value:
    """The weight of each event of a vocabulary: the setting `<event>_weight`.

    Raises AttributeError where one has no setting. An event that is in no vocabulary has no weight
    (null, which the checks refuse), rather than vanish with weight 0.
    """
    weights = {name: getattr(settings, f"{name}_weight") for name in names}
    return event.cases(
        *((name, double(weight)) for name, weight in weights.items()), else_=ibis.null("float64")
    )


def click_duration_factor(duration_s: ibis.Value, *, settings: LabelSettings) -> ibis.Value:
    """Factor from a click's duration in seconds: 0 at once back, 1 from t_max on.

    The article gives the weight as an image, in words "log-based, capped by a tunable t_max"; both
    readings are offered: `log_ratio` min(1, log(1+t) / log(1+t_max)), and `log2_share`
    log(1 + min(t, t_max) / t_max) / log 2. A duration that was not logged has its own factor.
    """
    t_max = settings.click_t_max_s
    capped = ibis.least(duration_s, double(t_max))
    factor = {
        "log_ratio": (capped + double(1)).ln() / double(math.log1p(t_max)),
        "log2_share": (capped / double(t_max) + double(1)).ln() / double(math.log(2)),
    }[settings.click_formula]
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
