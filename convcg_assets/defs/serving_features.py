"""What the server knows of users and Pins: the features of day T as a folder that it maps."""

import datetime as dt
from pathlib import Path

import dagster as dg

from convcg_assets.builds.build import Build
from convcg_assets.days import Days
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.resources import Warehouse
from convcg_assets.lake.engine import as_query, stream_rows

STATIC = ("pin_id", "advertiser_id", "category", "price", "title", "content", "content_version")


@dg.asset(
    deps=upstream("serving_features"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=9),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"arrow"},
    owners=["team:ads-serving"],
)
def serving_features(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """The features of day T as the server reads them: users by id, and the Pins that they met.

    A running server takes them up by itself, together with the model in service.
    """
    for day in run_days(context):
        with warehouse.build("serving_features", Days(day, day), run_id=context.run_id) as build:
            path = warehouse.deployment.features / f"dt={day}"
            num = write_features(build, day, path)
            build.record_artifact(day)
        context.add_asset_metadata(
            {
                "users": num,
                "path": dg.MetadataValue.path(str(path)),
            },
            asset_key="serving_features",
            partition_key=str(day),
        )


def write_features(build: Build, day: dt.date, path: Path) -> int:
    """Write the features of a day as a folder; the number of users."""
    from convcg_serving.day_features import write_day_features

    con = build.con
    pins = con.to_pyarrow(build.read("pin_features").select(*STATIC).order_by("pin_id"))
    users = build.read("user_features").drop("dt").order_by("user_id")
    schema = users.schema()
    with as_query(users, con=con) as query, stream_rows(query, schema=schema, con=con) as batches:
        return write_day_features(path, batches, pins, day=day, schema=schema.to_pyarrow())
