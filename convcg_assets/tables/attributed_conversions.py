"""`attributed_conversions`: which touches a conversion is credited to, and with what share.

What a touch is belongs to `touches.py`, how credit is shared to `credit_models.py`, what a credit
is worth as a label to `weighted_labels.py`.
"""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import CONVERSION_EVENTS, Column, Columns
from convcg_assets.tables.conversion_outcomes import outlying_outcomes
from convcg_assets.tables.credit_models import CREDIT_MODELS
from convcg_assets.tables.exact import double
from convcg_assets.tables.settings import AttributionSettings
from convcg_assets.tables.table import Check, Input, Inputs, Scope, Table
from convcg_assets.tables.touches import MATCH_LEVELS, TOUCH_TYPES, drawing_of, find_touches
from convcg_assets.tables.user_persons import persons_input, read_persons, with_other_ids

STATUSES = ("attributed", "no_user", "no_touch", "past_horizon", "duplicate")
CREDIT_TOLERANCE = 1e-9
"""Credits are shares: what adding them may lose in the last digits."""

COLUMNS: Columns = {
    "dt": Column("date", "arrival day of the conversion"),
    "conversion_id": Column("id:conversion_id", "the conversion", required=True),
    "event_name": Column(
        "string",
        "what was done",
        required=True,
        vocabulary=CONVERSION_EVENTS,
    ),
    "user_id": Column("id:user_id", "who bought"),
    "advertiser_id": Column("id:advertiser_id", "who reported it"),
    "pin_id": Column("id:pin_id", "the Pin that the report names"),
    "event_ts": Column("timestamp(6)", "when it happened", required=True),
    "received_ts": Column("timestamp(6)", "when it was received"),
    "value": Column("float64", "as reported"),
    "status": Column(
        "string",
        "what became of it",
        required=True,
        vocabulary=STATUSES,
    ),
    "touch_type": Column(
        "string",
        "what earned the credit; null unless attributed, as all that follow",
        vocabulary=TOUCH_TYPES,
    ),
    "match_level": Column(
        "string",
        "whether the touch was of the same Pin, or of the same advertiser alone",
        vocabulary=MATCH_LEVELS,
    ),
    "impression_id": Column("id:impression_id", "the impression that was touched"),
    "impression_day": Column(
        "date",
        "the day of that impression: the label day that this belongs to",
    ),
    "touch_pin_id": Column("id:pin_id", "the Pin that was touched"),
    "touch_ts": Column("timestamp(6)", "when it was touched"),
    "credit": Column(
        "float64",
        "share of the conversion given to this touch; sums to 1 per conversion",
    ),
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """Touches of the horizon before, and reports that a duplicate may repeat."""
    attribution = scope.settings.attribution
    return (
        Input("impressions", before=attribution.horizon_days),
        Input("engagements", before=attribution.horizon_days),
        Input("conversions", before=attribution.dedup_lookback_days),
        # Known before the day after: what arrived with the conversion counts.
        *persons_input(scope, before=-1, after=1),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The credit of the conversions that arrived on the days."""
    return attribute(
        inputs["conversions"],
        inputs["impressions"],
        inputs["engagements"],
        settings=inputs.settings.attribution,
        days=inputs.days,
        persons=read_persons(inputs),
    )


def attribute(
    conversions: ibis.Table,
    impressions: ibis.Table,
    engagements: ibis.Table,
    *,
    settings: AttributionSettings,
    days: Days,
    persons: ibis.Table | None = None,
) -> ibis.Table:
    """Rows of `attributed_conversions` for the arrival days `days`.

    `conversions` must hold the `dedup_lookback_days` before, `impressions` and `engagements` the
    `horizon_days` before. Nothing that arrived after a conversion's own arrival day touches it, so
    a day's result does not change with what arrives later. With `persons`, of the days after, a
    conversion is credited to what was done under any id that was the person's on its arrival day.
    """
    marked = mark_duplicates(conversions, window_hours=settings.dedup_window_hours).filter(
        _.dt.between(days.first, days.last)
    )
    touches = find_touches(impressions, engagements)
    counted = marked.filter(~_.is_duplicate)
    if persons is not None:
        counted = counted.mutate(day_after=(_.dt + ibis.interval(days=1)).cast("date"))
        counted = with_other_ids(counted, persons, day="day_after")
    candidates = match_touches(counted, touches, settings=settings)
    credits = share_credit(candidates, settings=settings)
    rows = marked.left_join(credits, ["dt", "conversion_id"])
    reporting_lag_days = rows.dt.delta(rows.event_ts.date(), unit="day")
    status = ibis.cases(
        (rows.is_duplicate, "duplicate"),
        (rows.user_id.isnull(), "no_user"),
        (rows.credit.notnull(), "attributed"),
        (reporting_lag_days > settings.max_reporting_lag_days, "past_horizon"),
        else_="no_touch",
    )
    return rows.mutate(status=status).drop("is_duplicate", "dt_right", "conversion_id_right")


def mark_duplicates(conversions: ibis.Table, *, window_hours: int) -> ibis.Table:
    """Conversions with `is_duplicate`: the same event was received at most `window_hours` before.

    The same event: equal (advertiser, event name, event id); without an event id, equal conversion
    id. First received is first by arrival day, then received time, then conversion id. A third
    report is compared with the second as well as with the first.
    """
    has_event_id = _.event_id.notnull()
    keyed = conversions.mutate(
        key_advertiser=has_event_id.ifelse(_.advertiser_id, ibis.null()),
        key_event=has_event_id.ifelse(_.event_name, ibis.null()),
        key_conversion=has_event_id.ifelse(ibis.null(), _.conversion_id),
    )
    earlier = ibis.window(
        group_by=["key_advertiser", "key_event", "event_id", "key_conversion"],
        order_by=["dt", "received_ts", "conversion_id"],
        rows=(None, -1),
    )
    previous_ts = keyed.received_ts.max().over(earlier)
    return keyed.mutate(
        is_duplicate=(
            previous_ts + ibis.interval(hours=window_hours) >= keyed.received_ts
        ).fill_null(False)
    ).drop("key_advertiser", "key_event", "key_conversion")


def match_touches(
    conversions: ibis.Table, touches: ibis.Table, *, settings: AttributionSettings
) -> ibis.Table:
    """One row per conversion and touch that it may be credited to.

    The same user, the same Pin or else the same advertiser, `touch_ts <= event_ts < touch_ts +
    window`, touched at most the horizon before and known on the conversion's arrival day.
    """
    enabled = touches.filter(_touch_ends(touches, settings=settings).notnull())
    pairs = conversions.select(
        "dt",
        "conversion_id",
        "user_id",
        "event_ts",
        named_pin_id=_.pin_id,
        reporter_id=_.advertiser_id,
    ).inner_join(enabled, "user_id")
    same_pin = (pairs.pin_id == pairs.named_pin_id).fill_null(False)
    same_advertiser = (pairs.advertiser_id == pairs.reporter_id).fill_null(False)
    ends = _touch_ends(pairs, settings=settings)
    return (
        pairs.filter(
            pairs.touch_ts <= pairs.event_ts,
            pairs.event_ts < ends,
            pairs.touch_dt <= pairs.dt,
            pairs.dt.delta(pairs.impression_day, unit="day") <= settings.horizon_days,
            same_pin | same_advertiser,
        )
        .mutate(match_level=same_pin.ifelse("pin", "advertiser"))
        # A touch that was delivered on two days counts once.
        .group_by("dt", "conversion_id", "event_ts", "touch_type", "impression_id", "touch_ts")
        .agg(
            impression_day=_.impression_day.min(),
            match_level=_.match_level.max(),
            touch_pin_id=_.pin_id.max(),
        )
    )


def share_credit(candidates: ibis.Table, *, settings: AttributionSettings) -> ibis.Table:
    """The touches that get credit, with `credit`; credits of one conversion sum to 1.

    Columns: dt, conversion_id, touch_type, match_level, impression_id, impression_day,
    touch_pin_id, touch_ts, credit.
    """
    ranked = candidates.mutate(
        strength=_rank(candidates.touch_type, TOUCH_TYPES),
        match_rank=_rank(candidates.match_level, MATCH_LEVELS),
        drawing=drawing_of(candidates.conversion_id, candidates.impression_id),
    )
    credited = CREDIT_MODELS[settings.model](ranked, settings.half_life_hours)
    return credited.filter(_.credit > 0).select(
        "dt",
        "conversion_id",
        "touch_type",
        "match_level",
        "impression_id",
        "impression_day",
        "touch_pin_id",
        "touch_ts",
        "credit",
    )


def _rank(value: ibis.Value, vocabulary: tuple[str, ...]) -> ibis.Value:
    """Place in a vocabulary, from 0: the first is the strongest."""
    return value.cases(*((name, place) for place, name in enumerate(vocabulary)))


def _touch_ends(rows: ibis.Table, *, settings: AttributionSettings) -> ibis.Value:
    """When each touch's window ends (excluded); null for a type that is switched off."""
    enabled = [
        (rows.touch_type == touch_type, rows.touch_ts + ibis.interval(days=days))
        for touch_type, days in settings.window_days.items()
        if days > 0
    ]
    never = ibis.null("timestamp")
    return ibis.cases(*enabled, else_=never) if enabled else never


def uneven_credits(attributed: ibis.Table) -> ibis.Table:
    """Attributed conversions whose credits do not sum to 1."""
    credited = attributed.filter(_.status == "attributed")
    sums = credited.group_by("dt", "conversion_id").agg(
        num_touches=_.count(), total_credit=_.credit.sum()
    )
    off = (_.total_credit - double(1)).abs() > double(CREDIT_TOLERANCE)
    return sums.filter(off.fill_null(True))


def touches_outside_window(attributed: ibis.Table, *, settings: AttributionSettings) -> ibis.Table:
    """Credited touches outside `touch_ts <= event_ts < touch_ts + window`, or past the horizon."""
    ends = ibis.cases(
        *(
            (_.touch_type == kind, _.touch_ts + ibis.interval(days=days))
            for kind, days in settings.window_days.items()
        ),
        else_=_.touch_ts,
    )
    inside = (
        (_.touch_ts <= _.event_ts)
        & (_.event_ts < ends)
        & _.dt.delta(_.impression_day, unit="day").between(0, settings.horizon_days)
    )
    return attributed.filter(_.status == "attributed", ~inside.fill_null(False)).select(
        "dt", "conversion_id", "impression_id", "touch_type", "touch_ts", "event_ts"
    )


ATTRIBUTED_CONVERSIONS = Table(
    name="attributed_conversions",
    group="attribution",
    owner="team:ads-measurement",
    description="""One conversion's credit to one touch, by the conversion's arrival day.

Conversions without a user, without a touch, or that repeat one already received stay visible, with
their status. Credits of one conversion sum to 1.""",
    columns=COLUMNS,
    key=("dt", "conversion_id", "impression_id", "touch_type", "touch_ts"),
    inputs=inputs,
    settings=lambda scope: (scope.settings.attribution,),
    version=3,
    rows=rows,
    cell="impression_day",
    cell_may_be_null=True,
    checks=(
        Check(
            "credits_sum_to_1",
            "The credits of an attributed conversion sum to 1.",
            error=lambda i: uneven_credits(i.own),
        ),
        Check(
            "touches_in_window",
            "touch_ts <= event_ts < touch_ts + window of the touch's type.",
            error=lambda i: touches_outside_window(i.own, settings=i.settings.attribution),
        ),
        Check(
            "most_find_a_touch",
            "Most conversions name a user, find a touch and are no duplicates. Where most do not, "
            "ids of conversions and events may be mapped differently.",
            warning=lambda i: outlying_outcomes(i.own, settings=i.settings.checks),
        ),
    ),
)
