"""`conversion_delay`: the share of conversions that arrive within k days, as known on day T.

How the curves are estimated belongs to `delay_curves.py`.
"""

import datetime as dt

import ibis

from convcg_assets.days import Days
from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.cadence import SEGMENTS
from convcg_assets.tables.delay_curves import describe_delay, lookback_days
from convcg_assets.tables.shifts import delay_shifts, shift_lookback_days
from convcg_assets.tables.standing import adjusted_input, read_adjusted
from convcg_assets.tables.table import Check, Input, Inputs, Scope, Table

LEVELS = ("global", "segment", "advertiser")

COLUMNS: Columns = {
    "dt": Column("date", "day T: everything here arrived before it"),
    "level": Column(
        "string", "whose conversions the curve is of", required=True, vocabulary=LEVELS
    ),
    "segment": Column(
        "string",
        "how the advertisers report, or whether they have been silent of late; null for global",
        vocabulary=SEGMENTS,
    ),
    "advertiser_id": Column("id:advertiser_id", "whose curve; null unless level is advertiser"),
    "weekday": Column(
        "int64",
        "weekday of the impression day (0 Monday) that a weekly reporter's curve is for; "
        "null for all others: any weekday",
    ),
    "upload_in_days": Column(
        "int64",
        "weekly reporters: days from the impression day to the next upload; null for all others",
    ),
    "delay_days": Column(
        "int64",
        "k, days from the impression day to the arrival day, 0 to H",
        required=True,
    ),
    "num_arrived": Column("int64", "evidence that arrived after exactly k days"),
    "num_until": Column(
        "int64",
        "evidence that arrived within k days, of impression days old enough to show k",
    ),
    "num_conversions": Column("int64", "all evidence that the group's curve rests on"),
    "observed_days": Column(
        "int64",
        "longest delay that the group can have shown, at most H; beyond it the curve is "
        "its parent's, and the global one 1: its tail is unknown",
    ),
    "own_share": Column("float64", "share arrived within k days, by the group's own evidence"),
    "share": Column("float64", "the same, pooled with the level above", required=True),
    "share_low": Column("float64", "lower end of its 95 % interval"),
    "share_high": Column("float64", "upper end of its 95 % interval"),
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """The arrivals that the curves look back on."""
    settings = scope.settings
    horizon = settings.attribution.horizon_days
    before = lookback_days(settings.delay, horizon_days=horizon)
    return (
        Input("attributed_conversions", before=before, after=-1),
        *adjusted_input(scope, before=before, after=-1),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The curves of the days T."""
    return describe_delay(
        inputs["attributed_conversions"],
        read_adjusted(inputs),
        settings=inputs.settings.delay,
        horizon_days=inputs.settings.attribution.horizon_days,
        days=inputs.days,
    )


def changed_habits(inputs: Inputs) -> ibis.Table:
    """Advertisers whose newest reporting lags differ from those before, on the newest day."""
    last, settings = inputs.days.last, inputs.settings.delay
    lookback = dt.timedelta(days=shift_lookback_days(settings))
    attributed = inputs.read_days("attributed_conversions", Days(last - lookback, last))
    return delay_shifts(attributed, settings=settings, days=Days(last, last))


CONVERSION_DELAY = Table(
    name="conversion_delay",
    group="attribution",
    owner="team:ads-measurement",
    description="""The delay curve of day T: the share F(k) of conversions that arrive within k
days.

Of all advertisers, of those who report alike, and of each advertiser, pooled in this order; by what
had arrived before T. Delays are counted from the impression day to the arrival day.""",
    columns=COLUMNS,
    key=(
        *("dt", "level", "segment", "advertiser_id"),
        *("weekday", "upload_in_days", "delay_days"),
    ),
    domain="knowledge",
    inputs=inputs,
    settings=lambda scope: (scope.settings.attribution, scope.settings.delay),
    rows=rows,
    checks=(
        Check(
            "delays_as_before",
            "No advertiser's reporting lags of the newest week differ from those of the weeks "
            "before: one that starts uploading weekly makes its labels look rare.",
            warning=changed_habits,
        ),
    ),
)
