"""How long the last build of each asset took, as Dagster has it in its books."""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg
from dagster import RunsFilter

from convcg_assets.defs.runs import days_of
from convcg_assets.tables.raw import RAW, REJECTED


@dataclass(frozen=True)
class BuildTime:
    """Seconds of the last step that wrote an asset, and of how many days it was."""

    seconds: float
    days: int


def last_build_times(instance: dg.DagsterInstance, tables: Iterable[str]) -> dict[str, BuildTime]:
    """Of each table whose last build has ended; `raw_events` is the step of all raw tables."""
    asset_of = {table: dg.AssetKey(REJECTED if table == RAW else table) for table in tables}
    events = instance.get_latest_materialization_events(list(asset_of.values()))
    run_ids = {event.run_id for event in events.values() if event is not None}
    if not run_ids:
        return {}
    runs = {run.run_id: run for run in instance.get_runs(RunsFilter(run_ids=sorted(run_ids)))}
    ended = {
        (step.run_id, step.step_key): step
        for run_id in runs
        for step in instance.get_run_step_stats(run_id)
        if step.start_time is not None and step.end_time is not None
    }
    times: dict[str, BuildTime] = {}
    for table, asset in asset_of.items():
        event = events.get(asset)
        step = None if event is None else ended.get((event.run_id, str(event.step_key)))
        if step is not None and step.start_time is not None and step.end_time is not None:
            days = days_of(runs[step.run_id])
            times[table] = BuildTime(step.end_time - step.start_time, len(days) if days else 1)
    return times
