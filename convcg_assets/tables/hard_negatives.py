"""`hard_negatives`: impressions without engagement, sampled the same way by every engine."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import SURFACES, Column, Columns
from convcg_assets.tables.linked_engagements import linked_input, shown_input
from convcg_assets.tables.settings import NegativeSettings
from convcg_assets.tables.table import Check, Inputs, Table
from convcg_assets.tables.touches import impressions_of_days

HASH_DIGITS = 8

COLUMNS: Columns = {
    "dt": Column("date", "impression day"),
    "impression_id": Column(
        "id:impression_id",
        "an impression that was not engaged with when it arrived",
        required=True,
    ),
    "user_id": Column("id:user_id", "who", required=True),
    "pin_id": Column("id:pin_id", "the Pin shown", required=True),
    "advertiser_id": Column("id:advertiser_id", "whose Pin"),
    "impression_ts": Column("timestamp(6)", "when it was shown"),
    "impression_dt": Column("date", "arrival day of the impression", required=True),
    "surface": Column("string", "where it was shown", required=True, vocabulary=SURFACES),
    "subject_pin_id": Column("id:pin_id", "Related Pins: the Pin looked at"),
    "query": Column("string", "Search: what was searched for"),
    "engaged_dt": Column(
        "date",
        "arrival day of a later engagement with it; a negative only before then",
    ),
}


def rows(inputs: Inputs) -> ibis.Table:
    """The sample of the days' impressions."""
    return sample_negatives(
        inputs["impressions"],
        inputs["linked_engagements"],
        settings=inputs.settings.negatives,
        days=inputs.days,
    )


def sample_negatives(
    impressions: ibis.Table,
    linked: ibis.Table,
    *,
    settings: NegativeSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `hard_negatives` for the impression days `days`.

    An impression qualifies if nothing had engaged with it by the end of its own arrival day. One
    that an engagement reached later keeps its row and gets that engagement's arrival day, so that a
    model of any day T can be rebuilt from what was known on T. Sampled by the MD5 of the impression
    id, which all engines compute alike; capped per user, impression day and arrival day in that
    order.
    """
    shown = impressions_of_days(impressions, days=days)
    engaged = linked.group_by("impression_id", "impression_day").agg(engaged_dt=_.dt.min())
    hashed = shown.mutate(sample_hash=_.impression_id.cast("string").hexdigest("md5"))
    if settings.sample_rate < 1:
        threshold = f"{int(settings.sample_rate * 16**HASH_DIGITS):0{HASH_DIGITS}x}"
        hashed = hashed.filter(_.sample_hash[:HASH_DIGITS] < threshold)
    cap = ibis.window(
        group_by=["user_id", "impression_day", "dt"], order_by=["sample_hash", "impression_id"]
    )
    rows = hashed.left_join(engaged, ["impression_id", "impression_day"])
    return (
        rows.filter(rows.engaged_dt.isnull() | (rows.engaged_dt > rows.dt))
        .mutate(cap_rank=ibis.row_number().over(cap))
        .filter(_.cap_rank < settings.max_per_user_day)
        .mutate(impression_dt=_.dt)
        .mutate(dt=_.impression_day)
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


HARD_NEGATIVES = Table(
    name="hard_negatives",
    group="negatives",
    owner="team:ads-ml",
    description="""One unengaged impression by impression day, sampled by a hash of its id.

The same rows on every rebuild and on every engine, and at most a few per user and day.""",
    columns=COLUMNS,
    key=("dt", "impression_id"),
    inputs=lambda scope: (linked_input(scope), shown_input(scope)),
    settings=lambda scope: (scope.settings.negatives, scope.engagement_days),
    version=2,
    rows=rows,
    cell="impression_dt",
    later="engaged_dt",
    checks=(
        Check(
            "not_engaged",
            "Nothing had engaged with a hard negative by the end of the day on which it arrived.",
            error=lambda i: engaged_negatives(
                i.own, i.read("engagements", after=i.scope.late_days)
            ),
        ),
    ),
)
