"""`user_features`: what was known about a user before day T."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.daily_actions import NEWEST_FIRST
from convcg_assets.tables.daily_counts import (
    LONG_DAYS,
    age_days,
    known_before,
    newest_snapshot,
    spread,
    stack,
    windows,
)
from convcg_assets.tables.exact import AMOUNT_DECIMALS, double, exact_sum
from convcg_assets.tables.finite import numbers_are_finite
from convcg_assets.tables.settings import FeatureSettings
from convcg_assets.tables.snapshot_age import snapshot_is_recent
from convcg_assets.tables.standing import holds_on, read_adjusted, span_of, with_spans
from convcg_assets.tables.table import Check, Inputs, Table
from convcg_assets.tables.touches import drawing_of
from convcg_assets.tables.user_persons import by_ids, by_person, persons_input, read_persons

COLUMNS: Columns = {
    "dt": Column("date", "day T: everything here arrived before it"),
    "user_id": Column("id:user_id", "one user", required=True),
    "country": Column("string", "from the newest users snapshot before T"),
    "age_bucket": Column("string", "from the newest users snapshot before T"),
    "gender": Column("string", "from the newest users snapshot before T"),
    "account_age_days": Column("float64", "days from account creation to T"),
    "num_impressions_7d": Column(
        "int64",
        "impressions that arrived in the 7 days before T",
        required=True,
    ),
    "num_impressions_30d": Column(
        "int64",
        "impressions that arrived in the 30 days before T",
        required=True,
    ),
    "num_clicks_7d": Column("int64", "clicks, 7 days", required=True),
    "num_clicks_30d": Column("int64", "clicks, 30 days", required=True),
    "num_repins_30d": Column("int64", "repins and close-ups, 30 days", required=True),
    "num_conversions_30d": Column(
        "int64",
        "conversions (duplicates left out), 30 days",
        required=True,
    ),
    "conversion_value_30d": Column("float64", "their value; null values count 0", required=True),
    "mean_click_duration_s": Column(
        "float64",
        "mean duration of the 30 days' clicks; null without any",
    ),
    "days_since_action": Column(
        "int64",
        "days from the newest engagement or conversion to T; null without",
    ),
    "recent_pin_ids": Column(
        "array<id:pin_id>",
        "Pins of the newest actions before T, newest first",
    ),
    "recent_actions": Column(
        "array<string>",
        "what each was: click, repin, close_up, checkout, ...",
    ),
    "recent_age_days": Column("array<float64>", "how long before T each was, in days"),
}


def rows(inputs: Inputs) -> ibis.Table:
    """The users of the days T."""
    return describe_users(
        inputs["daily_user_counts"],
        inputs["daily_actions"],
        inputs["attributed_conversions"],
        inputs["users"],
        read_adjusted(inputs),
        read_persons(inputs),
        settings=inputs.settings.features,
        days=inputs.days,
    )


def describe_users(
    daily: ibis.Table,
    engaged: ibis.Table,
    attributed: ibis.Table,
    users: ibis.Table,
    adjusted: ibis.Table | None = None,
    persons: ibis.Table | None = None,
    *,
    settings: FeatureSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `user_features` for the days T in `days`.

    `daily` holds the rows of `daily_user_counts`, `engaged` those of `daily_actions`. All tables
    must hold the `LONG_DAYS` before, `users` also the newest snapshot before those. A user
    has a row where the newest snapshot before T names him or where an event of his arrived in those
    days. With `persons`, of the days T, counters and actions are those of all ids of a person, and
    every one of these has a row; the profile is each id's own.
    """
    # One conversion may have several credited touches; here it is one action, on the Pin that it
    # names, else on the one that earned most.
    standing = with_spans(attributed, adjusted)
    span = span_of(standing)
    most_credited = ibis.window(
        group_by=["dt", "conversion_id", *span],
        order_by=[ibis.desc("credit"), "touch_ts", "drawing", "impression_id", "touch_type"],
    )
    actions = (
        standing.filter(_.status != "duplicate", _.user_id.notnull())
        .mutate(drawing=drawing_of(_.conversion_id, _.impression_id))
        .mutate(rank=ibis.row_number().over(most_credited))
        .filter(_.rank == 0)
        .select(
            "dt",
            "conversion_id",
            "user_id",
            "value",
            *span,
            pin_id=ibis.coalesce(_.pin_id, _.touch_pin_id),
            action=_.event_name,
            action_ts=_.event_ts,
        )
    )
    counters = (
        by_person(spread(stack([daily, _count_actions(actions)]), days=days), persons, day="dt")
        .group_by("dt", "user_id")
        .agg(
            **windows("num_impressions", _.num_impressions),
            **windows("num_clicks", _.num_clicks),
            num_repins_30d=_.num_repins.sum(),
            num_conversions_30d=_.num_conversions.sum(),
            conversion_value_30d=exact_sum(_.value, decimals=AMOUNT_DECIMALS),
            mean_click_duration_s=exact_sum(_.duration_s, decimals=AMOUNT_DECIMALS)
            / _.num_durations.sum().nullif(0),
            days_since_action=_.age.min(where=_.num_clicks + _.num_repins + _.num_conversions > 0),
        )
    )
    counters = by_ids(counters, persons)
    recent = _recent_actions(engaged, actions, persons, settings=settings, days=days)
    snapshot = newest_snapshot(users, days=days)
    rows = snapshot.outer_join(counters, ["dt", "user_id"])
    rows = rows.mutate(
        dt=ibis.coalesce(rows.dt, rows.dt_right),
        user_id=ibis.coalesce(rows.user_id, rows.user_id_right),
    ).drop("dt_right", "user_id_right")
    rows = rows.left_join(recent, ["dt", "user_id"]).drop("dt_right", "user_id_right")
    counted = [c for c in counters.columns if c.startswith("num_") or c == "conversion_value_30d"]
    return rows.mutate(
        account_age_days=age_days(rows.dt, rows.created_ts),
        **{c: rows[c].fill_null(0) for c in counted},
    )


def _count_actions(actions: ibis.Table) -> ibis.Table:
    """Daily conversions of each user."""
    return actions.group_by("dt", "user_id", *span_of(actions)).agg(
        num_conversions=_.count(),
        value=exact_sum(_.value, decimals=AMOUNT_DECIMALS).fill_null(double(0)),
    )


def _recent_actions(
    engaged: ibis.Table,
    actions: ibis.Table,
    persons: ibis.Table | None,
    *,
    settings: FeatureSettings,
    days: Days,
) -> ibis.Table:
    """The newest actions on known Pins before each T, newest first: three lists of one length."""
    span = span_of(actions)
    columns = ("dt", "user_id", "pin_id", "action", "action_ts", *span)
    engaged = engaged.mutate(**{name: ibis.null("date") for name in span}).select(*columns)
    # A user's newest actions of one arrival day are all that any T can take from that day, if all
    # of them hold as long.
    within_day = ibis.window(group_by=["dt", "user_id", *span], order_by=NEWEST_FIRST)
    converted = actions.filter(_.pin_id.notnull()).mutate(rank=ibis.row_number().over(within_day))
    converted = converted.filter(_.rank < settings.max_recent_actions).select(*columns)
    every = engaged.union(converted).rename(arrival_dt="dt")
    pairs = every.inner_join(days.lookback("arrival_dt", num_days=LONG_DAYS), "arrival_dt")
    pairs = pairs.filter(*known) if (known := holds_on(pairs, pairs.day)) else pairs
    pairs = by_person(pairs, persons, day="day")
    before = ibis.window(group_by=["day", "user_id"], order_by=NEWEST_FIRST)
    ranked = (
        pairs.mutate(rank=ibis.row_number().over(before))
        .filter(_.rank < settings.max_recent_actions)
        .mutate(action_age_days=age_days(_.day, _.action_ts))
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
    listed = by_ids(listed, persons)
    entries = listed.entries.sort()
    return listed.select(
        "dt",
        "user_id",
        recent_pin_ids=entries.map(lambda entry: entry["pin"]),
        recent_actions=entries.map(lambda entry: entry["act"]),
        recent_age_days=entries.map(lambda entry: entry["age"]),
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


USER_FEATURES = Table(
    name="user_features",
    group="features",
    owner="team:ads-ml",
    description="One user as known before day T: profile, counters, newest actions.",
    columns=COLUMNS,
    key=("dt", "user_id"),
    domain="knowledge",
    inputs=lambda scope: (
        *known_before(
            "daily_user_counts", "daily_actions", "attributed_conversions", "users", scope=scope
        ),
        *persons_input(scope),
    ),
    settings=lambda scope: (scope.settings.features,),
    version=3,
    rows=rows,
    checks=(
        Check(
            "histories_of_the_past",
            "The lists of a user's actions have one length and hold nothing of the future.",
            error=lambda i: broken_histories(
                i.own, tolerance_minutes=i.scope.source.tolerance_minutes
            ),
        ),
        numbers_are_finite("dt", "user_id"),
        snapshot_is_recent("users"),
    ),
)
