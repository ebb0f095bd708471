"""`weighted_labels`: the positives of each impression day, with what each weighs and why.

What a piece of evidence is worth belongs to `evidence.py`; the division by a label's maturity to
training time, not here.
"""

import math

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import (
    CONVERSION_EVENTS,
    ENGAGEMENT_TYPES,
    SURFACES,
    TASKS,
    Column,
    Columns,
)
from convcg_assets.tables.evidence import conversion_evidence, engagement_evidence
from convcg_assets.tables.linked_engagements import linked_input, shown_input
from convcg_assets.tables.settings import LabelSettings
from convcg_assets.tables.standing import adjusted_input, read_adjusted, with_spans
from convcg_assets.tables.table import Input, Inputs, Scope, Table, own_day
from convcg_assets.tables.touches import MATCH_LEVELS, TOUCH_TYPES, impressions_of_days
from convcg_assets.tables.weighted_label_checks import CHECKS, FACTORS

COLUMNS: Columns = {
    "dt": Column("date", "impression day"),
    "impression_id": Column(
        "id:impression_id",
        "the impression that this is a positive of",
        required=True,
    ),
    "user_id": Column("id:user_id", "who", required=True),
    "pin_id": Column("id:pin_id", "the Pin shown", required=True),
    "advertiser_id": Column("id:advertiser_id", "whose Pin"),
    "impression_ts": Column("timestamp(6)", "when it was shown"),
    "impression_dt": Column("date", "arrival day of the impression"),
    "surface": Column("string", "where it was shown", required=True, vocabulary=SURFACES),
    "subject_pin_id": Column("id:pin_id", "Related Pins: the Pin looked at"),
    "query": Column("string", "Search: what was searched for"),
    "task": Column("string", "what it is a positive of", required=True, vocabulary=TASKS),
    "evidence": Column(
        "string",
        "what happened",
        required=True,
        vocabulary=(*CONVERSION_EVENTS, *ENGAGEMENT_TYPES),
    ),
    "evidence_id": Column("string", "id of the conversion or engagement", required=True),
    "evidence_dt": Column("date", "arrival day of the evidence", required=True),
    "evidence_ts": Column("timestamp(6)", "when the evidence happened", required=True),
    "since_dt": Column(
        "date",
        "restated conversion: the day on which this value was known first; null: held from the "
        "arrival of the evidence on",
        added=True,
    ),
    "until_dt": Column(
        "date",
        "the day on which it was known that the conversion had been taken back or restated: for "
        "later days T the row does not hold; null: it does",
        added=True,
    ),
    "touch_type": Column(
        "string",
        "conversion: the type of touch credited",
        vocabulary=TOUCH_TYPES,
    ),
    "match_level": Column(
        "string",
        "conversion: whether the touch was of the same Pin, or the same advertiser",
        vocabulary=MATCH_LEVELS,
    ),
    "event_weight": Column("float64", "factor: what this kind of evidence is worth", required=True),
    "value_factor": Column(
        "float64",
        "factor: from the conversion's value; 1 for engagement",
        required=True,
    ),
    "credit": Column("float64", "factor: attribution credit; 1 for engagement", required=True),
    "match_factor": Column(
        "float64",
        "factor: 1 for a Pin match, less for an advertiser match",
        required=True,
    ),
    "duration_factor": Column(
        "float64",
        "factor: from the click's duration; 1 for other evidence",
        required=True,
    ),
    "weight": Column("float64", "product of the factors", required=True),
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """The days' own impressions, what they are credited with, and what was done with them."""
    horizon = scope.settings.attribution.horizon_days
    return (
        Input("attributed_conversions", after=horizon, cells=own_day),
        *adjusted_input(scope, after=_adjusted_for(scope), cells=own_day),
        linked_input(scope),
        shown_input(scope),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The labels of the days' impressions."""
    return weigh_labels(
        inputs["attributed_conversions"],
        inputs["linked_engagements"],
        inputs["impressions"],
        read_adjusted(inputs),
        settings=inputs.settings.labels,
        days=inputs.days,
    )


def weigh_labels(
    attributed: ibis.Table,
    linked: ibis.Table,
    impressions: ibis.Table,
    adjusted: ibis.Table | None = None,
    *,
    settings: LabelSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `weighted_labels` for the impression days `days`.

    `impressions` must hold the day before and those on which some may arrive late, `linked` (rows
    of `linked_engagements`) those on which engagements may arrive, `attributed` the horizon after,
    `adjusted` also the days on which those conversions may be adjusted.
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
    standing = with_spans(attributed, adjusted)
    converted = columns.inner_join(
        conversion_evidence(standing, settings=settings), "impression_id"
    )
    engaged = columns.inner_join(
        engagement_evidence(linked, settings=settings),
        ["impression_id", (columns.dt, _.impression_day)],
    )
    rows = converted.union(engaged.select(converted.columns))
    return rows.mutate(weight=math.prod((rows[f] for f in FACTORS[1:]), start=rows[FACTORS[0]]))


def _adjusted_for(scope: Scope) -> int:
    """How many days after its own a label day's conversions may be adjusted."""
    return scope.settings.attribution.horizon_days + scope.settings.adjustments.max_days


WEIGHTED_LABELS = Table(
    name="weighted_labels",
    group="labels",
    owner="team:ads-ml",
    description="""One positive by impression day: (impression, task, evidence), its weight and
every factor.

A day goes on gaining conversions until the horizon has passed; each row keeps the arrival day of
its evidence, so that any earlier state of knowledge can be told from it. A conversion that was
taken back or restated later keeps its row, with the day until which it held.""",
    columns=COLUMNS,
    key=("dt", "impression_id", "task", "evidence_id", "evidence_dt", "since_dt"),
    inputs=inputs,
    settings=lambda scope: (scope.settings.labels, scope.engagement_days),
    version=2,
    rows=rows,
    cell="greatest(impression_dt, evidence_dt, since_dt)",
    later="until_dt",
    checks=CHECKS,
    ready_by_hour=6,
)
