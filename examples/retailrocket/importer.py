"""Lands the public RetailRocket `events.csv` as daily impressions, engagements and conversions.

    python examples/retailrocket/importer.py events.csv.gz --into examples/retailrocket/landing

A view is an impression and a click on it: someone opened the item. A view within 30 minutes of the
same visitor's view before it is a Related Pins impression whose subject is the item viewed before;
the others are Homefeed. An add-to-cart or a transaction is a conversion of the item.
"""

import argparse
from pathlib import Path

import duckdb

from convcg_assets.days import Days
from convcg_assets.sources.split import write_days

_VIEWS = """
CREATE TEMP TABLE views AS
SELECT md5(concat_ws('|', visitorid, itemid, timestamp)) AS impression_id, visitorid AS user_id,
  itemid AS pin_id, make_timestamp(timestamp * 1000) AS impression_ts,
  lag(itemid) OVER earlier AS before, timestamp - lag(timestamp) OVER earlier AS gap_ms
FROM events WHERE event = 'view'
WINDOW earlier AS (PARTITION BY visitorid ORDER BY timestamp, itemid)
"""
_STREAMS = {
    "impressions": """
SELECT CAST(impression_ts AS DATE) AS dt, impression_id, user_id, pin_id, impression_ts,
  CASE WHEN gap_ms <= 30 * 60 * 1000 THEN 'related_pins' ELSE 'homefeed' END AS surface,
  CASE WHEN gap_ms <= 30 * 60 * 1000 THEN before END AS subject_pin_id
FROM views ORDER BY impression_ts, impression_id""",
    "engagements": """
SELECT CAST(impression_ts AS DATE) AS dt, impression_id AS engagement_id, impression_id, user_id,
  pin_id, impression_ts AS engagement_ts, 'click' AS engagement_type
FROM views ORDER BY impression_ts, impression_id""",
    "conversions": """
SELECT CAST(make_timestamp(timestamp * 1000) AS DATE) AS dt,
  md5(concat_ws('|', visitorid, itemid, event, timestamp)) AS conversion_id,
  visitorid AS user_id, itemid AS pin_id, make_timestamp(timestamp * 1000) AS event_ts,
  CASE event WHEN 'addtocart' THEN 'add_to_cart' ELSE 'checkout' END AS event_name,
  CASE WHEN transactionid IS NOT NULL THEN transactionid || ':' || itemid END AS event_id
FROM events WHERE event IN ('addtocart', 'transaction') ORDER BY event_ts, conversion_id""",
}


def land(events: Path, *, into: Path) -> dict[str, int]:
    """Write the three streams below `into`; rows per stream. A day without rows gets a marker."""
    with duckdb.connect() as con:
        con.execute(
            """CREATE TEMP TABLE events AS FROM read_csv(?, header = true, columns = {
            timestamp: 'BIGINT', visitorid: 'VARCHAR', event: 'VARCHAR', itemid: 'VARCHAR',
            transactionid: 'VARCHAR'})""",
            [str(events)],
        )
        con.execute(_VIEWS)
        first, last = con.execute(
            "SELECT CAST(make_timestamp(min(timestamp) * 1000) AS DATE), "
            "CAST(make_timestamp(max(timestamp) * 1000) AS DATE) FROM events"
        ).fetchall()[0]
        days = list(Days(first, last))
        return {
            name: write_days(con, sql, folder=into / name, days=days)
            for name, sql in _STREAMS.items()
        }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=Path, help="events.csv, or events.csv.gz")
    parser.add_argument("--into", type=Path, required=True, help="the landing folder")
    given = parser.parse_args()
    for stream, rows in land(given.events, into=given.into).items():
        print(f"{stream}: {rows:,} rows")


if __name__ == "__main__":
    main()
