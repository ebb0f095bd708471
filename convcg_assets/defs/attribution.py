"""Attribution: each conversion credited to the touches before it."""

import dagster as dg
from ibis import _

from convcg_assets.defs.metadata import count_by, describe_table, window_metadata
from convcg_assets.defs.resources import Warehouse
from convcg_assets.partitions import (
    daily_partitions,
    dedup_window,
    horizon_days,
    run_days,
    touch_window,
)
from convcg_assets.transforms.attribution import attribute


@dg.asset(
    deps=[
        dg.AssetDep("impressions", partition_mapping=touch_window),
        dg.AssetDep("engagements", partition_mapping=touch_window),
        dg.AssetDep("conversions", partition_mapping=dedup_window),
    ],
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="attribution",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-measurement"],
)
def attributed_conversions(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> dg.MaterializeResult:
    """One conversion's credit to one touch, by the conversion's arrival day.

    Conversions without a user, without a touch, or that repeat one already received stay visible,
    with their status. Credits of one conversion sum to 1.
    """
    days, settings = run_days(context), warehouse.settings.attribution
    touched = days.widen(before=horizon_days)
    with warehouse.connect() as con:
        reported = days.widen(before=settings.dedup_lookback_days)
        rows = attribute(
            warehouse.read("conversions", reported, con=con),
            warehouse.read("impressions", touched, con=con),
            warehouse.read("engagements", touched, con=con),
            settings=settings,
            days=days,
        )
        warehouse.lake.replace("attributed_conversions", days, rows, con=con)
        stored = warehouse.read("attributed_conversions", days, con=con)
        attributed = stored.filter(_.status == "attributed")
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "attributed_conversions", days, con=con),
                **window_metadata(warehouse, "impressions", touched),
                "model": settings.model,
                "by_status": count_by(stored, "status", con=con),
                "by_touch": count_by(attributed, "touch_type", "match_level", con=con),
                "by_event": count_by(stored, "event_name", con=con),
            }
        )
