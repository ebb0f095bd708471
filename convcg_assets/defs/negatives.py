"""Hard negatives: what a person was shown and left alone."""

import dagster as dg

from convcg_assets.defs.metadata import count_by, describe_table
from convcg_assets.defs.resources import Warehouse
from convcg_assets.partitions import (
    arrival_window,
    daily_partitions,
    engagement_days,
    run_days,
)
from convcg_assets.transforms.negatives import sample_negatives


@dg.asset(
    deps=[
        dg.AssetDep("impressions", partition_mapping=arrival_window),
        dg.AssetDep("engagements", partition_mapping=arrival_window),
    ],
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="negatives",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-ml"],
)
def hard_negatives(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """One unengaged impression by impression day, sampled by a hash of its id.

    The same rows on every rebuild and on every engine, and at most a few per user and day.
    """
    days, settings = run_days(context), warehouse.settings.negatives
    arrivals = days.widen(before=1, after=engagement_days)
    with warehouse.connect() as con:
        rows = sample_negatives(
            warehouse.read("impressions", arrivals, con=con),
            warehouse.read("engagements", arrivals, con=con),
            settings=settings,
            engagement_days=engagement_days,
            days=days,
        )
        warehouse.lake.replace("hard_negatives", days, rows, con=con)
        stored = warehouse.read("hard_negatives", days, con=con)
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "hard_negatives", days, con=con),
                "sample_rate": settings.sample_rate,
                "by_surface": count_by(stored, "surface", con=con),
                "engaged_later": con.to_pyarrow(stored.engaged_dt.count()).as_py(),
            }
        )
