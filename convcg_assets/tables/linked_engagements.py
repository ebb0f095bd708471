"""`linked_engagements`: which impression each engagement of a day belongs to.

Labels and hard negatives of an impression day read their own engagements here: an engagement log
that is corrected changes the label days of the rows that are others now, and no days around them.
"""

import datetime as dt

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import ENGAGEMENT_TYPES, Column, Columns
from convcg_assets.tables.table import DAY, Bounds, Input, Inputs, Scope, Table, own_day
from convcg_assets.tables.touches import link_engagements

COLUMNS: Columns = {
    "dt": Column("date", "arrival day of the engagement"),
    "engagement_id": Column("id:engagement_id", "the engagement", required=True),
    "engagement_type": Column("string", "what it was", required=True, vocabulary=ENGAGEMENT_TYPES),
    "engagement_ts": Column("timestamp(6)", "when it was", required=True),
    "duration_s": Column("float64", "click: seconds until the user was back; null: not logged"),
    "impression_id": Column(
        "id:impression_id", "the impression acted on: named by the log, or found", required=True
    ),
    "impression_day": Column("date", "day of the impression", required=True),
    "user_id": Column("id:user_id", "who", required=True),
    "pin_id": Column("id:pin_id", "the Pin acted on", required=True),
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """The engagements that may repeat one of the day's, and the impressions they may belong to."""
    late = scope.late_days
    return (
        Input("engagements", before=late),
        Input("impressions", before=late + scope.engagement_days, after=late),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The linked engagements of the days."""
    return engagements_linked(
        inputs["engagements"],
        inputs["impressions"],
        engagement_days=inputs.scope.engagement_days,
        days=inputs.days,
    )


def engagements_linked(
    engagements: ibis.Table, impressions: ibis.Table, *, engagement_days: int, days: Days
) -> ibis.Table:
    """Rows of `linked_engagements` for the arrival days `days`.

    Each engagement as it first arrived, with an impression of its own day or of up to
    `engagement_days` before. How they are linked: see `link_engagements`.
    """
    linked = link_engagements(engagements, impressions, most_days=engagement_days)
    linked = linked.filter(_.dt.between(days.first, days.last), _.impression_day <= _.dt)
    return linked.select(*COLUMNS)


def linked_input(scope: Scope) -> Input:
    """The engagements with impressions of a day."""
    return Input("linked_engagements", after=scope.engagement_days, cells=own_day)


def shown_input(scope: Scope) -> Input:
    """The impressions of a day, whenever they arrived."""
    return Input("impressions", before=1, after=scope.late_days, cells=_shown_on)


def _shown_on(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
    """Those with a time of the day; what a clock logged a day ahead is of the day it arrived on."""
    return (day, day + DAY) if upstream == day else (day, day)


LINKED_ENGAGEMENTS = Table(
    name="linked_engagements",
    group="labels",
    owner="team:ads-ml",
    description="""One engagement that belongs to an impression, by arrival day.

As it first arrived, with the impression that the log names, or the newest of the same user and Pin
shown in the 24 hours before.""",
    columns=COLUMNS,
    key=("dt", "engagement_id"),
    inputs=inputs,
    settings=lambda scope: (scope.engagement_days,),
    rows=rows,
    cell="impression_day",
)
