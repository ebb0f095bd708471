"""`daily_user_counts`: what arrived of each user on a day, which windows of days T are sums of."""

from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.daily_counts import DAILY_COUNTS, arrivals_of, count_arrivals
from convcg_assets.tables.table import Table

COLUMNS: Columns = {
    "dt": Column("date", "arrival day"),
    "user_id": Column("id:user_id", "one user of whom something arrived", required=True),
    **DAILY_COUNTS,
}
DAILY_USER_COUNTS = Table(
    name="daily_user_counts",
    group="features",
    owner="team:ads-ml",
    description="""One user's impressions and engagements that arrived on a day, counted.

Counted once, for the features of all days T that look back on it.""",
    columns=COLUMNS,
    key=("dt", "user_id"),
    inputs=arrivals_of("impressions", "engagements"),
    rows=lambda inputs: count_arrivals(
        inputs["impressions"], inputs["engagements"], key="user_id", days=inputs.days
    ),
)
