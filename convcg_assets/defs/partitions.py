"""The daily partitions, one definition for every asset, and the edges between assets as windows."""

import datetime as dt
import warnings

import dagster as dg

from convcg_assets.days import Days
from convcg_assets.deployment import current_deployment
from convcg_assets.sources.clock import MAX_DAYS_AHEAD

# Backfill policies and window mappings are beta in this pinned release, and are tested here.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

_source = current_deployment().source
# A simulated world may run ahead of the clock, and the model of its next day is one of tomorrow.
_days_ahead = 0 if _source.simulation is None else MAX_DAYS_AHEAD + 1

daily_partitions = dg.DailyPartitionsDefinition(
    start_date=_source.first_day.isoformat(),
    # A model of day T learns from what arrived before T: the last log day + 1 is a day too, and so
    # is today while the log goes on.
    end_date=(_source.last_day + dt.timedelta(days=2)).isoformat() if _source.last_day else None,
    end_offset=0 if _source.last_day else 1 + _days_ahead,
)


def run_days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Days:
    """The days that a run materialises or checks: one partition, or a range of them."""
    keys = context.op_execution_context.partition_key_range
    return Days(dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end))


def upstream(table: str) -> list[dg.AssetDep]:
    """What an asset's days are built from, by the windows of its recipe.

    Days before the first and after the last partition do not exist and are left out: an asset says
    in its metadata how much of its window the lake holds.
    """
    return [
        dg.AssetDep(
            source.table,
            partition_mapping=dg.TimeWindowPartitionMapping(
                start_offset=-source.before,
                end_offset=source.after,
                allow_nonexistent_upstream_partitions=True,
            ),
        )
        for source in current_deployment().recipes[table].inputs
    ]


def daily_by(*, hour: int | None) -> dg.FreshnessPolicy | None:
    """Something is written between midnight and this hour (UTC) of each day; none of ended logs.

    Dagster counts any day's, a repair of an old one too: the check `newest_day_is_yesterday` says
    whether it is the right one.
    """
    if hour is None or _source.last_day is not None:
        return None
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"0 {hour} * * *", lower_bound_delta=dt.timedelta(hours=hour)
    )
