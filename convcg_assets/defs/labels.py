"""Labels: what each piece of evidence about an impression is worth."""

import dagster as dg
from ibis import _

from convcg_assets.builds.builders import write
from convcg_assets.defs.metadata import count_by, describe_table, markdown_table, window_metadata
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream, windows
from convcg_assets.defs.resources import Warehouse

FACTORS = (
    "event_weight",
    "value_factor",
    "credit",
    "match_factor",
    "duration_factor",
    "weight",
)


@dg.asset(
    deps=upstream("weighted_labels"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=6),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="labels",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-ml"],
)
def weighted_labels(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> dg.MaterializeResult:
    """One positive by impression day: (impression, task, evidence), its weight and every factor.

    A day goes on gaining conversions until the horizon has passed; each row keeps the arrival day
    of its evidence, so that any earlier state of knowledge can be told from it.
    """
    days = run_days(context)
    with warehouse.build("weighted_labels", days, run_id=context.run_id) as build:
        write(build)
        con = build.con
        stored = warehouse.read("weighted_labels", days, con=con)
        means = stored.group_by("task", "evidence").agg(
            rows=_.count(), **{f: _[f].mean().round(4) for f in FACTORS}
        )
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "weighted_labels", days, con=con),
                **window_metadata(
                    warehouse, "attributed_conversions", days.widen(after=windows.horizon)
                ),
                "mean_factors": dg.MetadataValue.md(
                    markdown_table(con.to_pyarrow(means.order_by("task", "evidence")).to_pylist())
                ),
                "by_touch": count_by(
                    stored.filter(_.task == "conversion"), "touch_type", "match_level", con=con
                ),
                "by_surface": count_by(stored, "task", "surface", con=con),
            }
        )
