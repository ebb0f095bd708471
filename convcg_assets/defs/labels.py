"""Labels: what each piece of evidence about an impression is worth."""

import dagster as dg
from ibis import _

from convcg_assets.defs.metadata import count_by, describe_table, markdown_table, window_metadata
from convcg_assets.defs.resources import Warehouse
from convcg_assets.partitions import (
    arrival_window,
    daily_partitions,
    engagement_days,
    evidence_window,
    horizon_days,
    run_days,
)
from convcg_assets.transforms.labels import weigh_labels

FACTORS = (
    "event_weight",
    "value_factor",
    "credit",
    "match_factor",
    "duration_factor",
    "weight",
)


@dg.asset(
    deps=[
        dg.AssetDep("attributed_conversions", partition_mapping=evidence_window),
        dg.AssetDep("engagements", partition_mapping=arrival_window),
        dg.AssetDep("impressions", partition_mapping=arrival_window),
    ],
    partitions_def=daily_partitions,
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
    evidence = days.widen(after=horizon_days)
    arrivals = days.widen(before=1, after=engagement_days)
    with warehouse.connect() as con:
        rows = weigh_labels(
            warehouse.read("attributed_conversions", evidence, con=con),
            warehouse.read("engagements", arrivals, con=con),
            warehouse.read("impressions", arrivals, con=con),
            settings=warehouse.settings.labels,
            engagement_days=engagement_days,
            days=days,
        )
        warehouse.lake.replace("weighted_labels", days, rows, con=con)
        stored = warehouse.read("weighted_labels", days, con=con)
        means = stored.group_by("task", "evidence").agg(
            rows=_.count(), **{f: _[f].mean().round(4) for f in FACTORS}
        )
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "weighted_labels", days, con=con),
                **window_metadata(warehouse, "attributed_conversions", evidence),
                "mean_factors": dg.MetadataValue.md(
                    markdown_table(con.to_pyarrow(means.order_by("task", "evidence")).to_pylist())
                ),
                "by_touch": count_by(
                    stored.filter(_.task == "conversion"), "touch_type", "match_level", con=con
                ),
                "by_surface": count_by(stored, "task", "surface", con=con),
            }
        )
