"""Training examples: what a model of day T may learn from, and what it is judged on."""

import datetime as dt

import dagster as dg

from convcg_assets.days import Days
from convcg_assets.defs.metadata import count_by, describe_table, window_metadata
from convcg_assets.defs.resources import Warehouse
from convcg_assets.partitions import (
    daily_partitions,
    example_days,
    example_window,
    run_days,
    seen_window,
)
from convcg_assets.transforms.examples import SEEN_DAYS, build_examples


@dg.asset(
    deps=[
        dg.AssetDep("weighted_labels", partition_mapping=example_window),
        dg.AssetDep("hard_negatives", partition_mapping=example_window),
        dg.AssetDep("user_features", partition_mapping=example_window),
        dg.AssetDep("pin_features", partition_mapping=example_window),
        dg.AssetDep("impressions", partition_mapping=seen_window),
    ],
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
    days, settings = run_days(context), warehouse.settings.examples
    yesterday = days.last - dt.timedelta(days=1)
    read = Days(days.first - dt.timedelta(days=example_days), yesterday)
    with warehouse.connect() as con:
        rows = build_examples(
            warehouse.read("weighted_labels", read, con=con),
            warehouse.read("hard_negatives", read, con=con),
            warehouse.read("user_features", read, con=con),
            warehouse.read("pin_features", read, con=con),
            warehouse.read("impressions", read.widen(before=SEEN_DAYS), con=con),
            settings=settings,
            days=days,
        )
        warehouse.lake.replace("training_examples", days, rows, con=con)
        stored = warehouse.read("training_examples", days, con=con)
        return dg.MaterializeResult(
            metadata={
                **describe_table(context, warehouse, "training_examples", days, con=con),
                **window_metadata(warehouse, "weighted_labels", read),
                "by_task": count_by(stored, "split", "task", "is_negative", con=con),
                "by_surface": count_by(stored, "split", "surface", con=con),
            }
        )
