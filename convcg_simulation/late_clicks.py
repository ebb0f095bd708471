"""The landed clicks that a late report can be credited to under last touch, and to no other.

Read from the logs as they landed, not from the world: what counts is what the pipeline has read.
"""

import duckdb
import pyarrow as pa

from convcg_simulation.catalogue import DAY_US
from convcg_simulation.delays import LONGEST_LAG_DAYS
from convcg_simulation.landed import LandedWorld

LOOKBACK_DAYS = 21
"""Label days are chosen from so many days before the arrival day."""
MIN_DURATION_S = 5
"""Shorter clicks are bounces and robots: nobody buys after them."""
SOONEST_S = 5 * 60
ROOM_S = 3_600
"""How much time there must be for the purchase before something else would get the credit."""
_SECOND_US = 1_000_000

_SQL = """
WITH shown AS (
    SELECT impression_id, user_id, pin_id, advertiser_id,
        -- A clock ahead of its log does not move an impression to a later day.
        min(least(impression_ts::DATE, dt)) AS label_date
    FROM read_parquet($impressions, hive_partitioning = true, hive_types = {'dt': DATE})
    GROUP BY ALL
), clicks AS (
    -- Rows that are repeated by mistake are one click; a clock of 1970 is none.
    SELECT impression_id, epoch_us(engagement_ts) AS click_us, max(duration_s) AS duration_s
    FROM read_parquet($engagements)
    WHERE engagement_type = 'click' AND engagement_ts >= $first_date - INTERVAL 2 DAY
    GROUP BY ALL
), in_order AS (
    SELECT *, lead(click_us) OVER (PARTITION BY advertiser_id, user_id ORDER BY click_us) AS next_us
    FROM clicks JOIN shown USING (impression_id)
)
SELECT advertiser_id, user_id, pin_id, label_date,
    greatest(click_us + $soonest_us, $arrival_us - $lag_us) AS from_us,
    least(next_us, $arrival_us) AS until_us
FROM in_order
WHERE duration_s >= $min_duration_s AND until_us - from_us >= $room_us
    AND label_date >= $first_date AND label_date < $arrival_date
ORDER BY click_us, impression_id
"""


def find_late_clicks(landed: LandedWorld, *, arrival_day: int) -> pa.Table:
    """One row per click of the three weeks before a day whose purchase that day may report.

    Columns: advertiser_id, user_id, pin_id, label_date (day of the impression), from_us and
    until_us (excluded): when the purchase may be. It comes after the click and before the same
    user's next one on the advertiser's Pins; on a day before the arrival day, by the longest
    reporting lag at most. A click's window of 30 days is never over by then.
    """
    config = landed.world.config
    first_day = max(0, arrival_day - LOOKBACK_DAYS)
    # The days before and after the label days hold late rows of impressions and of their clicks.
    days = range(max(0, first_day - 1), arrival_day + 1)
    logs = {
        stream: [str(path) for day in days if (path := landed.log(stream, day)).exists()]
        for stream in ("impressions", "engagements")
    }
    parameters = {
        **logs,
        "soonest_us": SOONEST_S * _SECOND_US,
        "room_us": ROOM_S * _SECOND_US,
        "lag_us": LONGEST_LAG_DAYS * DAY_US,
        "min_duration_s": MIN_DURATION_S,
        "arrival_us": landed.world.midnight_us(arrival_day),
        "arrival_date": config.date_of(arrival_day),
        "first_date": config.date_of(first_day),
    }
    with duckdb.connect() as con:
        return con.sql(_SQL, params=parameters).to_arrow_table()
