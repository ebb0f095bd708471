"""Jobs: one per table for repairs, and the retrain of a day."""

import dagster as dg

from convcg_assets.deployment import current_deployment
from convcg_assets.tables.raw import RAW, RAW_TABLES
from convcg_assets.tables.registry import MODEL_TABLES

RETRAIN = "retrain"
APART = "days_apart"
GIVEN_UP_CHECK = "no_day_given_up"
NEWEST_DAY_CHECK = "newest_day_is_yesterday"
WATCH_CHECKS = (GIVEN_UP_CHECK, NEWEST_DAY_CHECK)
"""They look at the whole table, not at a run's days."""


def job_name(table: str) -> str:
    """Name of the job that builds days of a table, or of all raw tables."""
    return f"build_{table}"


JOB_TABLES: dict[str, tuple[str, ...]] = {
    job_name(RAW): (RAW, *(t for t in RAW_TABLES if t in current_deployment().tables)),
    **{job_name(table): (table,) for table in current_deployment().recipes},
    RETRAIN: MODEL_TABLES,
}
"""What each job writes."""


def _job(name: str, tables: tuple[str, ...]):
    assets = dg.AssetSelection.assets(*(t for t in tables if t != RAW))
    watched = dg.AssetSelection.checks(
        *(
            dg.AssetCheckKey(dg.AssetKey(table), check)
            for table in tables
            for check in WATCH_CHECKS
            if table != RAW and (check, table) in WATCHED
        )
    )
    return dg.define_asset_job(
        name,
        selection=assets - watched,
        description="Examples, model, index and report of day T."
        if name == RETRAIN
        else f"Days of {name.removeprefix('build_').replace('_', ' ')}.",
    )


WATCHED = {
    (NEWEST_DAY_CHECK, "conversions"),
    *((GIVEN_UP_CHECK, table) for table in ("conversions", *current_deployment().recipes)),
}
"""(check, table): the raw tables are read together, and `conversions` stands for them."""

jobs = [_job(name, tables) for name, tables in JOB_TABLES.items()]
