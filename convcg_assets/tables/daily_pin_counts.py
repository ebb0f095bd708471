"""`daily_pin_counts`: what arrived of each Pin on a day, which windows of days T are sums of."""

from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.daily_counts import DAILY_COUNTS, arrivals_of, count_arrivals
from convcg_assets.tables.table import Table

COLUMNS: Columns = {
    "dt": Column("date", "arrival day"),
    "pin_id": Column("id:pin_id", "one Pin of which something arrived", required=True),
    **DAILY_COUNTS,
}
DAILY_PIN_COUNTS = Table(
    name="daily_pin_counts",
    group="features",
    owner="team:ads-ml",
    description="""One Pin's impressions and engagements that arrived on a day, counted.

Counted once, for the features of all days T that look back on it.""",
    columns=COLUMNS,
    key=("dt", "pin_id"),
    inputs=arrivals_of("impressions", "engagements"),
    rows=lambda inputs: count_arrivals(
        inputs["impressions"], inputs["engagements"], key="pin_id", days=inputs.days
    ),
)
