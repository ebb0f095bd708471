"""The daily partitions, one definition for every asset, and the windows of days between assets."""

import datetime as dt
import warnings

import dagster as dg

from convcg_assets.days import Days
from convcg_assets.project import current_project
from convcg_assets.transforms.examples import SEEN_DAYS
from convcg_assets.transforms.features import LONG_DAYS

# Backfill policies and window mappings are beta in this pinned release, and are tested here.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

_source = current_project().source
_settings = current_project().settings

daily_partitions = dg.DailyPartitionsDefinition(
    start_date=_source.first_day.isoformat(),
    # A model of day T learns from what arrived before T: the last log day + 1 is a day too, and so
    # is today while the log goes on.
    end_date=(_source.last_day + dt.timedelta(days=2)).isoformat() if _source.last_day else None,
    end_offset=0 if _source.last_day else 1,
)


def run_days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Days:
    """The days that a run materialises or checks: one partition, or a range of them."""
    keys = context.op_execution_context.partition_key_range
    return Days(dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end))


def window(*, before: int = 0, after: int = 0, offset: int = 0) -> dg.TimeWindowPartitionMapping:
    """Upstream days `before` and `after` a day, the whole window moved by `offset` days.

    Days before the first and after the last partition do not exist and are left out: an asset says
    in its metadata how much of its window the lake holds.
    """
    return dg.TimeWindowPartitionMapping(
        start_offset=offset - before,
        end_offset=offset + after,
        allow_nonexistent_upstream_partitions=True,
    )


horizon_days = _settings.attribution.horizon_days
late_days = _source.late_days + 1
"""Logged at most so many days before the arrival day: the clocks' tolerance may add one."""
engagement_days = late_days + 1
"""An engagement may follow its impression past midnight, and arrive late as well."""
history_days = max(LONG_DAYS, _settings.features.active_days) + late_days
example_days = _settings.examples.training_days + _settings.examples.holdout_days

same_day = window()
touch_window = window(before=horizon_days)
dedup_window = window(before=_settings.attribution.dedup_lookback_days)
arrival_window = window(before=1, after=engagement_days)
"""Around an impression day: a clock ahead the day before, late engagements after."""
evidence_window = window(after=horizon_days)
history_window = window(before=history_days - 1, offset=-1)
example_window = window(before=example_days - 1, offset=-1)
seen_window = window(before=example_days + SEEN_DAYS - 1, offset=-1)
holdout_window = window(before=_settings.examples.holdout_days)
