"""Assets built for a range of days in this process, and what a person needs to know of the run.

Which assets and days belongs to the commands; what an asset does belongs to `defs/`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from convcg_assets.days import Days

MODULE = re.compile(r"^[a-z_]+(\.[a-z_]+)*\.(?=[A-Z])")
"""The module that an error's message begins with."""


def load_definitions() -> dg.Definitions:
    """The code location, imported late: a fault of the source is then told, not traced."""
    from convcg_assets.definitions import defs

    return defs


def materialize(
    assets: Iterable[str],
    days: Days,
    *,
    instance: dg.DagsterInstance,
    config: Mapping[str, Any] | None = None,
    checks: bool = True,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise assets for a range of days in one run, with or without their checks."""
    from convcg_assets.defs.jobs import WATCH_CHECKS

    defs = load_definitions()
    selection = dg.AssetSelection.assets(*assets)
    graph = defs.resolve_asset_graph()
    chosen = {
        check
        for check in (selection.resolve_checks(graph) if checks else set())
        if check.name not in WATCH_CHECKS
    }
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=selection.resolve(graph), asset_check_selection=chosen
    )
    return job.execute_in_process(
        instance=instance,
        run_config={
            "ops": dict(config or {}),
            # Progress is printed by the command, and the event log keeps the rest.
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        tags={
            **(tags or {}),
            "dagster/asset_partition_range_start": str(days.first),
            "dagster/asset_partition_range_end": str(days.last),
        },
        raise_on_error=False,
    )


def check_config(asset: str, config: Mapping[str, Any]) -> None:
    """ValueError where an asset does not take this run config, before any work is done."""
    defs = load_definitions()
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(asset)}
    )
    try:
        dg.validate_run_config(job, {"ops": {asset: config}})
    except dg.DagsterInvalidConfigError as error:
        said = "; ".join(fault.message for fault in error.errors)
        raise ValueError(f"run config of {asset}: {said}") from None


def materialized_rows(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """Rows per table that a run wrote."""
    rows = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        if "rows" in metadata:
            rows[event.materialization.asset_key.to_user_string()] = metadata["rows"].value
    return rows


def explain_failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What a person needs to know of a failed run: the error itself, the failed checks."""
    failures = []
    for event in result.filter_events(lambda e: e.is_step_failure):
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        said = error.message.strip() if error else "failed"
        failures.append(f"{event.step_key}: {MODULE.sub('', said)}")
    return failures + explain_checks(result)


def explain_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    """The checks that failed, warnings included, each with what it found."""
    return [
        f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description or 'failed'}"
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
