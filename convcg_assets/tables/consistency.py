"""What tables must agree on: each check takes tables and returns the rows that break it, with ids.

No rows: the check holds. What a single table's columns may hold belongs to `expectations/`.
"""

import functools
import operator

import ibis
from ibis import _
from ibis.expr.datatypes import Array

from convcg_assets.tables.exact import double
from convcg_assets.tables.settings import AttributionSettings, ExampleSettings

CREDIT_TOLERANCE = 1e-9
"""Credits are shares: what adding them may lose in the last digits."""
WEIGHT_TOLERANCE = 1e-9
"""What multiplying the factors in another order may change; of large weights, their share."""
FACTORS = ("event_weight", "value_factor", "credit", "match_factor", "duration_factor")


def uneven_credits(attributed: ibis.Table) -> ibis.Table:
    """Attributed conversions whose credits do not sum to 1."""
    credited = attributed.filter(_.status == "attributed")
    sums = credited.group_by("dt", "conversion_id").agg(
        num_touches=_.count(), total_credit=_.credit.sum()
    )
    off = (_.total_credit - double(1)).abs() > double(CREDIT_TOLERANCE)
    return sums.filter(off.fill_null(True))


def touches_outside_window(attributed: ibis.Table, *, settings: AttributionSettings) -> ibis.Table:
    """Credited touches outside `touch_ts <= event_ts < touch_ts + window`, or past the horizon."""
    windows = {
        "click": settings.click_window_days,
        "engagement": settings.engagement_window_days,
        "view": settings.view_window_days,
    }
    ends = ibis.cases(
        *(
            (_.touch_type == kind, _.touch_ts + ibis.interval(days=days))
            for kind, days in windows.items()
        ),
        else_=_.touch_ts,
    )
    inside = (
        (_.touch_ts <= _.event_ts)
        & (_.event_ts < ends)
        & _.dt.delta(_.impression_day, unit="day").between(0, settings.horizon_days)
    )
    return attributed.filter(_.status == "attributed", ~inside.fill_null(False)).select(
        "dt", "conversion_id", "impression_id", "touch_type", "touch_ts", "event_ts"
    )


def labels_without_impression(labels: ibis.Table, impressions: ibis.Table) -> ibis.Table:
    """Labels whose impression (id, user, Pin, day and arrival day) is not in `impressions`."""
    key = {"dt": "impression_day", "impression_dt": "dt"}
    key |= {c: c for c in ("impression_id", "user_id", "pin_id")}
    missing = labels.anti_join(impressions, [labels[a] == impressions[b] for a, b in key.items()])
    return missing.select("dt", "impression_id", "user_id", "pin_id", "task", "evidence_id")


def labels_from_future(labels: ibis.Table, *, tolerance_minutes: int) -> ibis.Table:
    """Labels known before they could be.

    A conversion must not have arrived before the impression that it is credited to; no evidence and
    no impression may be of a time after the day on which it arrived, apart from what clocks may be
    off.
    """
    # Twice: a report's clock and its event's may both be off.
    slack = ibis.interval(minutes=24 * 60 + 2 * tolerance_minutes)
    early = (_.task == "conversion") & (_.evidence_dt < _.impression_dt)
    late = _.evidence_ts >= _.evidence_dt.cast("timestamp") + slack
    unborn = _.impression_ts >= _.impression_dt.cast("timestamp") + slack
    return labels.filter((early | late | unborn).fill_null(True)).select(
        "dt", "impression_id", "task", "evidence_id", "evidence_dt", "evidence_ts", "impression_dt"
    )


def labels_before_impression(labels: ibis.Table, *, tolerance_minutes: int) -> ibis.Table:
    """Labels whose evidence precedes their impression, by more than two clocks may be off."""
    slack = ibis.interval(minutes=2 * tolerance_minutes)
    before = (_.evidence_ts + slack < _.impression_ts) | (_.evidence_dt < _.dt)
    return labels.filter(before).select(
        "dt", "impression_id", "task", "evidence_id", "evidence_dt", "evidence_ts", "impression_ts"
    )


def overcredited_conversions(labels: ibis.Table) -> ibis.Table:
    """Conversions whose labels, over all impressions at hand, hold more than the whole credit."""
    sums = (
        labels.filter(_.task == "conversion")
        .group_by("evidence_dt", "evidence_id")
        .agg(num_labels=_.count(), total_credit=_.credit.sum())
    )
    return sums.filter(_.total_credit > double(1 + CREDIT_TOLERANCE))


def labels_unlike_attribution(labels: ibis.Table, attributed: ibis.Table) -> ibis.Table:
    """Conversion labels whose credit is not what attribution gave their impression."""
    given = (
        attributed.filter(_.status == "attributed")
        .group_by("impression_id", evidence_dt=_.dt, evidence_id=_.conversion_id.cast("string"))
        .agg(given_credit=_.credit.sum())
    )
    key = ["impression_id", "evidence_dt", "evidence_id"]
    rows = labels.filter(_.task == "conversion").left_join(given, key)
    differs = (_.credit - _.given_credit).abs() > double(CREDIT_TOLERANCE)
    return rows.filter(differs.fill_null(True)).select("dt", *key, "credit", "given_credit")


def weights_not_product(labels: ibis.Table) -> ibis.Table:
    """Labels whose weight is not the product of their factors."""
    product = _.event_weight * _.value_factor * _.credit * _.match_factor * _.duration_factor
    bound = (_.weight + double(1)) * double(WEIGHT_TOLERANCE)
    differs = (_.weight - product).abs() > bound
    return labels.filter(differs.fill_null(True)).select(
        "dt", "impression_id", "evidence_id", "weight", *FACTORS
    )


def engaged_negatives(negatives: ibis.Table, engagements: ibis.Table) -> ibis.Table:
    """Hard negatives that an engagement had reached by the end of their own arrival day."""
    engaged = engagements.filter(_.impression_id.notnull()).select(
        "impression_id", "user_id", "pin_id", "engagement_id", engagement_dt=_.dt
    )
    rows = negatives.inner_join(engaged, ["impression_id", "user_id", "pin_id"])
    return rows.filter(_.engagement_dt.between(_.dt, _.impression_dt)).select(
        "dt", "impression_id", "engagement_id", "engagement_dt"
    )


def false_negatives(examples: ibis.Table) -> ibis.Table:
    """Hard negatives of a user and a Pin that are a positive of the same training set."""
    training = examples.filter(_.split == "train")
    liked = training.filter(~_.is_negative).select("dt", "user_id", "pin_id").distinct()
    negatives = training.filter(_.is_negative)
    return negatives.semi_join(liked, ["dt", "user_id", "pin_id"]).select(
        "dt", "impression_id", "user_id", "pin_id"
    )


def examples_from_future(examples: ibis.Table, *, settings: ExampleSettings) -> ibis.Table:
    """Examples that their split must not know: what was shown or arrived in its future."""
    first = ibis.interval(days=settings.training_days + settings.holdout_days)
    rows = examples.mutate(
        first_day=(_.dt - first).cast("date"),
        cutoff=(_.dt - ibis.interval(days=settings.holdout_days)).cast("date"),
    )
    is_holdout = _.split == "holdout"
    in_holdout = (_.example_day >= _.cutoff) & (_.example_day < _.dt) & (_.evidence_dt < _.dt)
    in_training = (
        (_.example_day >= _.first_day)
        & (_.example_day < _.cutoff)
        & ((_.evidence_dt < _.cutoff) | _.is_negative)
    )
    in_time = (is_holdout & in_holdout) | (~is_holdout & in_training)
    return rows.filter(~in_time.fill_null(False)).select(
        "dt", "split", "example_day", "impression_id", "evidence_dt"
    )


def broken_histories(user_features: ibis.Table, *, tolerance_minutes: int) -> ibis.Table:
    """Users whose lists of recent actions differ in length, or hold an action of the future."""
    rows = user_features.mutate(
        num_pins=_.recent_pin_ids.length().fill_null(0),
        num_actions=_.recent_actions.length().fill_null(0),
        num_ages=_.recent_age_days.length().fill_null(0),
        newest_age_days=_.recent_age_days.mins(),
    )
    uneven = (_.num_pins != _.num_actions) | (_.num_pins != _.num_ages)
    future = _.newest_age_days < double(-2 * tolerance_minutes / (24 * 60))
    return rows.filter(uneven | future.fill_null(False)).select(
        "dt", "user_id", "num_pins", "num_actions", "num_ages", "newest_age_days"
    )


def uneven_content(pins: ibis.Table) -> ibis.Table:
    """Pins whose content vector is shorter than others of the same day."""
    rows = pins.filter(_.content.notnull()).select("dt", "pin_id", length=_.content.length())
    longest = rows.group_by("dt").agg(day_length=_.length.max())
    joined = rows.inner_join(longest, "dt")
    return joined.filter(_.length != _.day_length).select("dt", "pin_id", "length", "day_length")


def not_finite(rows: ibis.Table, *, ids: tuple[str, ...]) -> ibis.Table:
    """Rows with a NaN or an infinity: one of them makes every weight of a model NaN."""
    faults = []
    for name, kind in rows.schema().items():
        if kind.is_floating():
            faults.append(_[name].isnan() | _[name].isinf())
        elif isinstance(kind, Array) and kind.value_type.is_floating():
            faults.append(_[name].filter(lambda x: x.isnan() | x.isinf()).length() > 0)
    broken = functools.reduce(operator.or_, (fault.fill_null(False) for fault in faults))
    return rows.filter(broken).select(*ids)


def rejected_shares(
    accepted: ibis.Table, rejected: ibis.Table, *, stream: str, above: float, min_rejected: int
) -> ibis.Table:
    """Days on which more than `above` of a stream's rows were rejected, and at least so many.

    With each the commonest reason, and a file that has such a row.
    """
    kept = accepted.group_by("dt").agg(num_accepted=_.count())
    mine = rejected.filter(_.stream == stream)
    by_reason = mine.group_by("dt", "reason").agg(rows=_.count(), file=_.file.min())
    commonest = ibis.window(group_by="dt", order_by=[ibis.desc("rows"), "reason"])
    named = by_reason.mutate(rank=ibis.row_number().over(commonest)).filter(_.rank == 0)
    refused = mine.group_by("dt").agg(num_rejected=_.count())
    refused = refused.inner_join(named.select("dt", "reason", "file"), "dt")
    days = refused.left_join(kept, "dt").mutate(num_accepted=_.num_accepted.fill_null(0))
    shares = days.mutate(share=_.num_rejected / (_.num_rejected + _.num_accepted))
    return shares.filter(_.num_rejected >= min_rejected, _.share > double(above)).select(
        "dt",
        stream=ibis.literal(stream),
        num_rejected=_.num_rejected,
        num_accepted=_.num_accepted,
        share=_.share,
        reason=_.reason,
        file=_.file,
    )
