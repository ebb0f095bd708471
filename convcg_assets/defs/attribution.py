"""Attribution: each conversion credited to the touches before it."""

import dagster as dg
from ibis import _

from convcg_assets.builds.builders import write
from convcg_assets.defs.metadata import count_by, describe_table, window_metadata
from convcg_assets.defs.partitions import daily_partitions, run_days, upstream, windows
from convcg_assets.defs.resources import Warehouse


@dg.asset(
    deps=upstream("attributed_conversions"),
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
    days = run_days(context)
    with warehouse.build("attributed_conversions", days, run_id=context.run_id) as build:
        write(build)
        stored = warehouse.read("attributed_conversions", days, con=build.con)
        attributed = stored.filter(_.status == "attributed")
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "attributed_conversions", days, con=build.con),
                **window_metadata(warehouse, "impressions", days.widen(before=windows.horizon)),
                "model": warehouse.settings.attribution.model,
                "by_status": count_by(stored, "status", con=build.con),
                "by_touch": count_by(attributed, "touch_type", "match_level", con=build.con),
                "by_event": count_by(stored, "event_name", con=build.con),
            }
        )
