"""A check for tables that rest on snapshots: one holds until the next, and may be old."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.table import Check, Inputs


def snapshot_is_recent(stream: str) -> Check:
    """The check that a snapshot of the stream lies not too long before each day T."""

    def stale(inputs: Inputs) -> ibis.Table:
        max_age_days = inputs.settings.checks.max_snapshot_age_days
        snapshots = inputs.read(stream, before=max_age_days, after=-1)
        without = days_without_snapshot(snapshots, inputs.days, max_age_days=max_age_days)
        is_landed = inputs.scope.source.stream(stream) is not None
        return without if is_landed else without.filter(ibis.literal(False))

    return Check(
        f"{stream}_are_recent",
        f"The newest snapshot of `{stream}` is at most *max_snapshot_age_days* old.",
        warning=stale,
    )


def days_without_snapshot(snapshots: ibis.Table, days: Days, *, max_age_days: int) -> ibis.Table:
    """The days T before which no snapshot lies within so many days."""
    landed = snapshots.select(snapshot_dt=_.dt).distinct()
    looked = landed.inner_join(days.lookback("snapshot_dt", num_days=max_age_days), "snapshot_dt")
    each = days.each("dt")
    return each.anti_join(looked.select(dt=_.day), "dt").mutate(
        no_snapshot_since=(_.dt - ibis.interval(days=max_age_days)).cast("date")
    )
