"""Training examples: what a model of day T may learn from, and what it is judged on."""

import dagster as dg

from convcg_assets.builds.builders import write
from convcg_assets.defs.metadata import count_by, describe_table, window_metadata
from convcg_assets.defs.partitions import daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse


@dg.asset(
    deps=upstream("training_examples"),
    partitions_def=daily_partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="model",
    kinds={"deltalake", "ibis"},
    owners=["team:ads-ml"],
)
def training_examples(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> dg.MaterializeResult:
    """One positive or hard negative as known on day T, with the features of its own day.

    The last days before T are the holdout: the model is trained on what had arrived before them.
    """
    days = run_days(context)
    with warehouse.build("training_examples", days, run_id=context.run_id) as build:
        write(build)
        con = build.con
        stored = warehouse.read("training_examples", days, con=con)
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "training_examples", days, con=con),
                **window_metadata(
                    warehouse,
                    "weighted_labels",
                    warehouse.deployment.recipes["training_examples"]
                    .input("weighted_labels")
                    .days(days),
                ),
                "by_task": count_by(stored, "split", "task", "is_negative", con=con),
                "by_surface": count_by(stored, "split", "surface", con=con),
            }
        )
