"""Counters of a day and of the days before T: what arrived of each user or Pin; newest snapshots.

Everything for T comes from rows that arrived before T, so that a Pin's counters never contain the
click that is being predicted. How features are encoded for the towers belongs to `convcg_model`.
"""

from collections.abc import Callable

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import STREAMS, Column, Columns
from convcg_assets.tables.exact import AMOUNT_DECIMALS, double, exact_sum
from convcg_assets.tables.standing import SPAN, adjusted_input, holds_on
from convcg_assets.tables.table import Input, Scope
from convcg_assets.tables.touches import first_arrivals, first_impressions

LONG_DAYS = 30
SHORT_DAYS = 7
SECONDS_PER_DAY = 86_400
DAILY_COUNTS: Columns = {
    "num_impressions": Column("int64", "impressions", required=True),
    "num_clicks": Column("int64", "clicks", required=True),
    "num_repins": Column("int64", "repins and close-ups", required=True),
    "duration_s": Column("float64", "durations of the clicks, summed", required=True),
    "num_durations": Column("int64", "clicks whose duration was logged", required=True),
}
"""What is counted of a day, each event on the first day on which it arrived."""


def arrivals_of(*tables: str) -> Callable[[Scope], tuple[Input, ...]]:
    """The events of a day, and of those before on which a late one can have arrived first."""
    return lambda scope: tuple(Input(table, before=scope.late_days) for table in tables)


def count_arrivals(
    impressions: ibis.Table, engagements: ibis.Table, *, key: str, days: Days
) -> ibis.Table:
    """The `DAILY_COUNTS` of each user or Pin for the arrival days `days`."""
    shown = first_impressions(impressions)
    engaged = first_arrivals(engagements, key="engagement_id", ts="engagement_ts")
    counted = stack(
        [
            shown.group_by("dt", key).agg(num_impressions=_.count()),
            count_engagements(engaged, key=key),
        ]
    )
    of_days = counted.filter(counted.dt.between(days.first, days.last))
    return of_days.group_by("dt", key).agg(
        **{name: of_days[name].max() for name in DAILY_COUNTS},
    )


def known_before(*tables: str, scope: Scope) -> tuple[Input, ...]:
    """The days before T that features look back on."""
    history = max(LONG_DAYS, scope.settings.features.active_days)
    snapshots = {stream for stream, rules in STREAMS.items() if rules.kind == "snapshot"}
    read = tuple(Input(t, before=history, after=-1, holds=t in snapshots) for t in tables)
    return (*read, *adjusted_input(scope, before=history, after=-1))


def newest_snapshot(snapshots: ibis.Table, *, days: Days) -> ibis.Table:
    """For each T in `days` the newest snapshot before T, however old, with dt = T.

    The day of the snapshot is `snapshot_dt`.
    """
    each, landed = days.each("day"), snapshots.select(snapshot_dt=_.dt).distinct()
    before = each.inner_join(landed, each.day > landed.snapshot_dt)
    newest = before.group_by("day").agg(snapshot_dt=_.snapshot_dt.max())
    rows = snapshots.rename(snapshot_dt="dt").inner_join(newest, "snapshot_dt")
    return rows.rename(dt="day")


def count_engagements(engagements: ibis.Table, *, key: str) -> ibis.Table:
    """Daily engagements of each user or Pin."""
    is_click = _.engagement_type == "click"
    return engagements.group_by("dt", key).agg(
        num_clicks=_.count(where=is_click),
        num_repins=_.count(where=~is_click),
        duration_s=exact_sum(_.duration_s, decimals=AMOUNT_DECIMALS, where=is_click).fill_null(
            double(0)
        ),
        num_durations=_.duration_s.count(where=is_click),
    )


def stack(parts: list[ibis.Table]) -> ibis.Table:
    """Daily counts of several kinds as one table; a kind's columns are 0 in the others' rows.

    The span of what may end is null in the others': they hold.
    """
    types = {c: t for part in parts for c, t in part.schema().items()}
    padded = [
        part.select(
            (part[c] if c in part.columns else _nothing(c, t)).name(c) for c, t in types.items()
        )
        for part in parts
    ]
    return ibis.union(*padded)


def _nothing(column: str, kind: ibis.DataType) -> ibis.Value:
    return ibis.null(kind) if column in SPAN else ibis.literal(0).cast(kind)


def spread(daily: ibis.Table, *, days: Days) -> ibis.Table:
    """Each day's counts once for every T whose `LONG_DAYS` hold it; `age` is T - arrival day."""
    arrived = daily.rename(arrival_dt="dt")
    looked = arrived.inner_join(days.lookback("arrival_dt", num_days=LONG_DAYS), "arrival_dt")
    looked = looked.filter(*known) if (known := holds_on(looked, looked.day)) else looked
    return looked.rename(dt="day").mutate(age=_.dt.delta(_.arrival_dt, unit="day"))


def windows(name: str, column: ibis.Deferred) -> dict[str, ibis.Deferred]:
    """The sums of a daily count over the short and the long window."""
    return {
        f"{name}_{SHORT_DAYS}d": column.sum(where=_.age <= SHORT_DAYS).fill_null(0),
        f"{name}_{LONG_DAYS}d": column.sum(),
    }


def age_days(day: ibis.Value, ts: ibis.Value) -> ibis.Value:
    """Days from a time to the midnight at which `day` begins."""
    return (day.cast("timestamp").epoch_seconds() - ts.epoch_seconds()) / double(SECONDS_PER_DAY)
