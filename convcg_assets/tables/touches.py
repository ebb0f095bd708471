"""Touches: what a user did with an impression, and which impression an engagement belongs to.

Crediting conversions to touches belongs to `attribution.py`.
"""

import ibis
from ibis import _

from convcg_assets.days import Days

TOUCH_TYPES = ("click", "engagement", "view")
MATCH_LEVELS = ("pin", "advertiser")
"""Both from the strongest to the weakest, as last touch takes them."""
LINK_WINDOW_HOURS = 24
"""An engagement without an impression id belongs to an impression shown at most so long before."""


def first_arrivals(rows: ibis.Table, *, key: str, ts: str) -> ibis.Table:
    """The rows without those that an earlier arrival day already held: same id, same time."""
    window = ibis.window(group_by=[key, ts], order_by="dt")
    ranked = rows.mutate(arrival_rank=ibis.row_number().over(window))
    return ranked.filter(_.arrival_rank == 0).drop("arrival_rank")


def first_impressions(impressions: ibis.Table) -> ibis.Table:
    """The impressions, each as it first arrived.

    Ids are unique within an arrival day, so that only a row that arrived after its day, or whose
    clock was a day ahead, can be repeated by another: only those few are sorted and looked up.
    """
    on_time = impressions.filter(
        _.dt == _.impression_day, _.impression_ts.date() == _.impression_day
    )
    others = impressions.filter(
        (_.dt != _.impression_day) | (_.impression_ts.date() != _.impression_day)
    )
    others = first_arrivals(others, key="impression_id", ts="impression_ts")
    key = ["impression_id", "impression_ts"]
    ahead = others.filter(_.dt == _.impression_day)
    late = others.filter(_.dt > _.impression_day)
    repeated = on_time.semi_join(late, key)
    return ibis.union(on_time.anti_join(ahead, key), ahead, late.anti_join(repeated, key))


def impressions_of_days(impressions: ibis.Table, *, days: Days) -> ibis.Table:
    """The impressions shown on those days, each as it first arrived.

    `impressions` must hold the day before as well: what it logged with a clock ahead is its own.
    """
    shown = first_impressions(impressions)
    return shown.filter(_.impression_day.between(days.first, days.last))


def link_engagements(
    engagements: ibis.Table, impressions: ibis.Table, *, most_days: int | None = None
) -> ibis.Table:
    """Engagements with the impression acted on: those that name it, and those that can be linked.

    An engagement that names no impression is linked to the newest impression of the same user and
    Pin shown up to `LINK_WINDOW_HOURS` before it (then the greatest impression id). The result has
    the engagement's columns and, of the impression, `advertiser_id`, `impression_day` and
    `impression_dt`. Engagements whose impression is not in `impressions` are left out, and so are
    those whose user or Pin contradict it, and those that arrived more than `most_days` away from
    the impression's day: a range of days reads further than one day does, and both must take the
    same rows.
    """
    shown = impressions.select(
        "impression_id",
        "user_id",
        "pin_id",
        "advertiser_id",
        "impression_day",
        "impression_ts",
        impression_dt=_.dt,
    )
    named = engagements.filter(_.impression_id.notnull()).inner_join(
        shown.drop("impression_ts"), ["impression_id", "user_id", "pin_id"]
    )
    anonymous = engagements.filter(_.impression_id.isnull()).drop("impression_id")
    newest = ibis.window(
        group_by=["dt", "engagement_id"],
        order_by=[ibis.desc("impression_ts"), ibis.desc("impression_id"), "impression_dt"],
    )
    linked = (
        anonymous.inner_join(shown, ["user_id", "pin_id"])
        .filter(
            _.impression_ts <= _.engagement_ts,
            _.engagement_ts <= _.impression_ts + ibis.interval(hours=LINK_WINDOW_HOURS),
            _.impression_dt <= _.dt,
        )
        .mutate(link_rank=ibis.row_number().over(newest))
        .filter(_.link_rank == 0)
    )
    # An engagement, or its impression, may have been delivered on two days: the first counts.
    first = ibis.window(
        group_by=["engagement_id", "engagement_ts"], order_by=["dt", "impression_dt"]
    )
    both = named.union(linked.select(named.columns))
    if most_days is not None:
        both = both.filter(_.dt.delta(_.impression_day, unit="day").abs() <= most_days)
    ranked = both.mutate(rank=ibis.row_number().over(first))
    return ranked.filter(_.rank == 0).drop("rank")


def drawing_of(conversion_id: ibis.Value, impression_id: ibis.Value) -> ibis.Value:
    """What puts touches of one moment in order: a draw by conversion, the same on every engine.

    The MD5 of "conversion:impression", the smallest first. By the ids alone the same Pin would win
    all the ties of a page, whoever bought.
    """
    text = conversion_id.cast("string") + ":" + impression_id.cast("string")
    return text.hexdigest("md5")


def find_touches(impressions: ibis.Table, engagements: ibis.Table) -> ibis.Table:
    """One row per touch: impressions as views, linked engagements as clicks or engagements.

    Columns: touch_dt (arrival day), touch_type, user_id, pin_id, advertiser_id, impression_id,
    impression_day, touch_ts.
    """
    views = impressions.select(
        "user_id",
        "pin_id",
        "advertiser_id",
        "impression_id",
        "impression_day",
        touch_dt=_.dt,
        touch_type=ibis.literal("view"),
        touch_ts=_.impression_ts,
    )
    linked = link_engagements(engagements, impressions)
    actions = linked.select(
        "user_id",
        "pin_id",
        "advertiser_id",
        "impression_id",
        "impression_day",
        # Known once both its own log and its impression's have arrived.
        touch_dt=ibis.greatest(_.dt, _.impression_dt),
        touch_type=ibis.ifelse(_.engagement_type == "click", "click", "engagement"),
        touch_ts=_.engagement_ts,
    )
    return views.union(actions.select(views.columns))
