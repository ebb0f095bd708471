"""Point-in-time features: what was known about a user or a Pin before day T.

Everything for T comes from rows that arrived before T, so that a Pin's counters never contain the
click that is being predicted. How features are encoded for the towers belongs to `convcg_model`.
"""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.exact import (
    AMOUNT_DECIMALS,
    SHARE_DECIMALS,
    double,
    exact_sum,
    to_units,
)
from convcg_assets.tables.settings import FeatureSettings
from convcg_assets.tables.touches import first_arrivals, first_impressions

LONG_DAYS = 30
SHORT_DAYS = 7
SECONDS_PER_DAY = 86_400


def describe_users(
    impressions: ibis.Table,
    engagements: ibis.Table,
    attributed: ibis.Table,
    users: ibis.Table,
    *,
    settings: FeatureSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `user_features` for the days T in `days`.

    All four tables must hold the `LONG_DAYS` before, events also the days before those on which a
    late event can have been delivered first. A user has a row where the newest snapshot before T
    names him or where an event of his arrived in those days.
    """
    impressions = first_impressions(impressions)
    engagements = first_arrivals(engagements, key="engagement_id", ts="engagement_ts")
    # One conversion may have several credited touches; here it is one action, on the Pin that it
    # names, else on the one that earned most.
    most_credited = ibis.window(
        group_by=["dt", "conversion_id"],
        order_by=[ibis.desc("credit"), "touch_ts", "impression_id", "touch_type"],
    )
    actions = (
        attributed.filter(_.status != "duplicate", _.user_id.notnull())
        .mutate(rank=ibis.row_number().over(most_credited))
        .filter(_.rank == 0)
        .select(
            "dt",
            "conversion_id",
            "user_id",
            "value",
            pin_id=ibis.coalesce(_.pin_id, _.touch_pin_id),
            action=_.event_name,
            action_ts=_.event_ts,
        )
    )
    daily = _user_day_counts(impressions, engagements, actions)
    counters = (
        _spread(daily, days=days)
        .group_by("dt", "user_id")
        .agg(
            **_windows("num_impressions", _.num_impressions),
            **_windows("num_clicks", _.num_clicks),
            num_repins_30d=_.num_repins.sum(),
            num_conversions_30d=_.num_conversions.sum(),
            conversion_value_30d=exact_sum(_.value, decimals=AMOUNT_DECIMALS),
            mean_click_duration_s=exact_sum(_.duration_s, decimals=AMOUNT_DECIMALS)
            / _.num_durations.sum().nullif(0),
            days_since_action=_.age.min(where=_.num_clicks + _.num_repins + _.num_conversions > 0),
        )
    )
    recent = _recent_actions(engagements, actions, settings=settings, days=days)
    snapshot = newest_snapshot(users, days=days)
    rows = snapshot.outer_join(counters, ["dt", "user_id"])
    rows = rows.mutate(
        dt=ibis.coalesce(rows.dt, rows.dt_right),
        user_id=ibis.coalesce(rows.user_id, rows.user_id_right),
    ).drop("dt_right", "user_id_right")
    rows = rows.left_join(recent, ["dt", "user_id"]).drop("dt_right", "user_id_right")
    counted = [c for c in counters.columns if c.startswith("num_") or c == "conversion_value_30d"]
    return rows.mutate(
        account_age_days=_age_days(rows.dt, rows.created_ts),
        **{c: rows[c].fill_null(0) for c in counted},
    )


def describe_pins(
    impressions: ibis.Table,
    engagements: ibis.Table,
    attributed: ibis.Table,
    pins: ibis.Table,
    *,
    has_catalogue: bool,
    settings: FeatureSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `pin_features` for the days T in `days`: one per active Pin.

    With a catalogue the active Pins are those of its newest snapshot before T; without one
    (`pins` then holds the Pins seen each day) those seen in the `active_days` before T. All four
    tables must hold the longer of `LONG_DAYS` and `active_days` before, events also the days before
    those on which a late event can have been delivered first.
    """
    impressions = first_impressions(impressions)
    engagements = first_arrivals(engagements, key="engagement_id", ts="engagement_ts")
    if has_catalogue:
        unborn = pins.filter(_.created_ts.isnull()).select("dt", "pin_id")
        sights = unborn.rename(seen_dt="dt").inner_join(
            days.lookback("seen_dt", num_days=LONG_DAYS), "seen_dt"
        )
        first_seen = sights.group_by(dt=_.day, pin_id=_.pin_id).agg(first_seen=_.seen_dt.min())
        active = newest_snapshot(pins, days=days).left_join(first_seen, ["dt", "pin_id"])
        active = active.drop("dt_right", "pin_id_right")
    else:
        active = _pins_seen(pins, days=days, active_days=settings.active_days)
    counters = (
        _spread(_pin_day_counts(impressions, engagements, attributed), days=days)
        .group_by("dt", "pin_id")
        .agg(
            **_windows("num_impressions", _.num_impressions),
            **_windows("num_clicks", _.num_clicks),
            num_repins_30d=_.num_repins.sum(),
            num_conversions_30d=exact_sum(_.credit, decimals=SHARE_DECIMALS),
            conversion_value_30d=exact_sum(_.value, decimals=AMOUNT_DECIMALS),
            mean_click_duration_s=exact_sum(_.duration_s, decimals=AMOUNT_DECIMALS)
            / _.num_durations.sum().nullif(0),
        )
    )
    rows = active.left_join(counters, ["dt", "pin_id"]).drop("dt_right", "pin_id_right")
    counted = [c for c in counters.columns if c.startswith("num_") or c == "conversion_value_30d"]
    rows = rows.mutate(
        age_days=_age_days(
            rows.dt, ibis.coalesce(rows.created_ts, rows.first_seen.cast("timestamp"))
        ),
        **{c: rows[c].fill_null(0) for c in counted},
    )
    advertiser = ibis.window(group_by=["dt", "advertiser_id"])
    return rows.mutate(
        **{
            f"advertiser_{c}": rows.advertiser_id.notnull().ifelse(
                to_units(rows[c], decimals=SHARE_DECIMALS // 2).sum().over(advertiser)
                / double(10 ** (SHARE_DECIMALS // 2)),
                ibis.null(),
            )
            for c in ("num_impressions_30d", "num_clicks_30d", "num_conversions_30d")
        }
    )


def newest_snapshot(snapshots: ibis.Table, *, days: Days) -> ibis.Table:
    """For each T in `days` the newest snapshot of the `LONG_DAYS` before T, with dt = T."""
    held = snapshots.select(snapshot_dt=_.dt).distinct()
    spread = held.inner_join(days.lookback("snapshot_dt", num_days=LONG_DAYS), "snapshot_dt")
    newest = spread.group_by("day").agg(snapshot_dt=_.snapshot_dt.max())
    rows = snapshots.rename(snapshot_dt="dt").inner_join(newest, "snapshot_dt")
    return rows.drop("snapshot_dt").rename(dt="day")


def _pins_seen(pins: ibis.Table, *, days: Days, active_days: int) -> ibis.Table:
    seen = pins.rename(seen_dt="dt")
    spread = seen.inner_join(days.lookback("seen_dt", num_days=active_days), "seen_dt")
    active = spread.group_by("day", "pin_id").agg(
        advertiser_id=_.advertiser_id.max(), first_seen=_.seen_dt.min()
    )
    unknown = {c: ibis.null(pins.schema()[c]) for c in ("category", "price", "created_ts", "title")}
    return active.rename(dt="day").mutate(**unknown, content=ibis.null(pins.schema()["content"]))


def _user_day_counts(
    impressions: ibis.Table, engagements: ibis.Table, actions: ibis.Table
) -> ibis.Table:
    shown = impressions.group_by("dt", "user_id").agg(num_impressions=_.count())
    engaged = _count_engagements(engagements, key="user_id")
    converted = actions.group_by("dt", "user_id").agg(
        num_conversions=_.count(),
        value=exact_sum(_.value, decimals=AMOUNT_DECIMALS).fill_null(double(0)),
    )
    return _stack([shown, engaged, converted])


def _pin_day_counts(
    impressions: ibis.Table, engagements: ibis.Table, attributed: ibis.Table
) -> ibis.Table:
    shown = impressions.group_by("dt", "pin_id").agg(num_impressions=_.count())
    engaged = _count_engagements(engagements, key="pin_id")
    credited = (
        attributed.filter(_.status == "attributed")
        .group_by("dt", pin_id=_.touch_pin_id)
        .agg(
            credit=exact_sum(_.credit, decimals=SHARE_DECIMALS),
            value=exact_sum(_.value * _.credit, decimals=AMOUNT_DECIMALS).fill_null(double(0)),
        )
    )
    return _stack([shown, engaged, credited])


def _count_engagements(engagements: ibis.Table, *, key: str) -> ibis.Table:
    is_click = _.engagement_type == "click"
    return engagements.group_by("dt", key).agg(
        num_clicks=_.count(where=is_click),
        num_repins=_.count(where=~is_click),
        duration_s=exact_sum(_.duration_s, decimals=AMOUNT_DECIMALS, where=is_click).fill_null(
            double(0)
        ),
        num_durations=_.duration_s.count(where=is_click),
    )


def _stack(parts: list[ibis.Table]) -> ibis.Table:
    """Daily counts of several kinds as one table; a kind's columns are 0 in the others' rows."""
    types = {c: t for part in parts for c, t in part.schema().items()}
    padded = [
        part.select(
            (part[c] if c in part.columns else ibis.literal(0).cast(t)).name(c)
            for c, t in types.items()
        )
        for part in parts
    ]
    return ibis.union(*padded)


def _spread(daily: ibis.Table, *, days: Days) -> ibis.Table:
    """Each day's counts once for every T whose `LONG_DAYS` hold it; `age` is T - arrival day."""
    arrived = daily.rename(arrival_dt="dt")
    spread = arrived.inner_join(days.lookback("arrival_dt", num_days=LONG_DAYS), "arrival_dt")
    return spread.rename(dt="day").mutate(age=_.dt.delta(_.arrival_dt, unit="day"))


def _windows(name: str, column: ibis.Deferred) -> dict[str, ibis.Deferred]:
    return {
        f"{name}_{SHORT_DAYS}d": column.sum(where=_.age <= SHORT_DAYS).fill_null(0),
        f"{name}_{LONG_DAYS}d": column.sum(),
    }


def _recent_actions(
    engagements: ibis.Table, actions: ibis.Table, *, settings: FeatureSettings, days: Days
) -> ibis.Table:
    """The newest actions on known Pins before each T, newest first: three lists of one length."""
    engaged = engagements.select(
        "dt", "user_id", "pin_id", action=_.engagement_type, action_ts=_.engagement_ts
    )
    converted = actions.filter(_.pin_id.notnull())
    every = engaged.union(converted.select(engaged.columns)).rename(arrival_dt="dt")
    # A user's newest actions of one arrival day are all that any T can take from that day.
    newest_first = [ibis.desc("action_ts"), "pin_id", "action"]
    within_day = ibis.window(group_by=["arrival_dt", "user_id"], order_by=newest_first)
    every = every.mutate(rank=ibis.row_number().over(within_day)).filter(
        _.rank < settings.max_recent_actions
    )
    spread = every.inner_join(days.lookback("arrival_dt", num_days=LONG_DAYS), "arrival_dt")
    before = ibis.window(group_by=["day", "user_id"], order_by=newest_first)
    ranked = (
        spread.mutate(rank=ibis.row_number().over(before))
        .filter(_.rank < settings.max_recent_actions)
        .mutate(action_age_days=_age_days(_.day, _.action_ts))
    )
    # Lists sorted by their first field: an ordered collect is not portable.
    entry = ibis.struct(
        {
            "rank": ranked.rank,
            "pin": ranked.pin_id,
            "act": ranked.action,
            "age": ranked.action_age_days,
        }
    )
    listed = ranked.group_by(dt=_.day, user_id=_.user_id).agg(entries=entry.collect())
    entries = listed.entries.sort()
    return listed.select(
        "dt",
        "user_id",
        recent_pin_ids=entries.map(lambda entry: entry["pin"]),
        recent_actions=entries.map(lambda entry: entry["act"]),
        recent_age_days=entries.map(lambda entry: entry["age"]),
    )


def _age_days(day: ibis.Value, ts: ibis.Value) -> ibis.Value:
    """Days from a time to the midnight at which `day` begins."""
    return (day.cast("timestamp").epoch_seconds() - ts.epoch_seconds()) / double(SECONDS_PER_DAY)
