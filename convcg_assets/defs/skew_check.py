"""The check that serving sees what training saw: logged impressions of the day before, replayed."""

import datetime as dt
import tempfile
import warnings
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
from ibis import _

from convcg_assets.days import Days
from convcg_assets.defs.metadata import markdown_table
from convcg_assets.defs.partitions import daily_partitions, run_days
from convcg_assets.defs.resources import Warehouse
from convcg_assets.defs.serving_features import write_features
from convcg_assets.tables.table import DAY

SKEW_CHECK = "served_as_trained"
REPLAYED = 500

with warnings.catch_warnings():
    # Partitioned checks are in preview in this pinned release.
    warnings.simplefilter("ignore", category=dg.PreviewWarning)

    @dg.asset_check(
        asset="serving_features",
        name=SKEW_CHECK,
        description="The user side of logged impressions is for the server what it was in "
        "training: each feature by name, and the user vectors.",
        partitions_def=daily_partitions,
    )
    def served_as_trained(
        context: dg.AssetCheckExecutionContext, warehouse: Warehouse
    ) -> dg.AssetCheckResult:
        """Replay impressions of the day before the run's last day T, with the model of T."""
        return check_skew(warehouse, run_days(context).last, run_id=context.run.run_id)


def check_skew(warehouse: Warehouse, model_day: dt.date, *, run_id: str) -> dg.AssetCheckResult:
    """What a replay of the impressions of the day before T finds; skew is an error."""
    from convcg_model.checkpoint import load_checkpoint
    from convcg_serving.day_features import load_day_features
    from convcg_serving.skew import TOLERANCE, replay

    day, folder = model_day - DAY, warehouse.deployment.models / f"dt={model_day}"
    if not (folder / "model.json").is_file():
        return dg.AssetCheckResult(passed=True, description=f"there is no model of {model_day}")
    examples = _examples_of(warehouse, day, model_day)
    if not examples.num_rows:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"no impression of {day} is an example of {model_day}: nothing to replay, "
            "so whether serving sees what training saw is not known",
        )
    with tempfile.TemporaryDirectory(prefix="convcg-replay-") as temporary:
        stored = warehouse.deployment.features / f"dt={day}"
        if not stored.is_dir():
            stored = Path(temporary) / f"dt={day}"
            with warehouse.build("serving_features", Days(day, day), run_id=run_id) as build:
                write_features(build, day, stored)
        features = load_day_features(stored)
        model = load_checkpoint(folder)
        tower = model.user_tower(catalogue=features.pins)
        skew = replay(examples, features, model.spec, tower=tower)
    differing = [feature.name for feature in skew.features if feature.share > 0]
    said = f"{', '.join(differing)} differ" if differing else "the user vectors differ"
    return dg.AssetCheckResult(
        passed=not skew.is_there,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{skew.rows:,} impressions of {day} replayed: "
        + (said if skew.is_there else "all as in training"),
        metadata={
            "replayed": skew.rows,
            "largest_difference_of_vectors": skew.vectors,
            "tolerance": TOLERANCE,
            "features": dg.MetadataValue.md(
                markdown_table(
                    [
                        {
                            "feature": feature.name,
                            "share of rows that differ": feature.share,
                            "largest difference": feature.largest,
                            "impression": feature.example,
                        }
                        for feature in sorted(skew.features, key=lambda found: -found.share)
                    ]
                )
            ),
        },
    )


def _examples_of(warehouse: Warehouse, day: dt.date, model_day: dt.date) -> pa.Table:
    """Once each some impressions of a day, as the training set of T has them."""
    with warehouse.connect() as con:
        rows = warehouse.read("training_examples", Days(model_day, model_day), con=con)
        drawn = rows.filter(_.example_day == day).mutate(draw=_.impression_id.cast("string").hash())
        of_day = drawn.order_by("draw", "impression_id", "task").drop("draw")
        found = con.to_pyarrow(of_day.limit(4 * REPLAYED))
    codes = found["impression_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _codes, first = np.unique(codes, return_index=True)
    return found.take(pa.array(np.sort(first))).slice(0, REPLAYED)
