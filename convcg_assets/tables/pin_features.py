"""`pin_features`: what was known about an active Pin before day T."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.daily_counts import (
    LONG_DAYS,
    age_days,
    known_before,
    newest_snapshot,
    spread,
    stack,
    windows,
)
from convcg_assets.tables.exact import (
    AMOUNT_DECIMALS,
    SHARE_DECIMALS,
    double,
    exact_sum,
    to_units,
)
from convcg_assets.tables.finite import numbers_are_finite
from convcg_assets.tables.settings import FeatureSettings
from convcg_assets.tables.snapshot_age import snapshot_is_recent
from convcg_assets.tables.standing import read_adjusted, span_of, with_spans
from convcg_assets.tables.table import Inputs, Scope, Table

COLUMNS: Columns = {
    "dt": Column("date", "day T: everything here arrived before it"),
    "pin_id": Column("id:pin_id", "one active Pin", required=True),
    "advertiser_id": Column("id:advertiser_id", "whose Pin"),
    "category": Column("string", "product category"),
    "price": Column("float64", "price"),
    "title": Column("string", "for people to read"),
    "content": Column("array<float64>", "content embedding"),
    "content_version": Column("string", "which encoder made the content", added=True),
    "age_days": Column("float64", "days from creation (else first sight) to T"),
    "num_impressions_7d": Column(
        "int64",
        "impressions that arrived in the 7 days before T",
        required=True,
    ),
    "num_impressions_30d": Column("int64", "impressions, 30 days", required=True),
    "num_clicks_7d": Column("int64", "clicks, 7 days", required=True),
    "num_clicks_30d": Column("int64", "clicks, 30 days", required=True),
    "num_repins_30d": Column("int64", "repins and close-ups, 30 days", required=True),
    "num_conversions_30d": Column(
        "float64",
        "attributed credit that arrived in the 30 days before T",
        required=True,
    ),
    "conversion_value_30d": Column("float64", "its value", required=True),
    "mean_click_duration_s": Column(
        "float64",
        "mean duration of the 30 days' clicks; null without any",
    ),
    "advertiser_num_impressions_30d": Column(
        "int64",
        "impressions of all the advertiser's Pins, 30 days",
    ),
    "advertiser_num_clicks_30d": Column("int64", "clicks on all the advertiser's Pins, 30 days"),
    "advertiser_num_conversions_30d": Column(
        "float64",
        "credit of all the advertiser's Pins, 30 days",
    ),
}


def rows(inputs: Inputs) -> ibis.Table:
    """The active Pins of the days T."""
    return describe_pins(
        inputs["daily_pin_counts"],
        inputs["attributed_conversions"],
        inputs["pins"],
        read_adjusted(inputs),
        has_catalogue=has_catalogue(inputs.scope),
        settings=inputs.settings.features,
        days=inputs.days,
    )


def has_catalogue(scope: Scope) -> bool:
    """Whether the log has snapshots of its Pins."""
    return scope.source.stream("pins") is not None


def describe_pins(
    daily: ibis.Table,
    attributed: ibis.Table,
    pins: ibis.Table,
    adjusted: ibis.Table | None = None,
    *,
    has_catalogue: bool,
    settings: FeatureSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `pin_features` for the days T in `days`: one per active Pin.

    With a catalogue the active Pins are those of its newest snapshot before T, however old; without
    one (`pins` then holds the Pins seen each day) those seen in the `active_days` before T. `daily`
    holds the rows of `daily_pin_counts`. All tables must hold the longer of `LONG_DAYS` and
    `active_days` before, `pins` also the newest snapshot before those.
    """
    if has_catalogue:
        unborn = pins.filter(_.created_ts.isnull()).select("dt", "pin_id")
        sights = unborn.rename(seen_dt="dt").inner_join(
            days.lookback("seen_dt", num_days=LONG_DAYS), "seen_dt"
        )
        first_seen = sights.group_by(dt=_.day, pin_id=_.pin_id).agg(first_seen=_.seen_dt.min())
        active = newest_snapshot(pins, days=days).left_join(first_seen, ["dt", "pin_id"])
        active = active.drop("dt_right", "pin_id_right").mutate(
            first_seen=ibis.coalesce(_.first_seen, _.snapshot_dt)
        )
    else:
        active = _pins_seen(pins, days=days, active_days=settings.active_days)
    standing = with_spans(attributed, adjusted)
    counters = (
        spread(stack([daily, _count_credit(standing)]), days=days)
        .group_by("dt", "pin_id")
        .agg(
            **windows("num_impressions", _.num_impressions),
            **windows("num_clicks", _.num_clicks),
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
        age_days=age_days(
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


def _pins_seen(pins: ibis.Table, *, days: Days, active_days: int) -> ibis.Table:
    seen = pins.rename(seen_dt="dt")
    pairs = seen.inner_join(days.lookback("seen_dt", num_days=active_days), "seen_dt")
    active = pairs.group_by("day", "pin_id").agg(
        advertiser_id=_.advertiser_id.max(), first_seen=_.seen_dt.min()
    )
    described = ("category", "price", "created_ts", "title", "content", "content_version")
    unknown = {c: ibis.null(pins.schema()[c]) for c in described}
    return active.rename(dt="day").mutate(**unknown)


def _count_credit(standing: ibis.Table) -> ibis.Table:
    """Daily credit of each Pin, and its value."""
    return (
        standing.filter(_.status == "attributed")
        .group_by("dt", *span_of(standing), pin_id=_.touch_pin_id)
        .agg(
            credit=exact_sum(_.credit, decimals=SHARE_DECIMALS),
            value=exact_sum(_.value * _.credit, decimals=AMOUNT_DECIMALS).fill_null(double(0)),
        )
    )


PIN_FEATURES = Table(
    name="pin_features",
    group="features",
    owner="team:ads-ml",
    description="""One active Pin as known before day T: catalogue, performance of the Pin and its
advertiser.

Counters hold what arrived before T, so never the very click that is being predicted.""",
    columns=COLUMNS,
    key=("dt", "pin_id"),
    domain="knowledge",
    inputs=lambda scope: known_before(
        "daily_pin_counts", "attributed_conversions", "pins", scope=scope
    ),
    settings=lambda scope: (scope.settings.features, has_catalogue(scope)),
    version=3,
    rows=rows,
    checks=(numbers_are_finite("dt", "pin_id"), snapshot_is_recent("pins")),
)
