"""Features: what was known about a user or a Pin before day T."""

import dagster as dg
import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.builders import write
from convcg_assets.defs.metadata import describe_table, markdown_table, window_metadata
from convcg_assets.defs.partitions import daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse


@dg.asset(
    deps=upstream("user_features"),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="features",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-ml"],
)
def user_features(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """One user as known before day T: profile, counters of 7 and 30 days, newest actions."""
    return _write(context, warehouse, "user_features")


@dg.asset(
    deps=upstream("pin_features"),
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
    return _write(context, warehouse, "pin_features")


def _write(
    context: dg.AssetExecutionContext, warehouse: Warehouse, table: str
) -> dg.MaterializeResult:
    days = run_days(context)
    with warehouse.build(table, days, run_id=context.run_id) as build:
        write(build)
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, table, days, con=build.con),
                **window_metadata(
                    warehouse, "impressions", build.recipe.input("impressions").days(days)
                ),
                "summary": _summarise(warehouse.read(table, days, con=build.con), con=build.con),
            }
        )


def _summarise(stored: ibis.Table, *, con: Backend) -> dg.MarkdownMetadataValue:
    """Mean and share of nulls of every number."""
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
    return dg.MetadataValue.md(markdown_table(summary))
