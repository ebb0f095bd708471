"""`adjusted_conversions`: what retractions and restatements have made of conversions, and when.

What an adjustment is belongs to `sources/columns.py`; who reads a conversion as it stands takes it
from `standing.py`.
"""

from collections.abc import Mapping

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import (
    ADJUSTMENT_TYPES,
    ADJUSTMENTS,
    CONVERSION_EVENTS,
    Column,
    Columns,
)
from convcg_assets.tables.exact import double
from convcg_assets.tables.settings import AdjustmentSettings
from convcg_assets.tables.table import Check, Input, Inputs, Scope, Table

STATUSES = ("applied", "no_change", "unmatched")
UNMATCHED_SHARE_WARNING, UNMATCHED_ROWS_WARNING = 0.5, 10
"""More of a day's adjustments that are of no conversion look like ids that do not fit."""
CONVERSION = ("conversion_dt", "conversion_id")
OF_TOUCH = ("impression_id", "impression_day", "touch_type", "touch_ts", "credit")

COLUMNS: Columns = {
    "dt": Column("date", "day K on which both the adjustment and its conversion were known first"),
    "adjustment_id": Column("string", "the adjustment", required=True),
    "adjustment_dt": Column("date", "arrival day of the adjustment", required=True),
    "adjustment_type": Column(
        "string", "what it says of the conversion", required=True, vocabulary=ADJUSTMENT_TYPES
    ),
    "adjustment_ts": Column("timestamp(6)", "when it was adjusted", required=True),
    "event_id": Column("string", "the event id that it names", required=True),
    "status": Column("string", "what became of it", required=True, vocabulary=STATUSES),
    "conversion_dt": Column(
        "date", "arrival day of the conversion; null where unmatched, as all that follow"
    ),
    "conversion_id": Column("id:conversion_id", "the conversion"),
    "event_name": Column("string", "what was done", vocabulary=CONVERSION_EVENTS),
    "user_id": Column("id:user_id", "who bought"),
    "advertiser_id": Column("id:advertiser_id", "who reported it"),
    "value": Column(
        "float64", "applied restatement: the value that the conversion has from K on; null else"
    ),
    "impression_id": Column(
        "id:impression_id", "applied: the impression with credit; null without any"
    ),
    "impression_day": Column("date", "applied: the label day that this belongs to"),
    "touch_type": Column("string", "applied: what had earned the credit"),
    "touch_ts": Column("timestamp(6)", "applied: when it was touched"),
    "credit": Column("float64", "applied: that touch's share of the conversion"),
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """Conversions that an adjustment may still reach, and all adjustments of these."""
    reach = scope.settings.adjustments.max_days
    return (
        Input(ADJUSTMENTS, before=2 * reach),
        Input("conversions", before=reach),
        Input("attributed_conversions", before=reach),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """What became known on the days."""
    return adjust(
        inputs[ADJUSTMENTS],
        inputs["conversions"],
        inputs["attributed_conversions"],
        settings=inputs.settings.adjustments,
        days=inputs.days,
    )


def adjust(
    adjustments: ibis.Table,
    conversions: ibis.Table,
    attributed: ibis.Table,
    *,
    settings: AdjustmentSettings,
    days: Days,
) -> ibis.Table:
    """Rows of `adjusted_conversions` for the days K in `days`.

    Of all adjustments of a conversion that are known by a day the last holds: by adjustment time,
    arrival day, received time, id. A day has a row per adjustment and conversion that became known
    together on it, `applied` with one per credited touch where the conversion then stands otherwise
    than the day before. `conversions` and `attributed` must hold the `max_days` before, and
    `adjustments` twice as many.
    """
    pairs = _pair(adjustments, conversions, attributed, settings=settings)
    states = _with_status(pairs).filter(_.known_dt.between(days.first, days.last))
    touches = attributed.select(
        *OF_TOUCH,
        status=ibis.literal("applied"),
        conversion_dt=_.dt,
        conversion_id=_.conversion_id,
    )
    matched = states.left_join(touches, [*CONVERSION, "status"]).select(*states.columns, *OF_TOUCH)
    is_restated = (_.status == "applied") & (_.adjustment_type == "restatement")
    matched = matched.mutate(
        dt=_.known_dt, value=is_restated.ifelse(_.new_value, ibis.null("float64"))
    )
    in_time = pairs.filter(_.conversion_dt <= _.adjustment_dt)
    arrived = adjustments.filter(_.dt.between(days.first, days.last)).rename(adjustment_dt="dt")
    unmatched = arrived.anti_join(in_time, ["adjustment_dt", "adjustment_id"])
    of_nothing = (*CONVERSION, "event_name", "user_id", "advertiser_id", "value", *OF_TOUCH)
    unmatched = unmatched.mutate(
        **{name: ibis.null(matched[name].type()) for name in of_nothing},
        dt=_.adjustment_dt,
        status=ibis.literal("unmatched"),
    )
    return matched.select(*COLUMNS).union(unmatched.select(*COLUMNS))


def _with_status(pairs: ibis.Table) -> ibis.Table:
    """Whether an adjustment changed how its conversion stood the day before: `applied`."""
    in_time = ibis.window(group_by=CONVERSION, order_by="known_dt")
    until = ibis.window(group_by=CONVERSION, order_by="known_dt", rows=(None, 0))
    by_day = pairs.group_by(*CONVERSION, "known_dt").agg(newest=_.place.max())
    by_day = by_day.mutate(holds=_.newest.max().over(until))
    by_day = by_day.mutate(held=_.holds.lag().over(in_time))
    said = pairs.select(
        *CONVERSION, held=_.place, held_type=_.adjustment_type, held_value=_.new_value
    )
    states = pairs.inner_join(by_day, [*CONVERSION, "known_dt"])
    states = states.select(*pairs.columns, "holds", "held").left_join(said, [*CONVERSION, "held"])
    # Where nothing had been said, it stood as reported: as if restated to that value.
    old_type = states.held_type.fill_null("restatement")
    old_value = states.held.isnull().ifelse(states.logged_value, states.held_value)
    is_same = (states.adjustment_type == old_type) & (
        (states.adjustment_type == "retraction") | (states.new_value == old_value).fill_null(False)
    )
    return states.select(
        *pairs.columns,
        status=((states.place == states.holds) & ~is_same).ifelse("applied", "no_change"),
    )


def _pair(
    adjustments: ibis.Table,
    conversions: ibis.Table,
    attributed: ibis.Table,
    *,
    settings: AdjustmentSettings,
) -> ibis.Table:
    """One row per adjustment and conversion that it is of; `place` is its place among these."""
    counted = attributed.filter(_.status != "duplicate").select("dt", "conversion_id").distinct()
    named = conversions.filter(_.event_id.notnull()).semi_join(counted, ["dt", "conversion_id"])
    heads = named.select(
        "conversion_id",
        "event_id",
        "event_name",
        "user_id",
        "advertiser_id",
        conversion_dt=_.dt,
        logged_value=_.value,
    )
    said = adjustments.select(
        "adjustment_id",
        "adjustment_type",
        "adjustment_ts",
        "event_id",
        adjustment_dt=_.dt,
        received_ts=_.received_ts,
        of_advertiser=_.advertiser_id,
        of_event=_.event_name,
        new_value=_.value,
    )
    pairs = said.inner_join(heads, "event_id")
    reach = settings.max_days
    pairs = pairs.filter(
        pairs.of_advertiser.isnull() | (pairs.of_advertiser == pairs.advertiser_id),
        pairs.of_event.isnull() | (pairs.of_event == pairs.event_name),
        pairs.adjustment_dt.delta(pairs.conversion_dt, unit="day").between(-reach, reach),
    )
    in_order = ibis.window(
        group_by=CONVERSION,
        order_by=["adjustment_ts", "adjustment_dt", "received_ts", "adjustment_id"],
    )
    return pairs.mutate(
        known_dt=ibis.greatest(pairs.adjustment_dt, pairs.conversion_dt),
        place=ibis.row_number().over(in_order),
    )


def adjustments_in_words(counts: Mapping[str, int]) -> str:
    """By status how many conversions adjustments spoke of, and how many of none, in a line.

    >>> adjustments_in_words({"unmatched": 1, "applied": 3})
    'of 4 adjustments of conversions: 3 applied, 1 unmatched'
    """
    parts = [f"{counts[s]:,} {s.replace('_', ' ')}" for s in STATUSES if counts.get(s)]
    total = sum(counts.values())
    return f"of {total:,} adjustments of conversions: {', '.join(parts) or 'none'}"


def mostly_unmatched(adjusted: ibis.Table) -> ibis.Table:
    """Days on which more than half of the adjustments that arrived are of no conversion."""
    arrived = adjusted.filter(_.dt == _.adjustment_dt)
    found = arrived.group_by("dt").agg(
        num_adjustments=_.adjustment_id.nunique(),
        num_unmatched=_.adjustment_id.nunique(where=_.status == "unmatched"),
        event_id=_.event_id.min(where=_.status == "unmatched"),
    )
    found = found.mutate(share=_.num_unmatched / _.num_adjustments)
    return found.filter(
        _.num_unmatched >= UNMATCHED_ROWS_WARNING, _.share > double(UNMATCHED_SHARE_WARNING)
    ).select("dt", "num_adjustments", "num_unmatched", "share", "event_id")


ADJUSTED_CONVERSIONS = Table(
    name="adjusted_conversions",
    group="attribution",
    owner="team:ads-measurement",
    description="""One adjustment of one conversion, by the day from which on both are known: how
the conversion stands from then on, with one row per credited touch.

Adjustments that are of no conversion yet, or change nothing, stay visible, with their status.""",
    columns=COLUMNS,
    key=(
        *("dt", "adjustment_dt", "adjustment_id", "conversion_dt", "conversion_id"),
        *("impression_id", "touch_type", "touch_ts"),
    ),
    inputs=inputs,
    settings=lambda scope: (scope.settings.adjustments,),
    rows=rows,
    cell="impression_day",
    cell_may_be_null=True,
    needs=ADJUSTMENTS,
    checks=(
        Check(
            "adjustments_matched",
            "Most adjustments are of a conversion that has arrived: else ids may not fit.",
            warning=lambda i: mostly_unmatched(i.own),
        ),
    ),
)
