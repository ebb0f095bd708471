"""The code location: every asset, check, job, sensor and resource of convcg."""

import dagster as dg

from convcg_assets.defs import (
    candidates,
    evaluation,
    model,
    promotion,
    raw_events,
    retrieval,
    serving_features,
)
from convcg_assets.defs.automation import schedules, sensors, watch_jobs
from convcg_assets.defs.checks import table_checks
from convcg_assets.defs.jobs import jobs
from convcg_assets.defs.resources import Warehouse
from convcg_assets.defs.skew_check import served_as_trained
from convcg_assets.defs.tables import table_assets
from convcg_assets.defs.watch_checks import watch_checks

defs = dg.Definitions(
    assets=[
        *dg.load_assets_from_modules(
            [raw_events, model, retrieval, evaluation, serving_features, promotion, candidates]
        ),
        *table_assets,
    ],
    asset_checks=[*table_checks, *watch_checks, served_as_trained],
    jobs=[*jobs, *watch_jobs],
    schedules=schedules,
    sensors=sensors,
    resources={"warehouse": Warehouse()},
    executor=dg.in_process_executor,
)
