"""What `weighted_labels` must agree on with the tables that it is made of."""

import ibis
from ibis import _

from convcg_assets.sources.columns import CONVERSION_EVENTS, ENGAGEMENT_TYPES
from convcg_assets.tables.attributed_conversions import CREDIT_TOLERANCE
from convcg_assets.tables.exact import double
from convcg_assets.tables.finite import numbers_are_finite
from convcg_assets.tables.table import Check

WEIGHT_TOLERANCE = 1e-9
"""What multiplying the factors in another order may change; of large weights, their share."""
FACTORS = ("event_weight", "value_factor", "credit", "match_factor", "duration_factor")
EVIDENCE = {"conversion": CONVERSION_EVENTS, "engagement": ENGAGEMENT_TYPES}
"""What may be evidence of a task."""


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
        .group_by("evidence_dt", "evidence_id", "since_dt")
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


def evidence_of_another_task(labels: ibis.Table) -> ibis.Table:
    """Labels whose evidence is none of their task's."""
    fits = [(labels.task == task) & labels.evidence.isin(names) for task, names in EVIDENCE.items()]
    is_known = ibis.or_(*fits).fill_null(False)
    return labels.filter(~is_known).select("dt", "impression_id", "evidence_id", "task", "evidence")


CHECKS = (
    Check(
        "impressions_exist",
        "Every label's impression is in `impressions`.",
        error=lambda i: labels_without_impression(
            i.own, i.read("impressions", after=i.scope.late_days)
        ),
    ),
    Check(
        "evidence_of_its_task",
        "Conversions are evidence of the conversion task, onsite actions of engagement.",
        error=lambda i: evidence_of_another_task(i.own),
    ),
    Check(
        "no_label_from_the_future",
        "No label was known before it could be (error); none precedes its impression by more than "
        "clocks may be off (warning).",
        error=lambda i: labels_from_future(
            i.own, tolerance_minutes=i.scope.source.tolerance_minutes
        ),
        warning=lambda i: labels_before_impression(
            i.own, tolerance_minutes=i.scope.source.tolerance_minutes
        ),
    ),
    Check(
        "conversions_counted_once",
        "The labels of a conversion hold at most its whole credit.",
        error=lambda i: overcredited_conversions(i.own),
    ),
    Check(
        "credit_as_attributed",
        "A conversion label's credit is what attribution gave its impression.",
        error=lambda i: labels_unlike_attribution(
            i.own,
            i.read("attributed_conversions", after=i.settings.attribution.horizon_days),
        ),
    ),
    Check(
        "weight_is_product_of_factors",
        "A label's weight is the product of its factors.",
        error=lambda i: weights_not_product(i.own),
    ),
    numbers_are_finite("dt", "impression_id", "evidence_id"),
)
