"""The code location: every asset, check, job and resource of convcg."""

import dagster as dg

from convcg_assets.defs import (
    attribution,
    evaluation,
    examples,
    features,
    labels,
    model,
    negatives,
    raw_events,
    retrieval,
)
from convcg_assets.defs.checks import table_checks
from convcg_assets.defs.jobs import jobs
from convcg_assets.defs.resources import Warehouse

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(
        [
            raw_events,
            attribution,
            labels,
            negatives,
            features,
            examples,
            model,
            retrieval,
            evaluation,
        ]
    ),
    asset_checks=table_checks,
    jobs=jobs,
    resources={"warehouse": Warehouse()},
    executor=dg.in_process_executor,
)
