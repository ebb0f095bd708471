"""Hard negatives: what a person was shown and left alone."""

import dagster as dg

from convcg_assets.builds.builders import write
from convcg_assets.defs.metadata import count_by, describe_table
from convcg_assets.defs.partitions import daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse


@dg.asset(
    deps=upstream("hard_negatives"),
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
    days = run_days(context)
    with warehouse.build("hard_negatives", days, run_id=context.run_id) as build:
        write(build)
        con = build.con
        stored = warehouse.read("hard_negatives", days, con=con)
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "hard_negatives", days, con=con),
                "sample_rate": warehouse.settings.negatives.sample_rate,
                "by_surface": count_by(stored, "surface", con=con),
                "engaged_later": con.to_pyarrow(stored.engaged_dt.count()).as_py(),
            }
        )
