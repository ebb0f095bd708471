"""Hard negatives: impressions without engagement, sampled the same way by every engine."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.settings import NegativeSettings
from convcg_assets.tables.touches import arrived_within, impressions_of_days, link_engagements

HASH_DIGITS = 8


def sample_negatives(
    impressions: ibis.Table,
    engagements: ibis.Table,
    *,
    settings: NegativeSettings,
    engagement_days: int,
    days: Days,
) -> ibis.Table:
    """Rows of `hard_negatives` for the impression days `days`.

    An engagement counts that arrived up to `engagement_days` after the impression day.

    An impression qualifies if nothing had engaged with it by the end of its own arrival day. One
    that an engagement reached later keeps its row and gets that engagement's arrival day, so that a
    model of any day T can be rebuilt from what was known on T. Sampled by the MD5 of the impression
    id, which all engines compute alike; capped per user, impression day and arrival day in that
    order.
    """
    shown = impressions_of_days(impressions, days=days)
    linked = arrived_within(link_engagements(engagements, impressions), num_days=engagement_days)
    engaged = linked.group_by("impression_id").agg(engaged_dt=_.dt.min())
    hashed = shown.mutate(sample_hash=_.impression_id.cast("string").hexdigest("md5"))
    if settings.sample_rate < 1:
        threshold = f"{int(settings.sample_rate * 16**HASH_DIGITS):0{HASH_DIGITS}x}"
        hashed = hashed.filter(_.sample_hash[:HASH_DIGITS] < threshold)
    cap = ibis.window(
        group_by=["user_id", "impression_day", "dt"], order_by=["sample_hash", "impression_id"]
    )
    rows = hashed.left_join(engaged, "impression_id")
    return (
        rows.filter(rows.engaged_dt.isnull() | (rows.engaged_dt > rows.dt))
        .mutate(cap_rank=ibis.row_number().over(cap))
        .filter(_.cap_rank < settings.max_per_user_day)
        .mutate(impression_dt=_.dt)
        .mutate(dt=_.impression_day)
    )
