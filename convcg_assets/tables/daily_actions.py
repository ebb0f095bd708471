"""`daily_actions`: the newest engagements of a user that arrived on a day, merged to histories."""

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.sources.columns import ENGAGEMENT_TYPES, Column, Columns
from convcg_assets.tables.daily_counts import arrivals_of
from convcg_assets.tables.settings import FeatureSettings
from convcg_assets.tables.table import Inputs, Table
from convcg_assets.tables.touches import first_arrivals

NEWEST_FIRST = (ibis.desc("action_ts"), "pin_id", "action")
"""The order of actions in a user's history."""

COLUMNS: Columns = {
    "dt": Column("date", "arrival day"),
    "user_id": Column("id:user_id", "who", required=True),
    "rank": Column("int64", "0 for the newest of the user's that arrived this day", required=True),
    "pin_id": Column("id:pin_id", "the Pin acted on", required=True),
    "action": Column("string", "what it was", required=True, vocabulary=ENGAGEMENT_TYPES),
    "action_ts": Column("timestamp(6)", "when it was", required=True),
}


def rows(inputs: Inputs) -> ibis.Table:
    """The newest engagements of the days."""
    return newest_engagements(
        inputs["engagements"], settings=inputs.settings.features, days=inputs.days
    )


def newest_engagements(
    engagements: ibis.Table, *, settings: FeatureSettings, days: Days
) -> ibis.Table:
    """Rows of `daily_actions` for the arrival days `days`.

    No more than a history holds: whatever T looks back, it takes no others of this day.
    """
    first = first_arrivals(engagements, key="engagement_id", ts="engagement_ts")
    of_days = first.filter(first.dt.between(days.first, days.last)).select(
        "dt", "user_id", "pin_id", action=_.engagement_type, action_ts=_.engagement_ts
    )
    within_day = ibis.window(group_by=["dt", "user_id"], order_by=NEWEST_FIRST)
    ranked = of_days.mutate(rank=ibis.row_number().over(within_day))
    return ranked.filter(_.rank < settings.max_recent_actions)


DAILY_ACTIONS = Table(
    name="daily_actions",
    group="features",
    owner="team:ads-ml",
    description="""One of a user's newest engagements that arrived on a day.

As many as a history holds, for the histories of all days T that look back on it.""",
    columns=COLUMNS,
    key=("dt", "user_id", "rank"),
    inputs=arrivals_of("engagements"),
    settings=lambda scope: (scope.settings.features.max_recent_actions,),
    rows=rows,
)
