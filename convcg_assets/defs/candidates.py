"""Candidates: the best Pins of every active user, by the model in service, as rows for others."""

import datetime as dt
import json
from typing import Any

import dagster as dg

from convcg_assets.builds.build import Build
from convcg_assets.builds.working import working_folder
from convcg_assets.days import Days
from convcg_assets.defs.partitions import daily_by, daily_partitions, run_days, upstream
from convcg_assets.defs.registry import Registry
from convcg_assets.defs.resources import Warehouse
from convcg_assets.lake.day_rows import replace_day
from convcg_serving.champion import Champion

TABLE = "candidates"
DESCRIPTION = "candidates.json"


@dg.asset(
    deps=upstream("candidates"),
    partitions_def=daily_partitions,
    freshness_policy=daily_by(hour=9),
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"delta"},
    owners=["team:ads-serving"],
)
def candidates(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
    """For each user of day T the best Pins on the Homefeed, by the model in service.

    A Delta table: user, rank, Pin, score and which model found it. Pins are the active ones of T,
    those too that are newer than the model's index; what may be shown is set in
    `settings.candidates`. While no model serves there are none.
    """
    for day in run_days(context):
        with warehouse.build("candidates", Days(day, day), run_id=context.run_id) as build:
            champion = Registry(warehouse.deployment).champion()
            found = {"users": 0, "rows": 0, "version": None, "model_version": None}
            if champion is not None:
                found = _find(build, day, champion, warehouse)
            folder = warehouse.deployment.home / "candidates" / f"dt={day}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / DESCRIPTION).write_text(json.dumps(found, indent=1))
            build.record_artifact(day)
        context.add_asset_metadata(
            {
                **found,
                "path": dg.MetadataValue.path(warehouse.lake.path(TABLE)),
                **({} if champion else {"why": "no model serves: none was promoted yet"}),
            },
            asset_key="candidates",
            partition_key=str(day),
        )


def _find(build: Build, day: dt.date, champion: Champion, warehouse: Warehouse) -> dict[str, Any]:
    from convcg_assets.builds.candidates import user_batches, write_candidates
    from convcg_model.index import load_bundle
    from convcg_model.live_index import LiveIndex, pin_changes

    deployment, settings = warehouse.deployment, warehouse.settings.candidates
    bundle = load_bundle(champion.bundle)
    pins = build.con.to_pyarrow(build.read("pin_features").order_by("pin_id"))
    now = dt.datetime.combine(day, dt.time(), dt.UTC)
    with working_folder(deployment.spill / "candidates") as folder:
        path = folder / "candidates.parquet"
        users, rows = write_candidates(
            path,
            user_batches(build, settings),
            day=day,
            index=LiveIndex(bundle, pin_changes(bundle, pins, as_of=now)),
            tower=bundle.model.user_tower(catalogue=pins),
            settings=settings,
            version=champion.version,
        )
        lake_version = replace_day(deployment.lake.path(TABLE), day, path)
    return {
        "users": users,
        "rows": rows,
        "version": champion.version,
        "model_version": champion.model_version,
        "lake_version": lake_version,
    }
