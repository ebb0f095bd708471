"""Advertisers whose delays have shifted, as the check `delays_as_before` last found it.

The check warns and holds up nothing, so that it stands in Dagster's books alone.
"""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
from dagster import AssetCheckEvaluation

from convcg_assets.builds.alerts import SHIFTED, Condition
from convcg_assets.defs.runs import days_of

DELAYS = dg.AssetCheckKey(dg.AssetKey("conversion_delay"), "delays_as_before")
LOOKED_BACK = 100
"""Evaluations: a repair of many old days tells each of them that it passed."""


def find_shifted(instance: dg.DagsterInstance) -> Iterator[Condition]:
    """Each advertiser of the newest day T that was looked at; of older days nothing is said."""
    newest = max(_evaluations(instance), key=lambda found: found[:2], default=None)
    if newest is None or newest[2].passed:
        return
    offending = newest[2].metadata.get("offending")
    rows = offending.records if isinstance(offending, dg.TableMetadataValue) else []
    for row in rows:
        advertiser = str(row.data["advertiser_id"])
        before, now = (row.data[f"mean_lag_{when}_days"] for when in ("before", "newest"))
        said = f"advertiser {advertiser}: {_days(before)} days to a report before, {_days(now)} now"
        # Not by day: one that has shifted is found on each of the days that follow.
        yield Condition(SHIFTED, DELAYS.asset_key.path[-1], said, mark=advertiser)


def _evaluations(
    instance: dg.DagsterInstance,
) -> Iterator[tuple[dt.date, int, AssetCheckEvaluation]]:
    """Day T, number and result of the newest evaluations that have ended."""
    records = instance.event_log_storage.get_asset_check_execution_history(DELAYS, LOOKED_BACK)
    for record in records:
        event = record.event.dagster_event if record.event else None
        found = event.event_specific_data if event else None
        if not isinstance(found, AssetCheckEvaluation):
            continue
        if record.partition is not None:
            yield dt.date.fromisoformat(record.partition), record.id, found
            continue
        # A range is looked at as of its last day.
        run = instance.get_run_by_id(record.run_id)
        days = days_of(run) if run else None
        if days is not None:
            yield days.last, record.id, found


def _days(lag: object) -> str:
    return f"{lag:.1f}" if isinstance(lag, float) else str(lag)
