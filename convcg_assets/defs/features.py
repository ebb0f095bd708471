"""Features: what was known about a user or a Pin before day T."""

import datetime as dt

import dagster as dg
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.defs.metadata import Metadata, describe_table, markdown_table, window_metadata
from convcg_assets.defs.resources import Warehouse
from convcg_assets.partitions import daily_partitions, history_days, history_window, run_days
from convcg_assets.transforms.features import describe_pins, describe_users

EVENTS = ("impressions", "engagements", "attributed_conversions")


def _history(days: Days) -> Days:
    """The days that features of `days` look back on: those before the last one."""
    return Days(days.first - dt.timedelta(days=history_days), days.last - dt.timedelta(days=1))


def _deps(snapshot: str) -> list[dg.AssetDep]:
    return [dg.AssetDep(table, partition_mapping=history_window) for table in (*EVENTS, snapshot)]


@dg.asset(
    deps=_deps("users"),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="features",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-ml"],
)
def user_features(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """One user as known before day T: profile, counters of 7 and 30 days, newest actions."""
    days = run_days(context)
    with warehouse.connect() as con:
        tables = [warehouse.read(t, _history(days), con=con) for t in (*EVENTS, "users")]
        rows = describe_users(*tables, settings=warehouse.settings.features, days=days)
        warehouse.lake.replace("user_features", days, rows, con=con)
        return dg.MaterializeResult(
            metadata=_describe(context, warehouse, "user_features", days, con=con)
        )


@dg.asset(
    deps=_deps("pins"),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="features",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-ml"],
)
def pin_features(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """One active Pin as known before day T: catalogue, performance of the Pin and its advertiser.

    Counters hold what arrived before T, so never the very click that is being predicted.
    """
    days = run_days(context)
    with warehouse.connect() as con:
        tables = [warehouse.read(t, _history(days), con=con) for t in (*EVENTS, "pins")]
        rows = describe_pins(
            *tables,
            has_catalogue=warehouse.source.stream("pins") is not None,
            settings=warehouse.settings.features,
            days=days,
        )
        warehouse.lake.replace("pin_features", days, rows, con=con)
        return dg.MaterializeResult(
            metadata=_describe(context, warehouse, "pin_features", days, con=con)
        )


def _describe(
    context: dg.AssetExecutionContext, warehouse: Warehouse, table: str, days: Days, *, con: Backend
) -> Metadata:
    stored = warehouse.read(table, days, con=con)
    numbers = [c for c, t in stored.schema().items() if t.is_numeric() and not c.endswith("_id")]
    figures = con.to_pyarrow(
        stored.agg(
            **{f"{c}:mean": stored[c].mean().round(4) for c in numbers},
            **{f"{c}:null": stored[c].isnull().mean().round(4) for c in numbers},
        )
    ).to_pylist()[0]
    summary = [
        {"feature": c, "mean": figures[f"{c}:mean"], "share null": figures[f"{c}:null"]}
        for c in numbers
    ]
    return {
        **describe_table(context, warehouse, table, days, con=con),
        **window_metadata(warehouse, "impressions", _history(days)),
        "summary": dg.MetadataValue.md(markdown_table(summary)),
    }
